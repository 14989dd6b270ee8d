"""What can be said of failures from inactive neurons, for every n or for all further training.

Both rest on R*(m), the optimal risk with m first-layer neurons, and on the best constant's risk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxsim.evidence import Bound
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.levels import lower_levels
from jaxsim.risk.constants import best_constant_risk
from jaxsim.theory import LowerBound, exceedance_lower_bound
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records, Status


def lower_bounds_of(
    experiment: Experiment,
    optimum: Bracket,
    eps: np.ndarray,
    levels: Sequence[Bracket] | None = None,
) -> tuple[LowerBound, ...]:
    """Return lower bounds of the exceedance probability that hold for every n, for every eps.

    Args:
        experiment: what is asked about.
        optimum: bracket of its optimal risk.
        eps: thresholds.
        levels: brackets of R*(m) for m = 0, ..., N, if they are known.
    """
    network = experiment.network
    if not network.hidden or network.activation is None:
        reason = "the network has no hidden layer of a known form"
        return tuple(LowerBound(float(e), 0.0, None, reason) for e in eps)
    return exceedance_lower_bound(
        eps,
        network.layer_specs,
        network.activation,
        experiment.problem.law.support,
        optimum_upper=optimum.upper,
        best_constant_lower=best_constant_risk(experiment.problem, experiment.risk).lower,
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
    experiment: Experiment, levels: Sequence[Bracket] | None = None
) -> RemainingRisk:
    """Return what the certificates of an experiment's runs bound.

    A dead layer leaves a constant; c dead neurons of the first layer leave the architecture with c
    neurons less.
    """
    at_least = lower_levels(levels)
    width = experiment.network.hidden[0] if experiment.network.hidden else 0
    if at_least is None:
        by_count = [Bound(-np.inf)] * (width + 1)
    else:
        by_count = [at_least(width - c) for c in range(width + 1)]
    bounds = (*by_count, best_constant_risk(experiment.problem, experiment.risk).lower)
    return RemainingRisk(bounds, np.array([b.value for b in bounds]))
