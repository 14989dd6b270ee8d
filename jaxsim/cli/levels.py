"""The command that polishes runs to find the levels at which they end."""

from __future__ import annotations

from typing import Annotated

import typer

from jaxsim.cli.options import CodeOption, DirectoryArgument
from jaxsim.cli.output import answer_console, message_console


def levels(
    directory: DirectoryArgument,
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs", min=1, help="Of each experiment; levels.runs of the study by default, or 256."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            metavar="SECONDS",
            help="For all experiments; levels.budget by default, 0 to show what is there.",
        ),
    ] = None,
    plots: Annotated[bool, typer.Option(help="Draw the plots.")] = True,
    allow_code: CodeOption = False,
) -> None:  # fmt: skip
    """Lead runs on to a local minimum of the exact risk, and answer at which levels they end."""
    from jaxsim import runtime
    from jaxsim.launch.directory import reopen
    from jaxsim.launch.polishing import RUNS, polish_runs, polish_seconds
    from jaxsim.launch.searches import checked_seconds
    from jaxsim.launch.simulate import open_results
    from jaxsim.optimum.strategy import Budget
    from jaxsim.report.write import write_report

    runtime.configure()
    opened = reopen(directory, allow_code)
    study = opened.study
    runtime.configure(None, study.spec.execution.matmul_precision)
    seconds = polish_seconds(study) if budget is None else checked_seconds(budget)
    messages = message_console()

    def say(text: str) -> None:
        messages.print(text, style="dim", highlight=False, soft_wrap=True)

    polish_runs(opened, runs or study.spec.levels.runs or RUNS, Budget(seconds), say)
    write_report(open_results(opened), study, directory, answer_console(), plots=plots)
