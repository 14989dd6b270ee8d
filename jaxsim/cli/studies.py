"""Commands that show what a study is, before anything is computed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxsim import runtime
from jaxsim.cli.options import (
    CodeOption,
    DevicesOption,
    OutputOption,
    ReplicatesOption,
    SetOption,
    StudyArgument,
    load,
    print_warnings,
)
from jaxsim.cli.output import answer_console, message_console, print_answer


def list_studies() -> None:
    """List the ready studies."""
    from rich.table import Table

    from jaxsim.study.catalogue import READY, ready_table

    table = Table("study", "what it shows", "experiments", box=None, pad_edge=False)
    for name in READY:
        from jaxsim.study.expand import variations
        from jaxsim.study.read import study_spec

        spec = study_spec(ready_table(name))
        table.add_row(name, spec.title, str(len(variations(spec))))
    answer_console().print(table)


def show(
    study: StudyArgument,
    settings: SetOption = [],  # noqa: B006
    experiments: Annotated[
        bool, typer.Option("--experiments", help="Show every experiment in full.")
    ] = False,
    allow_code: CodeOption = False,
) -> None:
    """Show a study as jaxsim understands it, with every default, as JSON."""
    from jaxsim.study.resolved import resolved

    loaded = load(study, settings, None, allow_code)
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
    allow_code: CodeOption = False,
) -> None:
    """Show experiments, blocks, shards, memory and a time estimate from a short measurement.

    And how many trainings a precision takes under each design: with the failures that runs in the
    output directory show, if there are any, else for some assumed probabilities.
    """
    from jaxsim.report.plan import print_plan

    runtime.configure()
    loaded = load(study, settings, replicates, allow_code)
    runtime.configure(None, loaded.spec.execution.matmul_precision)
    errors = message_console()
    print_plan(
        loaded,
        devices,
        answer_console(),
        lambda text: errors.print(text, style="dim", highlight=False, soft_wrap=True, markup=False),
        output or Path("runs") / loaded.spec.name,
    )
