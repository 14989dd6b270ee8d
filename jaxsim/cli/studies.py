"""Commands that show what a study is, before anything is computed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxsim.cli.options import (
    CodeOption,
    DevicesOption,
    OutputOption,
    QuickOption,
    ReplicatesOption,
    SetOption,
    StudyArgument,
    load,
    print_warnings,
)
from jaxsim.cli.output import answer_console, message_console, print_answer


def list_studies() -> None:
    """List the ready studies, and those that reproduce published numbers by their source."""
    from rich.table import Table
    from rich.text import Text

    from jaxsim.study.catalogue import READY, sources, summary

    console = answer_console()
    table = Table("study", "what it shows", "experiments", box=None, pad_edge=False)
    for name in READY:
        listed = summary(name)
        table.add_row(name, listed.title, str(listed.experiments))
    console.print(table)
    reproductions = Table(
        "reproduction", "what it shows", "experiments", "numbers", "--quick",
        box=None, pad_edge=False,
    )  # fmt: skip
    for source in sources():
        reproductions.add_row(Text(source.name, style="bold"), Text(source.citation, "italic"))
        for name in source.studies:
            listed = summary(name)
            reproductions.add_row(
                f"  {name}",
                listed.title,
                str(listed.experiments),
                str(listed.published),
                "yes" if listed.quick else "no",
            )
    console.print()
    console.print(reproductions)


def show(
    study: StudyArgument,
    settings: SetOption = [],  # noqa: B006
    experiments: Annotated[
        bool, typer.Option("--experiments", help="Show every experiment in full.")
    ] = False,
    quick: QuickOption = False,
    allow_code: CodeOption = False,
) -> None:
    """Show a study as jaxsim understands it, with every default, as JSON."""
    from jaxsim.study.resolved import resolved

    loaded = load(study, settings, None, allow_code, quick)
    print_warnings(loaded)
    shown: dict[str, Any] = resolved(loaded.spec.model_dump(mode="json"))
    if experiments:
        shown = {
            "study": shown,
            "experiments": [
                {
                    "label": e.label,
                    "id": e.id,
                    "parameters": e.network.size,
                    "checkpoints": list(e.checkpoints),
                    "optimum": asdict(e.optimum),
                    "method": {
                        "definition": e.optimizer.definition,
                        "hyperparameters": dict(e.optimizer.hyperparameters),
                        "keeps_inactive_neurons": e.optimizer.keeps_inactive,
                    },
                    **{k: v for k, v in resolved(e.spec).items() if k != "checkpoints"},
                }
                for e in loaded.experiments
            ],
        }
    print_answer(json.dumps(shown, indent=2))


def plan(
    study: StudyArgument,
    settings: SetOption = [],  # noqa: B006
    replicates: ReplicatesOption = None,
    devices: DevicesOption = None,
    output: OutputOption = None,
    quick: QuickOption = False,
    allow_code: CodeOption = False,
) -> None:
    """Show experiments, blocks, shards, memory and a time estimate from a short measurement.

    And how many trainings a precision takes under each design: with the failures that runs in the
    output directory show, if there are any, else for some assumed probabilities.
    """
    from jaxsim import runtime
    from jaxsim.report.plan import print_plan

    runtime.configure()
    loaded = load(study, settings, replicates, allow_code, quick)
    runtime.configure(None, loaded.spec.execution.matmul_precision)
    errors = message_console()
    print_plan(
        loaded,
        devices,
        answer_console(),
        lambda text: errors.print(text, style="dim", highlight=False, soft_wrap=True, markup=False),
        output or Path("runs") / loaded.spec.name,
    )
