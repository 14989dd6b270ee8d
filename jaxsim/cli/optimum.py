"""The command that answers inf L by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jaxsim.cli.options import CodeOption, SetOption, load, print_warnings
from jaxsim.cli.output import answer_console, message_console


def optimum(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY", help="A TOML file, a ready study, or a directory of `jaxsim run`."
        ),
    ],
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            metavar="SECONDS",
            help="For all searches; optimum.budget by default, 0 to show what is there.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR",
            help="Keep certificates, CSV, JSON and picture in DIR, a directory of the study's "
            "results or a new one; searches go on from there.",
        ),
    ] = None,
    settings: SetOption = [],  # noqa: B006
    plots: Annotated[bool, typer.Option(help="Draw the picture.")] = True,
    allow_code: CodeOption = False,
) -> None:  # fmt: skip
    """Bound the optimal risk inf L, and R*(m) of every narrower first layer, before any run."""
    from jaxsim import runtime
    from jaxsim.launch.directory import reopen
    from jaxsim.launch.optimum import find_optima
    from jaxsim.launch.searches import checked_seconds, search_seconds
    from jaxsim.report.optimum import print_optima, write_optima

    runtime.configure()
    if (Path(study) / "study.json").is_file() and not settings:
        output = output or Path(study)
        loaded = reopen(study, allow_code).study
    else:
        loaded = load(study, settings, None, allow_code)
    seconds = search_seconds(loaded) if budget is None else checked_seconds(budget)
    print_warnings(loaded)
    messages = message_console()

    def say(text: str) -> None:
        messages.print(text, style="dim", highlight=False, soft_wrap=True)

    if seconds > 0:
        say(f"searching for bounds of inf L, for up to {seconds:.3g} s")
    try:
        answer = find_optima(loaded, output, seconds, say)
    except KeyboardInterrupt:
        kept = (
            "nothing is kept without -o DIR" if output is None else f"{output} keeps what is done"
        )
        say(f"interrupted: {kept}")
        raise typer.Exit(130) from None
    files = [] if output is None else write_optima(answer, output)
    if output is not None and plots:
        # Matplotlib takes a second to import: not before it is needed.
        from jaxsim.report.plots.optimum import optimum_figure
        from jaxsim.report.plots.style import save

        files += save(optimum_figure(answer, loaded), output / "optimum" / "optimum")
    console = answer_console()
    print_optima(answer, console)
    if files:
        console.print(f"files: {', '.join(str(path) for path in files)}", soft_wrap=True)
