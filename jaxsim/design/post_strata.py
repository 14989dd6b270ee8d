"""Post-stratification: runs of the plain design in strata afterwards, by what they began with.

The number K of first-layer neurons that a run is recorded to have inactive at step 0 has a known
law, Bin(N, p). Given how many runs fell into each stratum, their failures are independent and
binomial, so that intervals for strata hold for them too (Holt and Smith, J. R. Stat. Soc. A 142,
1979); the exact probabilities of the strata take the place of their shares among the runs.

p is that of the recorded event, between two bounds of which the rounding of the training is the
distance (`certified_probability`); weights carry it as their error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.design.stratum import POST_STRATIFIED, Design, Stratum
from jaxsim.errors import InputError
from jaxsim.theory.inactive import certified_probability
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records

EXPECTED = 50
"""Runs that a stratum is to have in expectation, so that few strata stay empty."""
NEVER = 1e-30
"""A probability that is none but for what results near the smallest number may do."""
WIDEST = 0.01
"""Relative distance of the bounds of p up to which it is known."""


def post_stratified(
    experiment: Experiment, runs: int | None = None, kinds: np.ndarray | None = None
) -> Design:
    """Return strata for the runs of an experiment by their inactive neurons at initialization.

    Args:
        experiment: of the plain design.
        runs: of the plan; strata are as fine as these allow, whatever the runs show. None for a
            stratum for each number of neurons.
        kinds: what is known of 0, ..., N inactive neurons without any run, a row for each [N + 1,
            ...]; numbers with different rows share no stratum.

    Raises:
        InputError: where the law of the number of inactive neurons is not known, with the reason.
    """
    width, (low, high) = experiment.network.hidden[:1], _bounds(experiment)
    neurons = width[0]
    k = np.arange(neurons + 1)
    # P(K = k) is least and greatest at the ends, or at p = k / N between them.
    ends = [
        scipy.stats.binom.pmf(k, neurons, p) for p in (low, high, np.clip(k / neurons, low, high))
    ]
    middle = scipy.stats.binom.pmf(k, neurons, (low + high) / 2)
    wrong = np.abs(np.stack(ends) - middle).max(0) + 1e-12 * middle
    strata = []
    share = 0.0 if runs is None else EXPECTED / max(runs, 1)
    for number, (least, most) in enumerate(grouped(middle, share, kinds)):
        inside = slice(least, most + 1)
        strata.append(
            Stratum(
                number=number,
                text=_text(least, most, neurons),
                probability=float(middle[inside].sum()),
                error=float(wrong[inside].sum()),
                experiment=experiment,
                least=least,
                most=most,
            )
        )
    note = "runs of the plain design, post-stratified by the number of inactive neurons at "
    return Design(POST_STRATIFIED, tuple(strata), note + "initialization")


def grouped(
    pmf: np.ndarray, least: float, kinds: np.ndarray | None = None
) -> list[tuple[int, int]]:
    """Return (first, last) of groups of neighbouring numbers, each of at least some probability.

    Groups begin at the greatest number, whose runs fail most; what is left at the end of a kind
    joins its last group.

    Args:
        pmf: of the numbers, [N + 1].
        least: probability of a group, unless its kind has less.
        kinds: of the numbers, [N + 1, ...]; None for one kind.

    Example:
        >>> grouped(np.array([0.1, 0.3, 0.4, 0.15, 0.05]), 0.12)
        [(0, 1), (2, 2), (3, 4)]
        >>> grouped(np.array([0.1, 0.3, 0.4, 0.15, 0.05]), 0.12, np.array([0, 0, 0, 0, 1]))
        [(0, 1), (2, 2), (3, 3), (4, 4)]
    """
    groups: list[tuple[int, int]] = []
    last, mass, fresh = len(pmf) - 1, 0.0, True
    for k in range(len(pmf) - 1, -1, -1):
        mass += float(pmf[k])
        ends = k == 0 or (kinds is not None and bool(np.any(kinds[k] != kinds[k - 1])))
        if mass >= least or (ends and fresh):
            groups.append((k, last))
            last, mass, fresh = k - 1, 0.0, False
        elif ends:
            groups[-1] = k, groups[-1][1]
            last, mass = k - 1, 0.0
        fresh = fresh or ends
    return groups[::-1]


def sorted_into(design: Design, records: Records) -> Iterator[tuple[Stratum, Records]]:
    """Yield the runs of each stratum by their inactive neurons at step 0."""
    inactive = records.inactive[:, 0, 0]
    for stratum in design.strata:
        inside = (stratum.least <= inactive) & (inactive <= stratum.most)
        if inside.any():
            yield stratum, chosen(records, inside)


def chosen(records: Records, rows: np.ndarray) -> Records:
    """Return some rows of records; columns that were not recorded stay empty."""
    columns = (column[rows] if len(column) == len(rows) else column for column in records)
    return Records(*columns)


def _bounds(experiment: Experiment) -> tuple[float, float]:
    """Return bounds of the probability that a neuron is recorded as inactive at step 0.

    Raises:
        InputError: where it is not known, or no neuron ever is.
    """
    network = experiment.network
    if not network.fully_connected or not network.hidden or network.activation is None:
        raise _refusal(experiment, "the network has no hidden layer of a known form")
    if not network.activation.flat:
        raise _refusal(experiment, f"{network.activation.name} has no flat interval")
    support = experiment.problem.law.support
    layer = network.layer_specs[0]
    bounds = certified_probability(layer, network.activation, support, experiment.precision)
    if bounds is None:
        raise _refusal(
            experiment, "the probability that a neuron is inactive has no formula for this law"
        )
    low, high = bounds
    if high < NEVER:
        raise _refusal(experiment, "no neuron is ever inactive at initialization")
    if high - low > WIDEST * min(high, 1 - low):
        raise _refusal(
            experiment,
            f"the probability that a neuron is inactive is known to be in [{low:.3g}, {high:.3g}] "
            "only",
        )
    return low, high


def _refusal(experiment: Experiment, reason: str) -> InputError:
    return InputError(
        f"post_stratify = true is not accepted for {experiment.label}: {reason}; accepted: false, "
        "or bounded inputs, an activation with a flat interval as relu, and independent weights "
        "and biases of known laws"
    )


def _text(least: int, most: int, neurons: int) -> str:
    count = f"{least}" if least == most else f"{least} to {most}"
    return f"{count} of {neurons} neurons inactive"


def check_plain(designs: Sequence[Design]) -> None:
    """Refuse post-stratification beside strata.

    Raises:
        InputError: if a design is not the plain one.
    """
    for design in designs:
        if not design.plain:
            raise InputError(
                f"post_stratify = true is not accepted with the design {design.name!r}, whose runs "
                "have strata; accepted: false, or the design 'plain'"
            )
