"""The parameters of any run, by training its block again: nothing of them is stored.

`find_run` names the best, the median, the worst or a failing run of an experiment; `parameters`
returns what its flax module takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsim import arguments, runtime
from jaxsim.design.stratum import Design, Stratum
from jaxsim.engines.block import advance_to, start
from jaxsim.engines.registry import ExecutionConfig, current_name, make_engine
from jaxsim.errors import InputError, unknown
from jaxsim.questions.ask import optimal_risk_of
from jaxsim.questions.events import thresholds
from jaxsim.results.results import Results
from jaxsim.results.store import Shard
from jaxsim.study.plan import block_of
from jaxsim.training import keys
from jaxsim.training.experiment import Experiment

CHOICES = ("best", "median", "worst", "failing")


class Run(NamedTuple):
    """A run of an experiment.

    Attributes:
        experiment: label.
        replicate: its index.
        risk: true risk at the last step; infinite for a diverged run.
        stratum: number of the stratum of a design; None under the plain one.
    """

    experiment: str
    replicate: int
    risk: float
    stratum: int | None = None


def find_run(
    results: Results, experiment: str | int, which: str = "best", eps: float | None = None
) -> Run:
    """Return the best, median, worst or a failing run by the true risk at the last step.

    Args:
        results: of a study.
        experiment: label, id or number (from 1).
        which: "best", "median" (of the law of the initialization, whatever the design), "worst", or
            "failing": the first run that certainly exceeds the optimal risk by more than `eps`.
        eps: for "failing".

    Raises:
        InputError: for an unknown experiment or choice, an experiment without finished runs, or if
            no run is known to fail.
    """
    if which not in CHOICES:
        raise unknown("which", which, CHOICES)
    if (which == "failing") != (eps is not None):
        raise InputError(
            f"eps = {eps!r} is not accepted for which = {which!r}; accepted: a number with "
            "'failing', and only there"
        )
    chosen = _experiment(results, experiment)
    found: list[tuple[np.ndarray, ...]] = []
    for records, stratum, share in results.weighted(chosen):
        count = len(records.replicate)
        number = -1 if stratum is None else stratum.number
        risk = np.where(np.isfinite(records.risk[:, -1]), records.risk[:, -1], np.inf)
        columns = np.full(count, number), records.replicate, risk, records.error[:, -1]
        found.append((*columns, np.full(count, share or 1.0)))
    if not found:
        raise InputError(f"experiment = {chosen.label!r} has no finished runs yet")
    strata, replicates, risk, error, weight = (np.concatenate(c) for c in zip(*found, strict=True))
    order = np.argsort(risk, kind="stable")
    if which == "failing":
        assert eps is not None
        limit = optimal_risk_of(results, chosen).upper.value + float(thresholds(eps)[0])
        failing = np.flatnonzero((risk - np.where(np.isfinite(risk), error, 0.0)) > limit)
        if not failing.size:
            raise InputError(
                f"no run of {chosen.label!r} is known to exceed the optimal risk by more than "
                f"{eps:.12g}; accepted: 'best', 'median', 'worst', or another eps"
            )
        place = failing[0]
    elif which == "median":
        below = np.cumsum(weight[order])
        place = order[np.searchsorted(below, 0.5 * below[-1])]
    else:
        place = order[0 if which == "best" else -1]
    stratum = int(strata[place])
    return Run(
        chosen.label, int(replicates[place]), float(risk[place]), None if stratum < 0 else stratum
    )


def parameters(
    results: Results,
    experiment: str | int,
    replicate: int | str = "best",
    n: int | None = None,
    *,
    stratum: int | None = None,
    eps: float | None = None,
) -> Any:
    """Return the parameters of a run after n steps, as its flax module has them.

    The block of the run is trained again, with the engine and width of the study, so that they are
    the same bits. Of a stratum that leaves out inactive neurons they are those of the smaller
    network that is trained.

    Args:
        results: of a study.
        experiment: label, id or number (from 1).
        replicate: index of the run, or "best", "median", "worst" or "failing" (`find_run`).
        n: steps; None for the last one.
        stratum: number of the stratum, where the design has some and a replicate is given.
        eps: for "failing".

    Raises:
        InputError: for an unknown experiment, a replicate that is not part of the plan, or steps
            outside the study's.

    Example:
        ```
        theta = results.parameters("adam", "median")
        network = results.experiments[0].network
        network.module.apply(theta, x)
        ```
    """
    if not isinstance(results, Results):
        raise InputError(
            f"results = {type(results).__name__} is not accepted: it should be what "
            "`jaxsim.simulate` returns"
        )
    runtime.require_unforked()
    chosen = _experiment(results, experiment)
    steps = chosen.steps if n is None else arguments.whole("n", n, 0, chosen.steps)
    if isinstance(replicate, str):
        if stratum is not None:
            raise InputError(f"stratum = {stratum} has no effect with replicate = {replicate!r}")
        run = find_run(results, chosen.id, replicate, eps)
        replicate, stratum = run.replicate, run.stratum
    elif eps is not None:
        raise InputError(f"eps = {eps!r} has no effect with replicate = {replicate!r}")
    replicate = arguments.whole("replicate", replicate, least=0)
    trained = trained_stratum(results.design(chosen), stratum).experiment
    config = _config(results, chosen)
    planned = list(results.planned.get(trained.id, ()))
    shard = next((s for s in planned if s.first <= replicate < s.stop), None)
    if shard is None:
        part = "the study" if stratum is None else f"stratum {stratum}"
        raise InputError(
            f"replicate = {replicate} is not part of {part}; accepted: {ranges(planned)}"
        )
    first = block_of(shard, replicate, config.width)
    with jax.default_device(jax.local_devices()[0]):
        engine = make_engine(trained, config)
        if first + config.width - 1 > keys.LARGEST_REPLICATE:
            raise InputError(f"replicate = {replicate} is too large")
        state = start(engine, trained, first, config.width)
        goals = [c for c in trained.checkpoints[1:] if c < steps]
        state = advance_to(engine, trained, state, [*goals, steps] if steps else [])
        theta = engine.theta(state)[replicate - first]
    return trained.network.unravel(theta)


def trained_stratum(design: Design, number: int | None) -> Stratum:
    """Return the stratum that is meant, or the only one.

    Raises:
        InputError: if none is stated where there are several, or it is not one of them.
    """
    if design.plain:
        if number is not None:
            raise InputError(
                f"stratum = {number} is not accepted: the design is plain; accepted: no stratum"
            )
        return design.strata[0]
    last = len(design.strata) - 1
    if number is None or not 0 <= number <= last:
        given = "is missing" if number is None else f"= {number} is not accepted"
        raise InputError(f"stratum {given}; accepted: 0 to {last}, the strata of the design")
    return design.strata[number]


def ranges(planned: Sequence[Shard]) -> str:
    """Return the replicates of shards, as a range or two."""
    joined: list[list[int]] = []
    for shard in sorted(planned, key=lambda s: s.first):
        if joined and joined[-1][1] == shard.first:
            joined[-1][1] = shard.stop
        else:
            joined.append([shard.first, shard.stop])
    return ", ".join(f"{first} to {stop - 1}" for first, stop in joined) or "none so far"


def experiment_named(experiments: Sequence[Experiment], name: str | int) -> Experiment:
    """Return the experiment with a label, id or number (from 1).

    Raises:
        InputError: if there is none.
    """
    text = str(name)
    for experiment in experiments:
        if text in (experiment.label, experiment.id):
            return experiment
    # Other digits (²) are no numbers to int(), nor are thousands of them.
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= len(experiments):
        return experiments[int(text) - 1]
    raise unknown("experiment", name, [e.label for e in experiments])


def _experiment(results: Results, name: str | int) -> Experiment:
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise InputError(
            f"experiment = {name!r} is of type {type(name).__name__}; accepted: a label, an id or "
            "a number from 1"
        )
    return experiment_named(results.experiments, name)


def _config(results: Results, experiment: Experiment) -> ExecutionConfig:
    """Return how the blocks of an experiment are executed, as its directory says.

    Raises:
        InputError: if it does not.
    """
    manifest = results.store.manifest()
    known = manifest.get("experiments") if isinstance(manifest, dict) else None
    for e in known or ():
        if e.get("id") == experiment.id:
            return ExecutionConfig(current_name(e["engine"]), e["width"], e["lanes"])
    raise InputError(
        f"{str(results.store.directory)!r} does not say how the blocks of {experiment.label!r} "
        "were executed; accepted: what `jaxsim.simulate` returns"
    )
