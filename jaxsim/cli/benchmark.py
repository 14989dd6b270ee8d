"""The command that measures engines and widths on the devices at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jaxsim.cli.options import CodeOption, SetOption
from jaxsim.cli.output import answer_console, message_console, print_answer
from jaxsim.errors import InputError, unknown

FORMATS = ("table", "json", "schema")


def benchmark(
    study: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="A TOML file, or the name of a ready study."),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option("--shape", help="In place of a study: layers of a ReLU network, 1-16-16-1."),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option("--optimizer", help="With --shape; adam by default.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Samples per step, with --shape; 32 by default.")
    ] = None,
    experiment: Annotated[
        str, typer.Option("--experiment", help="Of the study: a label or a number from 1.")
    ] = "1",
    width: Annotated[
        str | None,
        typer.Option(
            "--width", metavar="N,N,...", help="Block widths; by default those that help."
        ),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            "--devices",
            metavar="N,N,...",
            help="Devices, or cores of a CPU, at the same time, besides one; all by default.",
        ),
    ] = None,
    budget: Annotated[
        float, typer.Option("--budget", metavar="SECONDS", help="That it may take.")
    ] = 60.0,
    file_format: Annotated[
        str, typer.Option("--format", help=f"What is printed: {', '.join(FORMATS)}.")
    ] = "table",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Keep JSON, CSV and figure in DIR."),
    ] = None,
    settings: SetOption = [],  # noqa: B006
    allow_code: CodeOption = False,
) -> None:
    """Measure the engines that fit on the devices at hand, against `vmap` and the ceilings."""
    from jaxsim import runtime
    from jaxsim.report import benchmark as view

    if file_format not in FORMATS:
        raise unknown("format", file_format, FORMATS)
    if file_format == "schema":
        print_answer(view.schema(), end="")
        return
    runtime.configure()
    messages = message_console()

    def say(text: str) -> None:
        messages.print(text, style="dim", highlight=False, soft_wrap=True)

    try:
        measured = view.benchmark(
            study,
            shape=shape,
            optimizer=optimizer,
            batch=batch,
            experiment=experiment,
            width=whole_numbers("width", width),
            devices=whole_numbers("devices", devices),
            budget=budget,
            settings=settings,
            allow_code=allow_code,
            progress=say,
        )
    except KeyboardInterrupt:
        say("interrupted: nothing is kept")
        raise typer.Exit(130) from None
    files = [] if output is None else measured.write(output)
    if file_format == "json":
        print_answer(measured.to_json(), end="")
        return
    console = answer_console()
    view.print_benchmark(measured, console)
    if files:
        console.print(f"files: {', '.join(str(path) for path in files)}", soft_wrap=True)


def whole_numbers(name: str, text: str | None) -> list[int] | None:
    """Return the whole numbers of an option, separated by commas.

    Raises:
        InputError: if it is something else.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.lstrip("-").isdigit() and len(part) < 12 for part in parts):
        raise InputError(
            f"{name} = {text!r} is not accepted; accepted: whole numbers separated by commas"
        )
    return [int(part) for part in parts]
