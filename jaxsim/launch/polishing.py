"""Polishing a sample of the runs: in which basins do they lie, and at what levels?

Shards hold risks, not parameters: blocks are trained again, bit for bit, and polished. What is done
is kept in the directory, so that it is done once; a budget of seconds cuts it short between blocks
and within them, and the next call goes on.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.engines.block import advance_to_end
from jaxsim.engines.registry import make_engine
from jaxsim.launch.directory import Directory
from jaxsim.launch.layout import core_seconds, run_seconds
from jaxsim.optimum.strategy import Budget
from jaxsim.results.polished import PolishedFiles, Sample
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment
from jaxsim.training.polish import Polished, batch_of, make_polish

RUNS = 256
"""Runs of each experiment that are polished unless told otherwise."""
PART, LEAST_SECONDS = 10.0, 60.0
"""A study's polishing takes one of so many parts of its own time, and at least so long."""

Polish = Callable[[np.ndarray, Callable[[], bool]], Polished | None]


def polish_seconds(study: Study) -> float:
    """Return the seconds that polishing may take."""
    stated = study.spec.levels.budget
    return max(LEAST_SECONDS, core_seconds(study) / PART) if stated is None else stated


def unpolished(directory: Directory, runs: int) -> list[tuple[Experiment, int]]:
    """Return experiments with the number of runs that are to be polished and not all are.

    Args:
        directory: of the study.
        runs: of each experiment, as far as they are finished.
    """
    files = PolishedFiles(directory.store.directory)
    wanted = min(runs, directory.study.spec.replicates)
    waiting = []
    for experiment in directory.study.experiments:
        if experiment.problem.training is not None:
            continue
        most = min(wanted, _finished(directory, experiment))
        if len(files.load(experiment).polished.risk) < most:
            waiting.append((experiment, most))
    return waiting


def polish_runs(
    directory: Directory,
    runs: int,
    budget: Budget,
    announce: Callable[[str], None] = lambda text: None,
    first: int = 0,
) -> bool:
    """Polish the first runs of every experiment, as far as the budget goes.

    Args:
        directory: of the study.
        runs: of each experiment.
        budget: of all together.
        announce: told in a sentence what is done and what is left.
        first: of the experiments; workers that polish at the same time begin with different ones.

    Returns:
        Whether all of them are polished.

    Raises:
        InputError: if they cannot be written.
    """
    files = PolishedFiles(directory.store.directory)
    wanted = min(runs, directory.study.spec.replicates)
    held = [e for e in directory.study.experiments if e.problem.training is not None]
    if held:
        announce(
            f"{len(held)} experiment{'s are' if len(held) > 1 else ' is'} not polished: trainings "
            f"minimize the risk over the training rows, not that over {held[0].problem.over}"
        )
    waiting = unpolished(directory, runs)
    if not waiting or budget.spent:
        return not waiting
    waiting = waiting[first % len(waiting) :] + waiting[: first % len(waiting)]
    announce(
        f"polishing {wanted:,} runs of {len(waiting)} experiment{'s' * (len(waiting) > 1)} on the "
        f"exact risk, for up to {budget.seconds:.3g} s"
    )
    shared: dict[str, Polish] = {}
    left = 0
    for place, (experiment, most) in enumerate(waiting):
        part = budget.share(1 / (len(waiting) - place))
        key = experiment.evaluation_key + experiment.hypothesis_class
        polish = shared.get(key) or make_polish(experiment)
        shared[key] = polish
        done = _polish_experiment(directory, experiment, polish, most, files, part)
        left += most - done
    if left:
        announce(
            f"{left:,} runs are not polished, which the budget of {budget.seconds:.3g} s left no "
            f"time for; `jaxsim levels {directory.store.directory}` goes on"
        )
    return not left


def _finished(directory: Directory, experiment: Experiment) -> int:
    """Return how many replicates are finished from 0 on, up to the first shard that is missing."""
    finished, stop = directory.store.finished(experiment.id), 0
    for shard in directory.shards(experiment):
        if shard.name not in finished:
            break
        stop = shard.stop
    return stop


def _polish_experiment(
    directory: Directory,
    experiment: Experiment,
    polish: Polish,
    most: int,
    files: PolishedFiles,
    budget: Budget,
) -> int:
    """Return how many runs of an experiment are polished when the budget is spent."""
    sample = files.load(experiment)
    width = directory.layout(experiment).config.width
    while len(sample.polished.risk) < most and not budget.spent:
        done = len(sample.polished.risk)
        if done == len(sample.theta):
            if run_seconds(experiment) * width > budget.left:
                break
            first = done - done % width
            theta = final_parameters(directory, experiment, first)[done - first :]
            sample = Sample(np.concatenate([sample.theta, theta[: most - done]]), sample.polished)
            files.save(experiment, sample)
        part = sample.theta[done : done + batch_of(experiment)]
        polished = polish(part, lambda: budget.spent)
        if polished is None:
            break
        joined = (np.concatenate(pair) for pair in zip(sample.polished, polished, strict=True))
        sample = Sample(sample.theta, Polished(*joined))
        files.save(experiment, sample)
    return len(sample.polished.risk)


def final_parameters(directory: Directory, experiment: Experiment, first: int) -> np.ndarray:
    """Return the parameters of a block's runs after the last step, float64 [width, P].

    The whole block is trained, since its width is part of the bits.
    """
    config = directory.layout(experiment).config
    with jax.default_device(jax.local_devices()[0]):
        engine = make_engine(experiment, config)
        theta = engine.theta(advance_to_end(engine, experiment, first, config.width))
    return np.asarray(jnp.asarray(theta), np.float64)
