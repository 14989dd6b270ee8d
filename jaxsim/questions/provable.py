"""What can be said of failures from inactive neurons, for every n or for all further training.

Both rest on R*(m), the optimal risk with m first-layer neurons, and on the best constant's risk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from jaxsim.evidence import Bound
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.levels import lower_levels
from jaxsim.questions.quantities import Quantity
from jaxsim.risk.constants import best_constant_risk
from jaxsim.theory import LowerBound, exceedance_lower_bound
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records, Status


def lower_bounds_of(
    experiment: Experiment, quantity: Quantity, levels: Sequence[Bracket] | None = None
) -> tuple[LowerBound, ...]:
    """Return lower bounds of the failure probability that hold for every n, for every event.

    Args:
        experiment: what is asked about.
        quantity: what decides its events, and their thresholds.
        levels: brackets of R*(m) for m = 0, ..., N, if they are known; none for error rates.
    """
    eps, optimum = quantity.thresholds, quantity.reference.upper
    # A risk may be negative: then thresholds are counted from the least one on.
    shift = min(0.0, float(eps.min()))
    base = optimum + Bound(shift) if shift else optimum
    bounds = _lower_bounds(experiment, base, eps - shift, quantity.of_constants(), levels)
    return tuple(replace(b, eps=float(e)) for b, e in zip(bounds, eps, strict=True))


def _lower_bounds(
    experiment: Experiment,
    optimum_upper: Bound,
    eps: np.ndarray,
    best_constant_lower: Bound,
    levels: Sequence[Bracket] | None,
) -> tuple[LowerBound, ...]:
    network = experiment.network
    if not network.hidden or network.activation is None:
        reason = "the network has no hidden layer of a known form"
        return tuple(LowerBound(float(e), 0.0, None, reason) for e in eps)
    return exceedance_lower_bound(
        eps,
        network.layer_specs,
        network.activation,
        experiment.problem.law.support,
        optimum_upper=optimum_upper,
        best_constant_lower=best_constant_lower,
        hierarchy=lower_levels(levels),
        keeps_inactive=experiment.optimizer.keeps_inactive,
        precision=experiment.precision,
    )


class RemainingRisk(NamedTuple):
    """Lower bounds of the risk in all further training, by what a run's certificate says.

    Attributes:
        bounds: [width + 2]: for 0, ..., width dead first-layer neurons, and for a dead layer.
        values: of the bounds, float64 [width + 2].
    """

    bounds: tuple[Bound, ...]
    values: np.ndarray

    def which(self, records: Records) -> np.ndarray:
        """Return the index of the best bound of every run, [R]; -1 where there is none."""
        by_neurons = np.minimum(records.dead_neurons, len(self.bounds) - 2)
        last = len(self.bounds) - 1
        by_layer = (records.dead_layer > 0) & (self.values[last] > self.values[by_neurons])
        index = np.where(by_layer, last, by_neurons)
        known = (records.status == Status.OK) & (self.values[index] > -np.inf)
        return np.where(known, index, -1)


def remaining_risk(
    experiment: Experiment,
    levels: Sequence[Bracket] | None = None,
    quantity: Quantity | None = None,
) -> RemainingRisk:
    """Return what the certificates of an experiment's runs bound.

    A dead layer leaves a constant; c dead neurons of the first layer leave the architecture with c
    neurons less. Of error rates only the former says something.
    """
    of_error_rate = quantity is not None and quantity.of_error_rate
    at_least = None if of_error_rate else lower_levels(levels)
    width = experiment.network.hidden[0] if experiment.network.hidden else 0
    if at_least is None:
        by_count = [Bound(-np.inf)] * (width + 1)
    else:
        by_count = [at_least(width - c) for c in range(width + 1)]
    if quantity is not None:
        constant = quantity.of_constants()
    else:
        constant = best_constant_risk(experiment.problem, experiment.risk).lower
    bounds = (*by_count, constant)
    return RemainingRisk(bounds, np.array([b.value for b in bounds]))
