"""The plan of a study as a table: what will be computed, in which pieces, and how long it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxsim import runtime
from jaxsim.engines.registry import ExecutionConfig
from jaxsim.launch.layout import choose_layouts, choose_workers
from jaxsim.launch.measure import Measurement, is_remembered_config, measure_config
from jaxsim.launch.searches import planned_searches, search_seconds
from jaxsim.report.plan_designs import design_costs
from jaxsim.report.text import counted, duration, size
from jaxsim.speed.work import block_bytes
from jaxsim.study.plan import Layout
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import program_key

COMPILE_SECONDS = 4.0


def print_plan(
    study: Study,
    devices: int | None,
    console: Console,
    announce: Callable[[str], None] = lambda text: None,
    directory: Path | None = None,
) -> None:
    """Print experiments, blocks, shards, memory and a time estimate from a short measurement.

    Args:
        study: what is planned.
        devices: how many would be used; None for all.
        console: of the table.
        announce: told what is measured, which takes seconds for each program.
        directory: whose runs say how often runs fail, if it holds some of the study.
    """
    local_devices = runtime.choose_devices(devices)
    replicates = study.spec.replicates
    workers = choose_workers(study, devices)
    layouts = choose_layouts(study, announce)
    parallel, cores = (workers, 1) if workers > 1 else (len(local_devices), None)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("experiment")
    for heading in ("parameters", "steps", "engine", "width", "blocks", "shards", "memory", "time"):
        table.add_column(heading, justify="right")
    total, speeds = 0.0, _speeds(study, layouts, cores, announce)
    for experiment in study.experiments:
        layout = layouts[experiment.id]
        blocks = math.ceil(replicates / layout.width)
        seconds = blocks * speeds[_group(experiment, layout)].block_seconds(experiment) / parallel
        total += seconds
        table.add_row(
            Text(experiment.label),
            f"{experiment.network.size:,}",
            f"{experiment.steps:,}",
            layout.config.engine,
            f"{layout.width:,}",
            f"{blocks:,}",
            f"{math.ceil(replicates / layout.shard):,}",
            size(block_bytes(experiment, layout.width)),
            duration(seconds),
        )
    for warning in study.warnings:
        console.print(f"warning: {warning}", highlight=False, soft_wrap=True, markup=False)
    console.print(table)
    programs = programs_of(study)
    runs = replicates * len(study.experiments)
    stored = sum(replicates * record_bytes(e) for e in study.experiments)
    console.print(
        f"\n{counted(len(study.experiments), 'experiment')}, {counted(runs, 'run')}, "
        f"{counted(programs, 'program')} to compile on {parallel} x "
        f"{local_devices[0].device_kind}; about {duration(total)}, and up to "
        f"{duration(math.ceil(programs / parallel) * COMPILE_SECONDS)} to compile if none is "
        "cached; "
        f"results at most {size(stored)}",
        highlight=False,
        soft_wrap=True,
    )

    def each(experiment: Experiment) -> float:
        layout = layouts[experiment.id]
        block = speeds[_group(experiment, layout)].block_seconds(experiment)
        return block / layout.width / parallel

    costs, remarks = design_costs(study, directory, each)
    console.print()
    console.print(costs)
    for remark in remarks:
        console.print(remark, highlight=False, soft_wrap=True, markup=False)
    searches, budget = planned_searches(study), search_seconds(study)
    if searches and budget > 0:
        console.print(
            f"bounds of inf L: {counted(len(searches), 'search task')} beside the runs, for up to "
            f"{duration(budget)} in each process",
            highlight=False,
            soft_wrap=True,
        )


def programs_of(study: Study) -> int:
    """Return how many programs train a study.

    Experiments that differ in numbers of their optimizers, in steps or in the scale of the
    initialization share one; strata may have narrower networks with programs of their own.
    """
    parts = (stratum for design in study.designs.values() for stratum in design.strata)
    return len({program_key(stratum.experiment) for stratum in parts})


def _group(experiment: Experiment, layout: Layout) -> tuple[str, str, ExecutionConfig]:
    """Return what experiments have in common that are equally fast."""
    return experiment.evaluation_key, str(experiment.batch_size), layout.config


def _speeds(
    study: Study,
    layouts: Mapping[str, Layout],
    cores: int | None,
    announce: Callable[[str], None],
) -> dict[tuple[str, str, ExecutionConfig], Measurement]:
    """Return the speed of each group of experiments."""
    groups: dict[tuple[str, str, ExecutionConfig], Experiment] = {}
    for experiment in study.experiments:
        groups.setdefault(_group(experiment, layouts[experiment.id]), experiment)
    speeds = {}
    for place, (group, experiment) in enumerate(groups.items()):
        if not is_remembered_config(experiment, group[-1], cores):
            announce(f"measuring speeds ({place + 1} of {len(groups)}): {experiment.label}")
        speeds[group] = measure_config(experiment, group[-1], cores)
    return speeds


def record_bytes(experiment: Experiment) -> int:
    """Return the bytes of one replicate's results, uncompressed."""
    checkpoints = len(experiment.checkpoints)
    return 33 + checkpoints * (16 + 4 * len(experiment.network.hidden))
