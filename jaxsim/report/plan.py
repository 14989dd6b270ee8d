"""The plan of a study as a table: what will be computed, in which pieces, and how long it takes."""

from __future__ import annotations

import math

import numpy as np
from rich.console import Console
from rich.table import Table

from jaxsim import runtime
from jaxsim.launch.layout import choose_layouts, choose_workers
from jaxsim.launch.measure import measure_form
from jaxsim.report.text import duration, size
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment

COMPILE_SECONDS = 4.0


def print_plan(study: Study, devices: int | None, console: Console) -> None:
    """Print experiments, blocks, shards, memory and a time estimate from a short measurement."""
    there = runtime.choose_devices(devices)
    replicates = study.spec.replicates
    workers = choose_workers(study, devices)
    layouts = choose_layouts(study)
    parallel, cores = (workers, 1) if workers > 1 else (len(there), None)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("experiment")
    for heading in ("parameters", "steps", "engine", "width", "blocks", "shards", "memory", "time"):
        table.add_column(heading, justify="right")
    total, speeds = 0.0, {}
    for experiment in study.experiments:
        layout = layouts[experiment.id]
        group = (experiment.evaluation_key, str(experiment.batch_size), layout.config)
        if group not in speeds:
            speeds[group] = measure_form(experiment, layout.config, cores)
        blocks = math.ceil(replicates / layout.width)
        seconds = blocks * speeds[group].block_seconds(experiment) / parallel
        total += seconds
        table.add_row(
            experiment.label,
            f"{experiment.network.size:,}",
            f"{experiment.steps:,}",
            layout.config.engine,
            f"{layout.width:,}",
            f"{blocks:,}",
            f"{math.ceil(replicates / layout.shard):,}",
            size(block_bytes(experiment, layout.width)),
            duration(seconds),
        )
    console.print(table)
    programs = len({e.training_key for e in study.experiments})
    runs = replicates * len(study.experiments)
    stored = sum(replicates * record_bytes(e) for e in study.experiments)
    console.print(
        f"\n{len(study.experiments):,} experiments, {runs:,} runs, {programs:,} programs to "
        f"compile on {parallel} x {there[0].device_kind}; about {duration(total)}, and up to "
        f"{duration(programs * COMPILE_SECONDS / parallel)} to compile if none is cached; "
        f"results at most {size(stored)}",
        highlight=False,
        soft_wrap=True,
    )


def block_bytes(experiment: Experiment, width: int) -> float:
    """Return the bytes of the state of a block: parameters, moments, gradients, mini-batches."""
    item = np.dtype(experiment.precision).itemsize
    batch = experiment.batch_size if isinstance(experiment.batch_size, int) else 1024
    units = sum(experiment.network.hidden) + experiment.network.inputs + experiment.network.outputs
    samples = experiment.training_set.size if experiment.training_set else 0
    own = experiment.training_set is not None and experiment.training_set.scope == "replicate"
    per_member = 5 * experiment.network.size + 2 * batch * units
    per_member += samples * (experiment.network.inputs + 1) if own else 0
    return float(width * per_member * item)


def record_bytes(experiment: Experiment) -> int:
    """Return the bytes of one replicate's results, uncompressed."""
    checkpoints = len(experiment.checkpoints)
    return 33 + checkpoints * (16 + 4 * len(experiment.network.hidden))
