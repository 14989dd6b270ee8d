"""Commands and options about jaxsim itself: its version, this machine, the documentation."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jaxsim.cli.output import answer_console, print_answer


def show_version(value: bool) -> None:
    """Print the version and end, if that is what was asked for."""
    if value:
        from jaxsim.results.provenance import jaxsim_version

        print_answer(f"jaxsim {jaxsim_version()}")
        raise typer.Exit


def general_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options before a command."""


def doctor() -> None:
    """Show devices, versions, precision and cache, and find clashes."""
    from jaxsim.report.doctor import examine

    raise typer.Exit(examine(answer_console()))


def explain(
    topic: Annotated[
        str | None, typer.Argument(metavar="TOPIC", help="All topics are listed without one.")
    ] = None,
) -> None:
    """Print the documentation of a topic, or list the topics."""
    from jaxsim.explain import overview, topic_text

    text = overview() if topic is None else topic_text(topic)
    if sys.stdout.isatty():
        from rich.markdown import Markdown

        answer_console().print(Markdown(text))
    else:
        print_answer(text, end="")
