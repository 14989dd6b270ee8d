"""From results to answers: passes over the shards, in memory that does not grow with them.

The first pass finds the best true risk of every family of experiments, which closes the bracket of
the optimal risk from above (a lower bound on probabilities stays one, since every threshold only
moves up); the second counts exceedances against that bracket; where experiments share random
numbers a third compares them in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jaxsim.errors import InputError
from jaxsim.estimation import Band, Counts, Estimate, RiskHistogram, band, classify, estimates
from jaxsim.evidence import Bound, Evidence, weakest
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.parabola import parabola_of
from jaxsim.report.comparisons import Comparison, paired_comparisons
from jaxsim.results.results import Results
from jaxsim.risk import RiskRule, make_risk
from jaxsim.risk.constants import best_constant_risk
from jaxsim.theory import LowerBound, exceedance_lower_bound
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records, Status

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
GRID = 60
SAMPLE = 200


@dataclass(frozen=True)
class ExperimentAnalysis:
    """What is known of one experiment. T checkpoints, G values of eps, M grid values, L layers.

    Attributes:
        experiment: what was simulated.
        checkpoints: steps n, int [T].
        runs: finished replicates.
        planned: replicates of the plan.
        diverged: replicates that diverged.
        risk_rule: how the true risk was computed, and what its error means.
        optimum: bracket of the optimal risk, closed from above by the best run.
        eps: the study's values, [G].
        estimates: exceedance estimates, [G][T]; each carries its pointwise interval.
        floors: provable lower bounds of the exceedance probability for every n, [G].
        permanent: replicates whose failure at eps is certified to last for ever, int [G].
        band: simultaneous over a fine eps grid [M] and all checkpoints: lower, upper [M, T].
        curve: point estimates on the band's grid, [M, T].
        levels: quantile levels [Q].
        quantiles: of the risk, [Q, T].
        quantile_lower: ends of their distribution-free intervals, [Q, T].
        quantile_upper: likewise.
        histogram: distribution of the risk at the last checkpoint.
        inactive: mean number of certified inactive neurons, [T, L].
        gradient_norm: median gradient norm of the true risk at the last step.
        sample: risks at the checkpoints of the first replicates, [<= 200, T], for display.
    """

    experiment: Experiment
    checkpoints: np.ndarray
    runs: int
    planned: int
    diverged: int
    risk_rule: str
    optimum: Bracket
    eps: np.ndarray
    estimates: tuple[tuple[Estimate, ...], ...]
    floors: tuple[LowerBound, ...]
    permanent: np.ndarray
    band: Band
    curve: np.ndarray
    levels: np.ndarray
    quantiles: np.ndarray
    quantile_lower: np.ndarray
    quantile_upper: np.ndarray
    histogram: RiskHistogram
    inactive: np.ndarray
    gradient_norm: float
    sample: np.ndarray


@dataclass(frozen=True)
class Analysis:
    """What is known of a study.

    Attributes:
        name: of the study.
        title: of the study.
        confidence: of every interval.
        interval: name of the pointwise interval's method.
        experiments: in the study's order.
        comparisons: of the experiments that share random numbers, pair by pair.
        device_kinds: replicates computed per kind of device.
    """

    name: str
    title: str
    confidence: float
    interval: str
    experiments: tuple[ExperimentAnalysis, ...]
    comparisons: tuple[Comparison, ...]
    device_kinds: dict[str, int]


def analyse(
    results: Results,
    eps: Sequence[float],
    confidence: float = 0.95,
    interval: str = "clopper-pearson",
    name: str = "",
    title: str = "",
) -> Analysis:
    """Analyse the finished shards of a study.

    Args:
        results: of the study.
        eps: thresholds above the optimal risk, non-negative.
        confidence: of every interval; simultaneous for the band.
        interval: the pointwise method, a name of `jaxsim.estimation.INTERVALS`.
        name: of the study.
        title: of the study.

    Raises:
        InputError: for a bad eps or confidence, a damaged shard, or a stated optimum that a run
            contradicts.
    """
    thresholds = _thresholds(eps)
    rules = risk_rules(results.experiments)
    brackets = optimum_brackets(results, rules)
    analysed = [
        _experiment(
            results,
            e,
            rules[e.evaluation_key],
            brackets[e.hypothesis_class],
            thresholds,
            confidence,
            interval,
        )
        for e in results.experiments
    ]
    return Analysis(
        name=name,
        title=title,
        confidence=confidence,
        interval=interval,
        experiments=tuple(analysed),
        comparisons=paired_comparisons(results, brackets, thresholds, confidence),
        device_kinds=dict(results.device_kinds()),
    )


def exceedance(
    results: Results,
    eps: Sequence[float],
    confidence: float = 0.95,
    interval: str = "clopper-pearson",
) -> list[Estimate]:
    """Estimate P(L(Theta_n) > inf L + eps) at the last checkpoint of every experiment.

    Returns:
        One estimate per experiment and eps, with its interval and method.

    Raises:
        InputError: as `analyse`.
    """
    thresholds = _thresholds(eps)
    rules = risk_rules(results.experiments)
    brackets = optimum_brackets(results, rules)
    found: list[Estimate] = []
    for experiment in results.experiments:
        rule, optimum = rules[experiment.evaluation_key], brackets[experiment.hypothesis_class]
        counts = Counts.zero(len(thresholds), 1)
        for records in results.chunks(experiment):
            last = records.risk[:, -1:], records.error[:, -1:]
            counts = counts + classify(*last, optimum.lower.value, optimum.upper.value, thresholds)
        floors = lower_bounds_of(experiment, optimum, thresholds)
        steps = np.asarray(experiment.checkpoints)[-1:]
        rows = _estimates(
            experiment, counts, steps, thresholds, rule, optimum, floors, confidence, interval
        )
        found += [row[0] for row in rows]
    return found


def _thresholds(eps: Sequence[float]) -> np.ndarray:
    thresholds = np.unique(np.asarray(list(eps), np.float64))
    if not thresholds.size or not np.isfinite(thresholds).all() or thresholds[0] < 0:
        raise InputError(f"epsilon = {list(eps)} is not accepted: it should be numbers >= 0")
    return thresholds


def _estimates(
    experiment: Experiment,
    counts: Counts,
    steps: np.ndarray,
    eps: np.ndarray,
    rule: RiskRule,
    optimum: Bracket,
    floors: tuple[LowerBound, ...],
    confidence: float,
    interval: str,
) -> tuple[tuple[Estimate, ...], ...]:
    return estimates(
        counts,
        steps,
        eps,
        experiment=experiment.label,
        confidence=confidence,
        interval=interval,
        optimum_lower=optimum.lower.value,
        optimum_upper=optimum.upper.value,
        optimum_reason=optimum.reason,
        risk_is_bounded=rule.evidence.proved,
        floors=floors,
    )


def risk_rules(experiments: Sequence[Experiment]) -> dict[str, RiskRule]:
    """Return how the true risk was computed, by the experiments' `evaluation`."""
    return {
        e.evaluation_key: make_risk(e.problem, e.network, e.risk)
        for e in {e.evaluation_key: e for e in experiments}.values()
    }


