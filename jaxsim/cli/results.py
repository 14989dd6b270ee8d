"""Commands that read the results of a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jaxsim import runtime
from jaxsim.cli.options import CodeOption, DirectoryArgument, SetOption
from jaxsim.cli.output import answer_console, print_answer


def report(
    directory: DirectoryArgument,
    plots: Annotated[bool, typer.Option(help="Draw the plots.")] = True,
    settings: SetOption = [],  # noqa: B006
    allow_code: CodeOption = False,
) -> None:
    """Answer a study from the results there are, also while it runs."""
    from jaxsim.launch.directory import reopen
    from jaxsim.launch.simulate import open_results
    from jaxsim.report.write import report_directory, write_report

    runtime.configure()
    opened = reopen(directory, allow_code)
    study = opened.study.with_questions(settings) if settings else opened.study
    place = report_directory(directory, settings)
    write_report(open_results(opened), study, place, answer_console(), plots=plots)


def replay(
    directory: DirectoryArgument,
    experiment: Annotated[str, typer.Argument(help="Label, id or number of an experiment.")],
    replicate: Annotated[int, typer.Argument(min=0, help="Index of the replicate.")],
    every: Annotated[int, typer.Option("--every", min=1, help="Steps between observations.")] = 1,
    stratum: Annotated[
        int | None, typer.Option(min=0, help="Number of the stratum, where the design has some.")
    ] = None,
    allow_code: CodeOption = False,
) -> None:
    """Run one replicate again, bit for bit, and write its full trajectory as CSV."""
    from jaxsim.launch.replay import replay as run_again
    from jaxsim.report.replay import print_replay

    runtime.configure()
    again = run_again(directory, experiment, replicate, every, allow_code, stratum)
    print_replay(again, answer_console())


def export(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="A directory made by `jaxsim run`.")
    ] = None,
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="csv, parquet, schema (of study files), answer-schema (of answer.json).",
        ),
    ] = "csv",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; DIR/results.FORMAT by default.")
    ] = None,
    allow_code: CodeOption = False,
) -> None:
    """Write the results as CSV or Parquet, or the JSON schema of studies or answers."""
    from jaxsim.report.export import export as write

    print_answer(write(directory, file_format, output, allow_code))
