"""The command line: one function per command, nothing computed here."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer
from rich.console import Console

from jaxsim import runtime
from jaxsim.errors import InputError

if TYPE_CHECKING:
    from jaxsim.study.study import Study

app = typer.Typer(
    name="jaxsim",
    help="How often does training fail, and how sure are we?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

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


def _version(value: bool) -> None:
    if value:
        from jaxsim.results.provenance import jaxsim_version

        _print(f"jaxsim {jaxsim_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    study: StudyArgument,
    output: OutputOption = None,
    settings: SetOption = [],  # noqa: B006
    replicates: ReplicatesOption = None,
    devices: DevicesOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, help="Processes that share the work; by default chosen by its size."
        ),
    ] = None,
    repair: RepairOption = False,
    plots: Annotated[bool, typer.Option(help="Draw the plots at the end.")] = True,
    allow_code: CodeOption = False,
) -> None:
    """Run a study, or go on with it, and answer it."""
    from jaxsim.launch.simulate import simulate
    from jaxsim.report.progress import ConsoleProgress
    from jaxsim.report.write import write_report

    runtime.configure()
    loaded = _load(study, settings, replicates, allow_code)
    _warn(loaded)
    directory = output or Path("runs") / loaded.spec.name
    console = _stderr()
    progress = ConsoleProgress(console, loaded.spec)
    try:
        results = simulate(
            loaded, directory, devices=devices, workers=workers, repair=repair, progress=progress
        )
    except KeyboardInterrupt:
        console.print(
            "interrupted: finished shards are kept; run the same command again to go on, or "
            f"`jaxsim report {directory}` to see what there is",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
    write_report(results, loaded, directory, _console(), plots=plots)


@app.command()
def launch(
    study: StudyArgument,
    output: OutputOption = None,
    settings: SetOption = [],  # noqa: B006
    replicates: ReplicatesOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the scripts, submit nothing.")
    ] = False,
    prepare: Annotated[
        bool,
        typer.Option("--prepare", help="Only make the directory, measuring on this machine."),
    ] = False,
    local: Annotated[
        int | None,
        typer.Option("--local", min=1, help="So many workers on this machine, in place of Slurm."),
    ] = None,
    tasks: Annotated[int | None, typer.Option(min=1, help="Size of the array.")] = None,
    parallel: Annotated[int | None, typer.Option(min=1, help="Tasks at the same time.")] = None,
    time: Annotated[str | None, typer.Option(help="Limit of each attempt of a task.")] = None,
    gpus: Annotated[str | None, typer.Option(help="GPUs of each task: 1, or a100:1.")] = None,
    gres: Annotated[str | None, typer.Option(help="In place of --gpus: gpu:a100:1.")] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Cores of each task.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of each task: 8G.")] = None,
    partition: Annotated[str | None, typer.Option()] = None,
    account: Annotated[str | None, typer.Option()] = None,
    qos: Annotated[str | None, typer.Option()] = None,
    constraint: Annotated[str | None, typer.Option()] = None,
    container: Annotated[str | None, typer.Option(help="An Apptainer image.")] = None,
    modules: Annotated[
        list[str], typer.Option("--module", help="A module to load; may be repeated.")
    ] = [],  # noqa: B006
    environment: Annotated[
        list[str], typer.Option("--env", metavar="NAME=VALUE", help="May be repeated.")
    ] = [],  # noqa: B006
    options: Annotated[
        list[str], typer.Option("--sbatch", help='One more option: "--exclude=n7"; repeatable.')
    ] = [],  # noqa: B006
    repair: RepairOption = False,
    allow_code: CodeOption = False,
) -> None:
    """Run a study as an array of Slurm jobs, or go on with it; `[slurm]` in the study, or options.

    Run again = submit what is missing.
    """
    given = {
        "tasks": tasks, "parallel": parallel, "time": time, "gpus": gpus, "gres": gres,
        "cpus": cpus, "memory": memory, "partition": partition, "account": account, "qos": qos,
        "constraint": constraint, "container": container, "module": modules, "env": environment,
        "sbatch": options,
    }  # fmt: skip
    if local is not None:
        alone = {**given, "dry-run": dry_run or None, "prepare": prepare or None}
        for name, value in alone.items():
            if value is not None and value != []:
                raise InputError(
                    f"--{name} is not accepted together with --local, which runs workers here and "
                    "now"
                )
        run(study, output, settings, replicates, workers=local, repair=repair,
            allow_code=allow_code)  # fmt: skip
        return
    if prepare or dry_run:
        mode, idle = ("prepare", given) if prepare else ("dry-run", {})
        alone = {**idle, "dry-run": (dry_run and prepare) or None, "repair": repair or None}
        for name, value in alone.items():
            if value is not None and value != []:
                raise InputError(
                    f"--{name} is not accepted together with --{mode}, which submits nothing"
                )
    runtime.configure()
    loaded = _load(study, settings, replicates, allow_code)
    directory = output or Path("runs") / loaded.spec.name
    console = _stderr()

    def announce(text: str) -> None:
        console.print(text, style="dim", highlight=False, soft_wrap=True)

    if prepare:
        from jaxsim.launch.directory import bind

        runtime.configure(None, loaded.spec.execution.matmul_precision)
        shards = len(bind(loaded, directory, announce).missing())
        _print(f"{directory} is ready: {shards} shards are to be computed")
        return
    from jaxsim.launch.slurm.launch import dry_run as show_scripts
    from jaxsim.launch.slurm.launch import launch as submit
    from jaxsim.launch.slurm.settings import slurm_settings, variables

    names = {"module": "modules", "env": "environment", "sbatch": "options"}
    given = {names.get(k, k): variables(v) if k == "env" else v for k, v in given.items()}
    asked = slurm_settings(loaded.spec.slurm, given, allow_code)
    if dry_run:
        for kind, text in show_scripts(loaded, directory, asked, announce):
            _print(f"# --- {kind} ---\n{text}")
        return
    for job in submit(loaded, directory, asked, announce, repair=repair):
        array = f", {job.tasks} task{'s' * (job.tasks > 1)}" if job.kind == "work" else ""
        _print(f"job {job.job}: {job.kind}{array}")
    _print(f"jaxsim status {directory}")


@app.command()
def status(
    directory: DirectoryArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all shards in full to find damaged ones.")
    ] = False,
    allow_code: CodeOption = False,
) -> None:
    """Show what of a study is done, what its workers do, and Slurm's own states."""
    from jaxsim.launch.status import status as find
    from jaxsim.report.status import print_status

    runtime.configure()
    print_status(find(directory, allow_code, verify), _console())


