"""Arguments and options that commands share, and the study they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jaxsim.cli.output import print_message

if TYPE_CHECKING:
    from jaxsim.study.study import Study

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A TOML file, or the name of a ready study.")
]
DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="A directory made by `jaxsim run`.")
]
SetOption = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the study; may be repeated."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Directory of the results; runs/NAME by default."),
]
ReplicatesOption = Annotated[
    int | None, typer.Option("--replicates", min=1, help="In place of the study's.")
]
QuickOption = Annotated[
    bool,
    typer.Option("--quick", help="With the study's own smaller settings, its table [quick]."),
]
CodeOption = Annotated[
    bool,
    typer.Option("--allow-code", help='Let the study import "module:function" references.'),
]
RepairOption = Annotated[
    bool, typer.Option("--repair", help="Verify finished shards, compute damaged ones again.")
]
DevicesOption = Annotated[
    int | None, typer.Option("--devices", min=1, help="Devices, or cores of a CPU; all by default.")
]


def load(
    study: str,
    settings: list[str],
    replicates: int | None,
    allow_code: bool,
    quick: bool = False,
) -> Study:
    """Return a study with what the command line changes of it."""
    from jaxsim.study.study import Study

    if replicates is not None:
        settings = [*settings, f"replicates={replicates}"]
    return Study.load(study, settings, allow_code, quick)


def print_warnings(study: Study) -> None:
    """Print what a reader of the study's numbers should know, before they are computed."""
    for warning in study.warnings:
        print_message(f"warning: {warning}")
