"""The command line: one function per command, nothing computed here."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from jaxsim import startup
from jaxsim.cli.benchmark import benchmark
from jaxsim.cli.information import doctor, explain, general_options
from jaxsim.cli.levels import levels
from jaxsim.cli.optimum import optimum
from jaxsim.cli.output import open_streams, print_message, reader_left, unwritten
from jaxsim.cli.results import export, plot, replay, report
from jaxsim.cli.simulation import cancel, launch, run, status
from jaxsim.cli.studies import list_studies, plan, show
from jaxsim.errors import InputError

COMMANDS = {
    "run": run,
    "launch": launch,
    "status": status,
    "cancel": cancel,
    "list": list_studies,
    "show": show,
    "plan": plan,
    "optimum": optimum,
    "levels": levels,
    "report": report,
    "plot": plot,
    "replay": replay,
    "benchmark": benchmark,
    "doctor": doctor,
    "export": export,
    "explain": explain,
}

app = typer.Typer(
    name="jaxsim",
    help="How often does training fail, and how sure are we?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.callback()(general_options)
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """Run the command line: bad input ends with one sentence and exit code 2."""
    open_streams()
    startup.collect_garbage_rarely()
    startup.keep_heaps_few()
    if startup.is_shadowed():
        print_message(
            "warning: an unrelated distribution named 'jaxsim' is installed here, too, and owns a "
            "package of the same name; `jaxsim doctor` says what to do"
        )
    try:
        app()
    except BrokenPipeError:
        reader_left()
    except InputError as error:
        _end(error)
    except OSError as error:
        sentence = unwritten(error)
        if sentence is None:
            raise
        _end(sentence)


def _end(error: InputError) -> NoReturn:
    print_message(f"error: {error}")
    sys.exit(2)
