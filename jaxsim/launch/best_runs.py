"""The parameters of a study's best runs, for strategies that start from them.

Shards hold risks, not parameters: the block of the best replicate is trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.engines.block import advance_to_end
from jaxsim.engines.registry import make_engine
from jaxsim.launch.directory import Directory
from jaxsim.launch.layout import run_seconds
from jaxsim.launch.searches import Search
from jaxsim.optimum.solve import is_closed, search, solution
from jaxsim.optimum.strategy import Budget, Certificate, CertificateError
from jaxsim.results.certificates import CertificateFiles
from jaxsim.results.store import Shard
from jaxsim.study.plan import block_of
from jaxsim.training.experiment import Experiment

MOST = 8
"""Runs of the best block that are offered."""
_NAME = "runs-offered"


class BestRun(NamedTuple):
    """The run with the least risk at the end.

    Attributes:
        risk: its risk.
        experiment: whose run it is.
        replicate: its index.
        shard: that holds it.
    """

    risk: float
    experiment: Experiment
    replicate: int
    shard: Shard


def offer_best_runs(
    directory: Directory,
    searches: Sequence[Search],
    budget: Budget,
    announce: Callable[[str], None] = lambda text: None,
) -> None:
    """Offer the best runs of every class whose bracket is open to its strategies, once.

    Nothing is done while runs are missing, or where training the block again would take longer than
    there is time.

    Args:
        directory: of the study.
        searches: of the study.
        budget: of all together.
        announce: told in a sentence what goes wrong.

    Raises:
        InputError: if certificates cannot be written.
    """
    files = CertificateFiles(directory.store.directory)
    own_searches = [planned for planned in searches if planned.own]
    if not own_searches or budget.spent or directory.missing():
        return
    for place, planned in enumerate(own_searches):
        part = budget.share(1 / (len(own_searches) - place))
        known = planned.known
        if part.spent or is_closed(planned.of, solution(planned.of, known, files).added_to(known)):
            continue
        best = best_run(directory, planned)
        if best is None or _offered(files, planned, best):
            continue
        width = directory.layout(best.experiment).width
        if run_seconds(best.experiment) * width > part.left:
            continue
        runs = best_parameters(directory, best)
        search(planned.of, known, files, part, runs, announce)
        if not part.spent:
            files.save(planned.of.key, Certificate(_NAME, _mark(best)))


def best_run(directory: Directory, one: Search) -> BestRun | None:
    """Return the run of a class with the least risk at the end, None without any finite one."""
    best: BestRun | None = None
    for experiment in directory.study.experiments:
        if experiment.hypothesis.key != one.of.key:
            continue
        for trained, shard in directory.tasks(experiment):
            # Strategies start from networks of the class, trained again as independent runs.
            narrow = trained.network.size != experiment.network.size
            if narrow or directory.resampling(trained) is not None:
                continue
            last = directory.store.read(shard).risk[:, -1]
            if np.isfinite(last).any():
                place = int(np.nanargmin(last))
                candidate = BestRun(float(last[place]), trained, shard.first + place, shard)
                best = candidate if best is None or candidate.risk < best.risk else best
    return best


def best_parameters(directory: Directory, best: BestRun) -> list[np.ndarray]:
    """Return final parameters [P], float64, of the best run and others of its block, best first.

    The whole block is trained, since its width is part of the bits.
    """
    experiment = best.experiment
    config = directory.layout(experiment).config
    first = block_of(best.shard, best.replicate, config.width)
    with jax.default_device(jax.local_devices()[0]):
        engine = make_engine(experiment, config)
        theta = engine.theta(advance_to_end(engine, experiment, first, config.width))
        risk = np.asarray(engine.observe(theta).risk)
    theta = np.asarray(jnp.asarray(theta), np.float64)
    order = np.argsort(np.where(np.isfinite(risk), risk, np.inf), kind="stable")[:MOST]
    return [theta[i] for i in order if np.isfinite(theta[i]).all() and np.isfinite(risk[i])]


def _mark(best: BestRun) -> dict[str, np.ndarray]:
    name = np.frombuffer(best.experiment.id.encode(), np.uint8)
    return {"experiment": name, "replicate": np.array(best.replicate)}


def _offered(files: CertificateFiles, one: Search, best: BestRun) -> bool:
    """Return whether this run was offered before."""
    try:
        stored = files.load(one.of.key, _NAME)
    except CertificateError:
        return False
    mark = _mark(best)
    return stored is not None and all(
        name in stored.arrays and np.array_equal(stored.arrays[name], mark[name]) for name in mark
    )
