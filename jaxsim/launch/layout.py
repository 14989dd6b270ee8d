"""The layout of a study's experiments: engine, width, lanes, shard, as told or as measured."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable

import jax

from jaxsim import runtime
from jaxsim.engines import lanes
from jaxsim.engines.registry import (
    ENGINES,
    REFERENCE,
    ExecutionConfig,
    require,
    unsupported_reason,
)
from jaxsim.errors import InputError
from jaxsim.launch import worker_process
from jaxsim.launch.budget import PILOT, PILOT_PART
from jaxsim.launch.measure import Measurement, is_remembered, lane_counts, measure
from jaxsim.launch.request import pack
from jaxsim.launch.stages import FIRST_LOOK
from jaxsim.study.plan import Layout
from jaxsim.study.spec import ExecutionSpec
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment

SHARD_SECONDS = 10.0
LEAST_SHARD_SECONDS = 1.0
SHARDS = 32
"""A shard takes about ten seconds of a device. In a short study it takes less, so that there are
so many per experiment and workers end together; but not below a second, for each is a file."""
LARGEST_SHARD = 65536
STAGES = 8
"""Parts of all runs that begin together where later runs depend on earlier ones."""
LONG_SECONDS = 20.0
"""Work of a study, in seconds of one core, from which on processes are worth their start."""
_FLOPS, _LEAST_SECONDS = 2e10, 4e-7  # of one core; of a step of one member, however small


def core_seconds(study: Study) -> float:
    """Return a rough estimate of the work of a study, in seconds of one CPU core."""
    return study.spec.replicates * sum(run_seconds(e) for e in study.experiments)


def run_seconds(experiment: Experiment) -> float:
    """Return a rough estimate of the work of one replicate, in seconds of one CPU core."""
    batch = experiment.batch_size if isinstance(experiment.batch_size, int) else 256
    step = max(6 * experiment.network.size * batch / _FLOPS, _LEAST_SECONDS)
    return experiment.steps * step


def block_runs(study: Study) -> int:
    """Return of how many runs that begin together a block may be cut: all, or those of a stage.

    Under a design that is a stratum's pilot; a first look where runs go on until they suffice.
    """
    replicates = study.spec.replicates
    if study.spec.design.name != "plain":
        strata = max(len(design.strata) for design in study.designs.values())
        return max(min(PILOT, replicates // (PILOT_PART * strata)), 1)
    return min(replicates, FIRST_LOOK) if study.spec.until is not None else replicates


def choose_workers(study: Study, devices: int | None = None) -> int:
    """Return how many processes a study should be run by: one for each CPU core if it is long.

    On a CPU a process that keeps to one core runs a third faster than a device among others.
    """
    if devices is not None or jax.default_backend() != "cpu" or study.session_objects:
        return 1  # objects of this session are known to no other process
    return runtime.cores() if core_seconds(study) > LONG_SECONDS else 1


def choose_layouts(
    study: Study, announce: Callable[[str], None] = lambda text: None
) -> dict[str, Layout]:
    """Return the layout of every experiment by its id.

    Experiments that differ only in the optimizer or its learning rate share one measurement.

    Raises:
        InputError: for an engine, width, number of lanes or shard that cannot be.
    """
    execution, replicates = study.spec.execution, block_runs(study)
    # A stage is shared by workers, too: what falls to one stratum is a part of all runs.
    shared = max(study.spec.replicates // (STAGES if study.spec.staged else 1), replicates)
    cores = 1 if choose_workers(study) > 1 else runtime.cores()
    groups: dict[str, Experiment] = {}
    for experiment in study.experiments:
        groups.setdefault(_group(experiment), experiment)
    asked = execution.engine, execution.lanes, cores
    unknown = [
        group
        for group, experiment in groups.items()
        if execution.width == "auto" and not is_remembered(experiment, replicates, *asked)
    ]
    if unknown and cores < runtime.cores():
        _measure_in_subprocess(study, announce)
        unknown = []
    layouts = {}
    for group, experiment in groups.items():
        if group in unknown:
            announce(measuring(experiment, unknown.index(group), len(unknown)))
        layouts[group] = _layout(experiment, replicates, shared, execution, cores)
    return {e.id: layouts[_group(e)] for e in study.experiments}


def measuring(experiment: Experiment, place: int, of: int) -> str:
    """Return what is said before the place-th of several measurements, each of which compiles."""
    return f"measuring engines and widths ({place + 1} of {of}): {experiment.label}"


def _group(experiment: Experiment) -> str:
    """Return what experiments have in common that share a layout."""
    run = f"{experiment.batch_size} {experiment.steps} {lanes.unsupported_reason(experiment)}"
    return f"{experiment.evaluation_key}|{run}"


def _measure_in_subprocess(study: Study, announce: Callable[[str], None]) -> None:
    """Measure in a process that keeps to one core, as the workers will; the results are cached.

    What fails there is found out, and said, here.
    """
    code = ["--allow-code"] if study.allow_code else []
    with tempfile.TemporaryFile("w+") as text:
        text.write(pack(study))
        text.seek(0)
        process = subprocess.Popen(
            worker_process.command("--measure", *code),
            env=worker_process.environment(),
            stdin=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                announce(line.rstrip("\n"))


def _layout(
    experiment: Experiment, together: int, replicates: int, execution: ExecutionSpec, cores: int
) -> Layout:
    """Return the layout of an experiment.

    Args:
        experiment: what is trained.
        together: runs that begin together, of which blocks are cut.
        replicates: runs that shards are cut from.
        execution: what the study says of it.
        cores: of one worker.
    """
    _require_lanes(experiment, execution)
    speed: Measurement | None = None
    if execution.width == "auto":
        speed = measure(experiment, together, execution.engine, execution.lanes, cores)
        config = speed.config
    else:
        config = _stated(experiment, execution.width, execution)
    require(config.engine, experiment)
    if isinstance(execution.shard, int):
        if execution.shard % config.width:
            raise InputError(
                f"execution.shard = {execution.shard} is not accepted: it should be a multiple of "
                f"the width {config.width}"
            )
        return Layout(config, execution.shard)
    if speed is None:
        # Without a measurement: a fixed number of blocks, so that the layout needs no clock.
        wanted = 8 * config.width
    else:
        block = max(speed.block_seconds(experiment), 1e-9)
        most, least = (int(s / block) for s in (SHARD_SECONDS, LEAST_SHARD_SECONDS))
        wanted = min(most, max(least, -(-replicates // (SHARDS * config.width)))) * config.width
    # A few shards per experiment even if it is quick: units of progress and of sharing work.
    quarter = -(-replicates // (4 * config.width)) * config.width
    largest = LARGEST_SHARD // config.width * config.width
    return Layout(config, max(config.width, min(wanted, quarter, largest)))


def _require_lanes(experiment: Experiment, execution: ExecutionSpec) -> None:
    """Refuse a number of lanes where nothing has lanes.

    Raises:
        InputError: naming the engines that have some.
    """
    # One lane is what is recorded of engines without lanes.
    if execution.lanes in ("auto", 1):
        return
    having = [name for name, kind in ENGINES.items() if kind.lane_counts is not None]
    refusal = f"execution.lanes = {execution.lanes} has no effect"
    accepted = f'accepted: "auto", or the engine {" or ".join(having)}'
    if execution.engine != "auto":
        if execution.engine not in having:
            raise InputError(f'{refusal} with execution.engine = "{execution.engine}"; {accepted}')
        return
    if execution.width != "auto":
        raise InputError(
            f'{refusal} where a width is given and no engine, which means "{REFERENCE}"; {accepted}'
        )
    reasons = {name: unsupported_reason(name, experiment) for name in having}
    if not any(ENGINES[n].automatic(experiment) and not reasons[n] for n in having):
        because = next(filter(None, reasons.values()), f"{jax.default_backend()} has no lanes")
        raise InputError(f"{refusal} for {experiment.label!r}: {because}; {accepted}")


def _stated(experiment: Experiment, width: int, execution: ExecutionSpec) -> ExecutionConfig:
    """Return the config of a stated width."""
    engine, lanes = execution.engine, execution.lanes
    engine = REFERENCE if engine == "auto" else engine
    counts = lane_counts(experiment, engine, lanes)
    if not counts:
        return ExecutionConfig(engine, width)
    count = (
        counts[0]
        if len(counts) == 1
        else next((n for n in reversed(counts) if width % n == 0), width)
    )
    if width % count:
        raise InputError(
            f"execution.width = {width} is not accepted: it should be a multiple of {count} lanes"
        )
    return ExecutionConfig(engine, width, count)