@app.command()
def cancel(directory: DirectoryArgument) -> None:
    """Cancel the jobs of a directory; what is finished is kept."""
    from jaxsim.launch.slurm.launch import cancel as cancel_jobs

    active = cancel_jobs(directory)
    _print(f"{len(active)} jobs were in the queue and are cancelled" if active else
          "no job of this directory is in the queue")  # fmt: skip


@app.command("list")
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
    _console().print(table)


@app.command()
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

    loaded = _load(study, settings, None, allow_code)
    _warn(loaded)
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
    _print(json.dumps(shown, indent=2))


@app.command()
def plan(
    study: StudyArgument,
    settings: SetOption = [],  # noqa: B006
    replicates: ReplicatesOption = None,
    devices: DevicesOption = None,
    allow_code: CodeOption = False,
) -> None:
    """Show experiments, blocks, shards, memory and a time estimate from a short measurement."""
    from jaxsim.report.plan import print_plan

    runtime.configure()
    loaded = _load(study, settings, replicates, allow_code)
    runtime.configure(None, loaded.spec.execution.matmul_precision)
    errors = _stderr()
    print_plan(
        loaded,
        devices,
        _console(),
        lambda text: errors.print(text, style="dim", highlight=False, soft_wrap=True, markup=False),
    )


@app.command()
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
    write_report(open_results(opened), study, place, _console(), plots=plots)


