"""Commands that compute a study, here or on a cluster, and look after its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jaxsim.cli.options import (
    CodeOption,
    DevicesOption,
    DirectoryArgument,
    OutputOption,
    QuickOption,
    RepairOption,
    ReplicatesOption,
    SetOption,
    StudyArgument,
    load,
    print_warnings,
)
from jaxsim.cli.output import answer_console, message_console, print_answer, print_text
from jaxsim.errors import InputError

BUSY_CORES = 4
"""So many cores have a shard each in any study: none is needed by the program of another."""


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
    quick: QuickOption = False,
    allow_code: CodeOption = False,
) -> None:
    """Run a study, or go on with it, and answer it."""
    import jax

    from jaxsim import runtime
    from jaxsim.launch.simulate import simulate
    from jaxsim.report.kept_report import KeptReport
    from jaxsim.report.progress import ConsoleProgress
    from jaxsim.report.write import write_report, written_files

    runtime.configure()
    if devices is None and workers in (None, 1) and runtime.cores() <= BUSY_CORES:
        runtime.compute_on_threads_apart()
    loaded = load(study, settings, replicates, allow_code, quick)
    jax.clear_caches()  # of the study's checks: 20 MiB that no run needs
    print_warnings(loaded)
    directory = output or Path("runs") / loaded.spec.name
    console = message_console()
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
    from jaxsim.programs import forget_programs

    forget_programs()
    answers = answer_console()
    kept = KeptReport(directory, directory, [plots], answers, print_text)
    with kept.remembering(loaded, written_files()):
        write_report(results, loaded, directory, answers, plots=plots)


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
    quick: QuickOption = False,
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
            quick=quick, allow_code=allow_code)  # fmt: skip
        return
    if prepare or dry_run:
        mode, idle = ("prepare", given) if prepare else ("dry-run", {})
        alone = {**idle, "dry-run": (dry_run and prepare) or None, "repair": repair or None}
        for name, value in alone.items():
            if value is not None and value != []:
                raise InputError(
                    f"--{name} is not accepted together with --{mode}, which submits nothing"
                )
    from jaxsim import runtime

    runtime.configure()
    loaded = load(study, settings, replicates, allow_code, quick)
    directory = output or Path("runs") / loaded.spec.name
    console = message_console()

    def announce(text: str) -> None:
        console.print(text, style="dim", highlight=False, soft_wrap=True)

    if prepare:
        from jaxsim.launch.directory import bind

        runtime.configure(None, loaded.spec.execution.matmul_precision)
        shards = len(bind(loaded, directory, announce).missing())
        print_answer(f"{directory} is ready: {shards} shards are to be computed")
        return
    from jaxsim.launch.slurm.launch import dry_run as show_scripts
    from jaxsim.launch.slurm.launch import launch as submit
    from jaxsim.launch.slurm.settings import slurm_settings, variables

    names = {"module": "modules", "env": "environment", "sbatch": "options"}
    given = {names.get(k, k): variables(v) if k == "env" else v for k, v in given.items()}
    asked = slurm_settings(loaded.spec.slurm, given, allow_code)
    if dry_run:
        for kind, text in show_scripts(loaded, directory, asked, announce):
            print_answer(f"# --- {kind} ---\n{text}")
        return
    for job in submit(loaded, directory, asked, announce, repair=repair):
        array = f", {job.tasks} task{'s' * (job.tasks > 1)}" if job.kind == "work" else ""
        print_answer(f"job {job.job}: {job.kind}{array}")
    print_answer(f"jaxsim status {directory}")


def status(
    directory: DirectoryArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all shards in full to find damaged ones.")
    ] = False,
    allow_code: CodeOption = False,
) -> None:
    """Show what of a study is done, what its workers do, and Slurm's own states."""
    from jaxsim import runtime
    from jaxsim.launch.status import status as find
    from jaxsim.report.status import print_status

    runtime.configure()
    print_status(find(directory, allow_code, verify), answer_console())


def cancel(directory: DirectoryArgument) -> None:
    """Cancel the jobs of a directory; what is finished is kept."""
    from jaxsim.launch.slurm.launch import cancel as cancel_jobs

    active = cancel_jobs(directory)
    print_answer(f"{len(active)} jobs were in the queue and are cancelled" if active else
          "no job of this directory is in the queue")  # fmt: skip
