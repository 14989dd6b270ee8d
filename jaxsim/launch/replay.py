"""One replicate again, bit for bit, with its full trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from jaxsim import arguments, runtime
from jaxsim.engines.block import run_block
from jaxsim.engines.registry import make_engine
from jaxsim.errors import InputError, unknown
from jaxsim.launch.directory import Directory, reopen
from jaxsim.launch.simulate import open_results
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
    experiments = directory.study.experiments
    for experiment in experiments:
        if name in (experiment.label, experiment.id):
            return experiment
    # Other digits (²) are no numbers to int(), nor are thousands of them.
    if name.isascii() and name.isdigit() and len(name) < 10 and 1 <= int(name) <= len(experiments):
        return experiments[int(name) - 1]
    raise unknown("experiment", name, [e.label for e in experiments])


def replay(
    path: str | Path, experiment: str, replicate: int, every: int = 1, allow_code: bool = False
) -> Replay:
    """Run one replicate of a directory's study again and observe it every `every` steps.

    The whole block is run, since its width is part of the bits.

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
    replicates = directory.study.spec.replicates
    if replicate >= replicates:
        raise InputError(
            f"replicate = {replicate} is not part of the study; accepted: 0 to {replicates - 1}"
        )
    config = directory.layouts[chosen.id].config
    steps = tuple(sorted({*range(0, chosen.steps + 1, every), *chosen.checkpoints}))
    first = replicate - replicate % config.width
    with jax.default_device(jax.local_devices()[0]):
        engine = make_engine(chosen, config)
        block = run_block(engine, chosen, first, config.width, checkpoints=steps)
    row = Records(*(column[replicate - first : replicate - first + 1] for column in block))
    return Replay(
        chosen, replicate, steps, row, _agrees(directory, chosen, replicate, steps, row), Path(path)
    )


def _agrees(
    directory: Directory,
    experiment: Experiment,
    replicate: int,
    steps: tuple[int, ...],
    row: Records,
) -> bool | None:
    results = open_results(directory)
    for shard in results.finished(experiment):
        if shard.first <= replicate < shard.stop:
            recorded = results.store.read(shard)
            recorded_risk = recorded.risk[replicate - shard.first]
            replayed_risk = row.risk[0, np.searchsorted(steps, experiment.checkpoints)]
            return recorded_risk.tobytes() == replayed_risk.tobytes()
    return None