def optimum_brackets(results: Results, rules: Mapping[str, RiskRule]) -> dict[str, Bracket]:
    """Return the bracket of the optimal risk of every family, closed by the best run found."""
    brackets = {e.hypothesis_class: e.optimum for e in results.experiments}
    found: dict[str, tuple[float, float, Experiment]] = {}
    for experiment in results.experiments:
        for records in results.chunks(experiment):
            bound = records.risk + records.error
            if np.isfinite(bound).any():
                place = np.unravel_index(np.nanargmin(bound), bound.shape)
                risk, error = float(records.risk[place]), float(records.error[place])
                best = found.get(experiment.hypothesis_class)
                if best is None or risk + error < best[0] + best[1]:
                    found[experiment.hypothesis_class] = (risk, error, experiment)
    for hypothesis_class, (best, error, experiment) in found.items():
        evidence = rules[experiment.evaluation_key].evidence
        reason = f"best risk found, {best:.4g}, by {experiment.label}"
        brackets[hypothesis_class] = brackets[hypothesis_class].with_risk(
            best, error, evidence, reason
        )
    return brackets


def _experiment(
    results: Results,
    experiment: Experiment,
    rule: RiskRule,
    optimum: Bracket,
    eps: np.ndarray,
    confidence: float,
    interval: str,
) -> ExperimentAnalysis:
    grid = _grid(experiment, eps)
    checkpoints = np.asarray(experiment.checkpoints)
    steps, layers = len(checkpoints), len(experiment.network.hidden)
    ours, fine = Counts.zero(len(eps), steps), Counts.zero(len(grid), steps)
    histograms = [RiskHistogram() for _ in checkpoints]
    gradients = RiskHistogram()
    permanent = np.zeros(len(eps), np.int64)
    inactive = np.zeros((steps, layers))
    sample: list[np.ndarray] = []
    bound, _ = forever_bound(experiment)
    for records in results.chunks(experiment):
        parts = (records.risk, records.error, optimum.lower.value, optimum.upper.value)
        ours = ours + classify(*parts, eps)
        fine = fine + classify(*parts, grid)
        for t, histogram in enumerate(histograms):
            histogram.add(records.risk[:, t], records.error[:, t])
        gradients.add(records.gradient_norm)
        certain = bound(records) - optimum.upper.value
        permanent += (certain[:, None] > eps).sum(0)
        inactive += records.inactive.sum(0)
        if sum(map(len, sample)) < SAMPLE:
            sample.append(records.risk[:SAMPLE])
    runs = ours.runs
    quantiles = np.full((3, len(LEVELS), steps), np.nan)
    if runs:
        for t, histogram in enumerate(histograms):
            quantiles[0, :, t] = histogram.quantile(LEVELS)
            quantiles[1:, :, t] = histogram.quantile_interval(LEVELS, confidence)
    floors = lower_bounds_of(experiment, optimum, eps)
    return ExperimentAnalysis(
        experiment=experiment,
        checkpoints=checkpoints,
        runs=runs,
        planned=sum(s.stop - s.first for s in results.planned[experiment.id]),
        diverged=int(ours.diverged[-1]),
        risk_rule=f"{rule.description}; {_error_words(rule)}",
        optimum=optimum,
        eps=eps,
        estimates=_estimates(
            experiment, ours, checkpoints, eps, rule, optimum, floors, confidence, interval
        ),
        floors=floors,
        permanent=permanent,
        band=band(fine, grid, confidence),
        curve=fine.failures / max(runs, 1),
        levels=np.asarray(LEVELS),
        quantiles=quantiles[0],
        quantile_lower=quantiles[1],
        quantile_upper=quantiles[2],
        histogram=histograms[-1],
        inactive=inactive / max(runs, 1),
        gradient_norm=gradients.quantile(0.5) if runs else float("nan"),
        sample=np.concatenate(sample)[:SAMPLE] if sample else np.zeros((0, steps)),
    )


