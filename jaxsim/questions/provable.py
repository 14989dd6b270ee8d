"""What can be said of failures from inactive neurons, for every n or for all further training.

Both rest on R*(m), the optimal risk with m first-layer neurons, and on the best constant's risk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxsim.design.stratum import Design
from jaxsim.evidence import PROVED, Bound, Evidence, weakest
from jaxsim.network.network import Network
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.levels import lower_levels
from jaxsim.questions.quantities import Quantity
from jaxsim.questions.question import Subject
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
    if quantity.of_network:
        reason = "bounds from inactive neurons are of risks and error rates"
        return tuple(LowerBound(float(e), 0.0, None, reason) for e in eps)
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


class DecidedStrata(NamedTuple):
    """Strata all of whose runs fail at every step, by proof.

    Attributes:
        strata: which, bool [S].
        evidence: what the proof rests on; "proved" where there is none.
    """

    strata: np.ndarray
    evidence: Evidence


def decided_strata(
    design: Design,
    quantity: Quantity,
    remaining: RemainingRisk,
    thresholds: np.ndarray | None = None,
) -> list[DecidedStrata]:
    """Return, for every event, the strata whose inactive neurons alone make a run fail, [g].

    Neurons inactive at initialization stay so under an optimizer that keeps them, and what the
    certificates of a run say of its further training then holds from its first step on. The plain
    design has no such stratum, and nothing is said of what networks are like.

    Args:
        design: the strata.
        quantity: what decides the events.
        remaining: lower bounds of its value by the number of inactive first-layer neurons.
        thresholds: other ones than those of the events.
    """
    if design.plain or quantity.of_network:
        asked = thresholds if thresholds is not None else quantity.thresholds
        return none_decided(len(design.strata), asked)
    experiment, upper = quantity.experiment, quantity.reference.upper
    width, constant = len(remaining.bounds) - 2, len(remaining.bounds) - 1
    keeps = experiment.optimizer.keeps_inactive and np.isfinite(upper.value)
    absorbed = _absorbs(experiment.network)
    answers = []
    for threshold in quantity.thresholds if thresholds is None else thresholds:
        strata, evidence = np.zeros(len(design.strata), bool), [PROVED]
        for k, stratum in enumerate(design.strata if keeps else ()):
            places = [min(stratum.least, width) if absorbed else 0]
            if stratum.dead_later or 0 < width <= stratum.least:
                places.append(constant)
            bounds = [remaining.bounds[place] for place in places]
            enough = [bound for bound in bounds if bound.value > upper.value + threshold]
            if enough:
                strata[k] = True
                strongest = min(enough, key=lambda bound: bound.evidence.strength)
                evidence += [strongest.evidence, upper.evidence]
        answers.append(DecidedStrata(strata, weakest(evidence)))
    return answers


def none_decided(strata: int, thresholds: np.ndarray) -> list[DecidedStrata]:
    """Return that no stratum is decided."""
    return [DecidedStrata(np.zeros(strata, bool), PROVED) for _ in thresholds]


def decided_at(subject: Subject, quantity: Quantity, thresholds: np.ndarray) -> list[DecidedStrata]:
    """Return which strata fail by proof at any thresholds, [g]."""
    if subject.strata.plain:
        return none_decided(1, thresholds)
    remaining = subject_remaining(subject, quantity)
    return decided_strata(subject.strata, quantity, remaining, thresholds)


def decided_by_proof(subject: Subject, quantity: Quantity, thresholds: np.ndarray) -> np.ndarray:
    """Return which strata fail by proof at any thresholds, bool [S, g]."""
    proofs = decided_at(subject, quantity, thresholds)
    return np.stack([proof.strata for proof in proofs], axis=1)


def subject_remaining(subject: Subject, quantity: Quantity) -> RemainingRisk:
    """Return what the certificates of a subject's runs bound."""
    return remaining_risk(subject.experiment, subject.levels, quantity)


def _absorbs(network: Network) -> bool:
    """Return whether the biases of the second layer can hold the constants of inactive neurons."""
    activation, layers = network.activation, network.layer_specs
    if activation is None or len(layers) < 2:
        return False
    ends = [low if np.isfinite(low) else high for low, high in activation.flat]
    silent = bool((np.asarray(activation.function(jnp.array(ends, jnp.float64))) == 0).all())
    return silent or (layers[1].biases is not None and layers[1].train_biases)


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
        last, known = len(self.bounds) - 1, self.values > -np.inf
        index = np.minimum(records.dead_neurons, last - 1)
        dead_layer = records.dead_layer > 0
        if dead_layer.any():
            by_layer = dead_layer & (self.values[last] > self.values[index])
            index = np.where(by_layer, last, index)
        if not known.all():
            index = np.where(known[index], index, -1)
        ended = records.status == Status.OK
        return index if ended.all() else np.where(ended, index, -1)


def remaining_risk(
    experiment: Experiment,
    levels: Sequence[Bracket] | None = None,
    quantity: Quantity | None = None,
) -> RemainingRisk:
    """Return what the certificates of an experiment's runs bound.

    A dead layer leaves a constant; c dead neurons of the first layer leave the architecture with c
    neurons less. Of error rates only the former says something, and of what a network is like
    neither does.
    """
    of_error_rate = quantity is not None and quantity.of_error_rate
    at_least = None if of_error_rate else lower_levels(levels)
    width = experiment.network.hidden[0] if experiment.network.hidden else 0
    if at_least is None:
        by_count = [Bound(-np.inf)] * (width + 1)
    else:
        by_count = [at_least(width - c) for c in range(width + 1)]
    if quantity is not None and quantity.of_network:
        by_count, constant = [Bound(-np.inf)] * (width + 1), Bound(-np.inf)
    elif quantity is not None:
        constant = quantity.of_constants()
    else:
        constant = best_constant_risk(experiment.problem, experiment.risk).lower
    bounds = (*by_count, constant)
    return RemainingRisk(bounds, np.array([b.value for b in bounds]))
