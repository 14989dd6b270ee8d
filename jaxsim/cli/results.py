"""Commands that read the results of a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jaxsim.cli.options import CodeOption, DirectoryArgument, SetOption
from jaxsim.cli.output import answer_console, print_answer, print_text


def report(
    directory: DirectoryArgument,
    plots: Annotated[bool, typer.Option(help="Draw the plots.")] = True,
    settings: SetOption = [],  # noqa: B006
    allow_code: CodeOption = False,
) -> None:
    """Answer a study from the results there are, also while it runs."""
    from jaxsim.report.kept_report import KeptReport, report_directory

    place, console = report_directory(directory, settings), answer_console()
    kept = KeptReport(directory, place, [plots, *settings], console, print_text)
    if not allow_code and kept.show():
        return

    from jaxsim import runtime
    from jaxsim.launch.directory import reopen
    from jaxsim.launch.simulate import open_results
    from jaxsim.report.write import write_report, written_files

    runtime.configure()
    opened = reopen(directory, allow_code)
    study = opened.study.with_questions(settings) if settings else opened.study
    with kept.remembering(study, written_files()):
        write_report(open_results(opened), study, place, console, plots=plots)


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
    from jaxsim import runtime
    from jaxsim.launch.replay import replay as run_again
    from jaxsim.report.replay import print_replay

    runtime.configure()
    again = run_again(directory, experiment, replicate, every, allow_code, stratum)
    print_replay(again, answer_console())


def plot(
    directory: DirectoryArgument,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="exceedance_vs_eps, exceedance_vs_n, exceedance_vs_grid (P against a number that "
            "the grid varies), phase_diagram (over two of them), exceedance_vs_risk, "
            "exceedance_vs_error_rate, risk_distribution, learning_curves, strata.",
        ),
    ],
    eps: Annotated[
        list[float], typer.Option("--eps", help="Thresholds in place of the study's; repeatable.")
    ] = [],  # noqa: B006
    axes: Annotated[
        list[str],
        typer.Option(
            "--axis", metavar="KEY", help="Of the grid: optimizer.learning_rate; repeatable."
        ),
    ] = [],  # noqa: B006
    file_format: Annotated[str, typer.Option("--format", help="pdf, svg or png.")] = "pdf",
    style: Annotated[
        str,
        typer.Option("--style", help="report, or paper: small, the footnote printed as a caption."),
    ] = "report",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File; DIR/figures/KIND.FORMAT by default."),
    ] = None,
    allow_code: CodeOption = False,
) -> None:
    """Draw one figure of the results there are, for a paper or a talk."""
    from jaxsim import runtime
    from jaxsim.launch.directory import reopen
    from jaxsim.launch.simulate import open_results
    from jaxsim.report.plot import write_plot

    runtime.configure()
    results = open_results(reopen(directory, allow_code))
    path, caption = write_plot(
        results, kind, directory, file_format, output, eps=eps or None, axes=axes, style=style
    )
    print_answer(str(path))
    if style == "paper":
        print_answer(f"caption: {caption}")


def export(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="A directory made by `jaxsim run`.")
    ] = None,
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="csv, parquet (the runs); latex, markdown (the table of the answer); schema (of "
            "study files), answer-schema (of answer.json).",
        ),
    ] = "csv",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; in DIR by default.")
    ] = None,
    allow_code: CodeOption = False,
) -> None:
    """Write the runs as CSV or Parquet, the answer as a table, or the JSON schemas."""
    from jaxsim.report.export import export as write

    print_answer(write(directory, file_format, output, allow_code))