def _error_words(rule: RiskRule) -> str:
    if rule.evidence.proved:
        return "the error is a bound on rounding"
    return f"the error is an estimate, not a bound ({rule.evidence.clause})"


def _grid(experiment: Experiment, eps: np.ndarray) -> np.ndarray:
    """Return the band's thresholds: fixed by the problem, so that no run has a say in them."""
    scale = best_constant_risk(experiment.problem).value
    scale = scale if np.isfinite(scale) and scale > 0 else 1.0
    return np.union1d(np.geomspace(1e-5 * scale, 10 * scale, GRID), eps)


def hierarchy(experiment: Experiment) -> Callable[[int], Bound] | None:
    """Return m -> a lower bound of the optimal risk with m first-layer neurons, if one is known."""
    parabola = parabola_of(experiment.problem, experiment.network)
    if parabola is None:
        return None
    return lambda m: Bound(parabola.lower(m), reason=f"closed form for {m} neurons")


def lower_bounds_of(
    experiment: Experiment, optimum: Bracket, eps: np.ndarray
) -> tuple[LowerBound, ...]:
    """Return the part of the exceedance probability that needs no runs, for every eps."""
    network = experiment.network
    if not network.hidden or network.activation is None:
        reason = "the network has no known layers"
        return tuple(LowerBound(float(e), 0.0, None, reason) for e in eps)
    return exceedance_lower_bound(
        eps,
        network.layer_specs,
        network.activation,
        experiment.problem.law.support,
        optimum_upper=optimum.upper,
        best_constant_lower=best_constant_risk(experiment.problem).lower,
        hierarchy=hierarchy(experiment),
        keeps_inactive=experiment.optimizer.keeps_inactive,
        precision=experiment.precision,
    )


def forever_bound(experiment: Experiment) -> tuple[Callable[[Records], np.ndarray], Evidence]:
    """Return records -> lower bounds [R] of the risk in all further training, -inf if none.

    A certified wholly inactive layer leaves a constant; c certified inactive neurons of the first
    layer leave the architecture with c neurons less.
    """
    constant = best_constant_risk(experiment.problem).lower
    levels = hierarchy(experiment)
    width = experiment.network.hidden[0] if experiment.network.hidden else 0
    by_count = [Bound(-np.inf)] * (width + 1)
    if levels is not None:
        by_count = [levels(width - c) for c in range(width + 1)]
    values = np.array([b.value for b in by_count])

    def bound(records: Records) -> np.ndarray:
        left = values[np.minimum(records.dead_neurons, width)]
        left = np.where(records.dead_layer > 0, np.maximum(left, constant.value), left)
        return np.where(records.status == Status.OK, left, -np.inf)

    return bound, weakest([constant.evidence, *(b.evidence for b in by_count)])
