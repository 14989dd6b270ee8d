"""One replicate again, bit for bit, with its full trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from jaxsim import arguments, runtime
from jaxsim.engines.block import run_block
from jaxsim.engines.registry import make_engine
from jaxsim.errors import InputError
from jaxsim.launch.directory import Directory, reopen
from jaxsim.launch.parameters import experiment_named, ranges, trained_stratum
from jaxsim.results.store import Shard
from jaxsim.study.plan import block_of
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records


@dataclass(frozen=True)
class Replay:
    """A replicate run again.

    Attributes:
        experiment: the replicate's experiment.
        replicate: its index.
        steps: where it was observed.
        records: its one row, with the trajectory at `steps`.
        agrees: whether the recorded risks are the same bits; None if its shard is not there.
        directory: of the study.
    """

    experiment: Experiment
    replicate: int
    steps: tuple[int, ...]
    records: Records
    agrees: bool | None
    directory: Path


def find_experiment(directory: Directory, name: str) -> Experiment:
    """Return the experiment with the given label, id or number (from 1).

    Raises:
        InputError: if there is none.
    """
    return experiment_named(directory.study.experiments, name)


def replay(
    path: str | Path,
    experiment: str,
    replicate: int,
    every: int = 1,
    allow_code: bool = False,
    stratum: int | None = None,
) -> Replay:
    """Run one replicate of a directory's study again and observe it every `every` steps.

    The whole block is run, since its width is part of the bits.

    Args:
        path: of the directory.
        experiment: label, id or number.
        replicate: its index, of the stratum where there are strata.
        every: steps between observations.
        allow_code: whether the study's own code may be imported.
        stratum: number of the stratum of a design.

    Raises:
        InputError: for an unknown experiment or a replicate that is not part of the plan.
    """
    every = arguments.whole("every", every)
    replicate = arguments.whole("replicate", replicate, least=0)
    experiment = arguments.text("experiment", experiment)
    arguments.flag("allow_code", allow_code)
    directory = reopen(path, allow_code)
    runtime.configure(None, directory.study.spec.execution.matmul_precision)
    chosen = find_experiment(directory, experiment)
    trained = trained_stratum(directory.study.designs[chosen.id], stratum)
    chosen, part = trained.experiment, "the study" if stratum is None else f"stratum {stratum}"
    planned = [s for e, s in directory.tasks(directory.experiment_of(chosen)) if e.id == chosen.id]
    shard = next((s for s in planned if s.first <= replicate < s.stop), None)
    if shard is None:
        raise InputError(
            f"replicate = {replicate} is not part of {part}; accepted: {ranges(planned)}"
        )
    config = directory.layout(chosen).config
    steps = tuple(sorted({*range(0, chosen.steps + 1, every), *chosen.checkpoints}))
    first = block_of(shard, replicate, config.width)
    with jax.default_device(jax.local_devices()[0]):
        engine = make_engine(chosen, config)
        block = run_block(engine, chosen, first, config.width, checkpoints=steps)
    row = Records(*(column[replicate - first : replicate - first + 1] for column in block))
    agrees = _agrees(directory, shard, chosen, replicate, steps, row)
    return Replay(chosen, replicate, steps, trained.whole(row), agrees, Path(path))


def _agrees(
    directory: Directory,
    shard: Shard,
    experiment: Experiment,
    replicate: int,
    steps: tuple[int, ...],
    row: Records,
) -> bool | None:
    if not directory.store.has(shard):
        return None
    recorded_risk = directory.store.read(shard).risk[replicate - shard.first]
    replayed_risk = row.risk[0, np.searchsorted(steps, experiment.checkpoints)]
    return recorded_risk.tobytes() == replayed_risk.tobytes()