@app.command()
def replay(
    directory: DirectoryArgument,
    experiment: Annotated[str, typer.Argument(help="Label, id or number of an experiment.")],
    replicate: Annotated[int, typer.Argument(min=0, help="Index of the replicate.")],
    every: Annotated[int, typer.Option("--every", min=1, help="Steps between observations.")] = 1,
    allow_code: CodeOption = False,
) -> None:
    """Run one replicate again, bit for bit, and write its full trajectory as CSV."""
    from jaxsim.launch.replay import replay as run_again
    from jaxsim.report.replay import print_replay

    runtime.configure()
    print_replay(run_again(directory, experiment, replicate, every, allow_code), _console())


@app.command()
def doctor() -> None:
    """Show devices, versions, precision and cache, and find clashes."""
    from jaxsim.report.doctor import examine

    raise typer.Exit(examine(_console()))


@app.command()
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

    _print(write(directory, file_format, output, allow_code))


@app.command()
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

        _console().print(Markdown(text))
    else:
        _print(text, end="")


class _AnswerConsole(Console):
    """A console whose reader may leave early: `jaxsim run STUDY | head -1` is no error."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; what was asked for has been written, so that a full disk costs only the view.

        Raises:
            InputError: if standard output cannot be written.
        """
        try:
            super().print(*objects, **options)
        except OSError as error:
            raise _unprintable(error) from None

    def on_broken_pipe(self) -> None:
        """End quietly."""
        _reader_left()


class _MessageConsole(Console):
    """A console nobody need read: results are not lost because messages cannot be written."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, or be quiet from now on."""
        try:
            super().print(*objects, **options)
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Be quiet from now on."""
        self.quiet = True
        _discard(sys.stderr)


def _console() -> Console:
    """Return the console of answers: a pipe or a file has no width to fold tables into."""
    width = None if sys.stdout.isatty() else 160
    return _AnswerConsole(width=width, markup=False, emoji=False)


def _stderr() -> Console:
    """Return the console of messages; labels and paths are text, whatever brackets they hold."""
    return _MessageConsole(stderr=True, markup=False, emoji=False)


def _print(text: str, end: str = "\n") -> None:
    """Print an answer to standard output.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        _reader_left()
    except OSError as error:
        raise _unprintable(error) from None


def _message(text: str) -> None:
    """Print a line to standard error if that can be written."""
    _stderr().print(text, highlight=False, soft_wrap=True)


def _unprintable(error: OSError) -> InputError:
    """Return the sentence for a standard output that cannot be written."""
    _discard(sys.stdout)
    return InputError(
        f"standard output cannot be written ({error.strerror or error}); accepted: a terminal, a "
        "pipe or a file on a disk with room"
    )


def _reader_left() -> NoReturn:
    _discard(sys.stdout)
    sys.exit(0)


def _discard(stream: TextIO) -> None:
    """Send what a stream still holds, and Python would flush at its end, nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _open_streams() -> None:
    """Open the streams that a shell closed (`>&-`), which Python has as None.

    The lowest free descriptors are theirs: no file of results may stand where others print.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")


def _load(study: str, settings: list[str], replicates: int | None, allow_code: bool) -> Study:
    from jaxsim.study.study import Study

    if replicates is not None:
        settings = [*settings, f"replicates={replicates}"]
    return Study.load(study, settings, allow_code)


def _warn(study: Study) -> None:
    """Print what a reader of the study's numbers should know, before they are computed."""
    for warning in study.warnings:
        _message(f"warning: {warning}")


def main() -> None:
    """Run the command line: bad input ends with one sentence and exit code 2."""
    _open_streams()
    if runtime.is_shadowed():
        _message(
            "warning: an unrelated distribution named 'jaxsim' is installed here, too, and owns a "
            "package of the same name; `jaxsim doctor` says what to do"
        )
    try:
        app()
    except BrokenPipeError:
        _reader_left()
    except InputError as error:
        _message(f"error: {error}")
        sys.exit(2)
