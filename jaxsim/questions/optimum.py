"""inf L when a study is answered: known at once, from verified certificates, and from the best run.

The best true risk of any run bounds the optimal risk from above, found by a first pass over the
shards, or while they are analysed where the optimal risk is known exactly. A lower bound on
probabilities stays one, since thresholds only move up with the upper end; and for every outcome the
upper end is above the infimum, so that no run is called a failure that is none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.evidence import Evidence
from jaxsim.network.network import Network
from jaxsim.optimum.bracket import MARGIN, Bracket
from jaxsim.optimum.levels import levels
from jaxsim.optimum.solve import solution
from jaxsim.results.best_risks import BestRisk, best_risk
from jaxsim.results.certificates import CertificateFiles
from jaxsim.results.polished import PolishedFiles
from jaxsim.results.results import Results
from jaxsim.risk import RiskRule, make_risk
from jaxsim.risk.constants import best_constant_risk
from jaxsim.training.experiment import Experiment


def risk_rules(experiments: Sequence[Experiment]) -> dict[str, RiskRule]:
    """Return how the true risk was computed, by the experiments' `evaluation_key`."""
    return {
        e.evaluation_key: make_risk(e.problem, e.network, e.risk)
        for e in {e.evaluation_key: e for e in experiments}.values()
    }


class Optimum(NamedTuple):
    """What is known of the optimal risk of a hypothesis class.

    Attributes:
        before: the bracket that needs no run of the study: known at once or from certificates.
        bracket: the same, closed from above by the best run.
        levels: brackets of R*(m) for m = 0, ..., N neurons in the first hidden layer; None if they
            are not known.
        remarks: sentences on certificates that are not used and searches that are not finished.
    """

    before: Bracket
    bracket: Bracket
    levels: tuple[Bracket, ...] | None = None
    remarks: tuple[str, ...] = ()


def optima(results: Results, rules: Mapping[str, RiskRule]) -> dict[str, Optimum]:
    """Return what is known of the optimal risk, by the experiments' hypothesis class."""
    return with_best_runs(results, rules, known_before(results))


def known_before(results: Results) -> dict[str, Optimum]:
    """Return what is known of the optimal risk without any run, by hypothesis class."""
    files = CertificateFiles(results.store.directory)
    return {name: _before(e, files) for name, e in _of_classes(results).items()}


def with_best_runs(
    results: Results,
    rules: Mapping[str, RiskRule],
    known: Mapping[str, Optimum],
    classes: Collection[str] | None = None,
) -> dict[str, Optimum]:
    """Return the optimal risks, closed from above by the best runs.

    Args:
        results: of the study.
        rules: how risks were computed.
        known: without any run.
        classes: whose runs are looked at; None for all.
    """
    asked = [e for e in results.experiments if classes is None or e.hypothesis_class in classes]
    best, of_classes = _best_runs(results, asked, rules), _of_classes(results)
    return {
        name: _closed(of_classes[name], optimum, best[name]) if name in best else optimum
        for name, optimum in known.items()
    }


def exact_classes(known: Mapping[str, Optimum]) -> set[str]:
    """Return the classes whose optimal risk is known exactly: no run bounds it better.

    One with a smaller risk would contradict the proof, and has to be looked for in the end.
    """
    return {name for name, optimum in known.items() if optimum.before.width == 0}


def same_ends(one: Mapping[str, Optimum], other: Mapping[str, Optimum]) -> bool:
    """Return whether two accounts of the optimal risks answer all questions alike."""
    pairs = ((optimum.bracket, other[name].bracket) for name, optimum in one.items())
    return all(
        (a.lower, a.upper, a.contradictions) == (b.lower, b.upper, b.contradictions)
        for a, b in pairs
    )


def _of_classes(results: Results) -> dict[str, Experiment]:
    return {e.hypothesis_class: e for e in results.experiments}


def _before(experiment: Experiment, files: CertificateFiles) -> Optimum:
    of = experiment.hypothesis
    solved = solution(of, experiment.optimum, files)
    before = solved.added_to(experiment.optimum)
    narrower = levels(
        of, before, files, lambda: best_constant_risk(experiment.problem, experiment.risk)
    )
    remarks = [*solved.remarks, *narrower.remarks, *narrower.unfinished]
    if solved.goes_on:
        remarks.append(f"the search for inf L {solved.goes_on}")
    return Optimum(before, before, narrower.brackets, tuple(remarks))


def _closed(experiment: Experiment, known: Optimum, best: BestRun) -> Optimum:
    """Return the optimal risk with the best run as an upper bound."""
    bracket = known.before.with_risk(best.risk, best.error, best.evidence, best.reason)
    if holds_constants(experiment.network) and experiment.problem.loss.best is not None:
        # All runs may be worse than that.
        constant = best_constant_risk(experiment.problem, experiment.risk)
        bracket = bracket.with_risk(
            constant.value, constant.error, constant.evidence, constant.reason
        )
    return known._replace(bracket=bracket)


def holds_constants(network: Network) -> bool:
    """Return whether the family holds all constants: with output weights 0 only biases are left."""
    if not network.fully_connected or not network.layer_specs:
        return False
    last = network.layer_specs[-1]
    free = last.train_weights or last.weights.constant == 0
    return free and last.biases is not None and last.train_biases


class BestRun(NamedTuple):
    """The run of a hypothesis class with the best risk.

    Attributes:
        bound: its risk plus its error, as it bounds inf L.
        risk: as computed, at whatever checkpoint it was least.
        error: of the risk.
        evidence: of the error.
        experiment: whose run it is.
        polished: whether it is the risk after polishing.
    """

    bound: float
    risk: float
    error: float
    evidence: Evidence
    experiment: Experiment
    polished: bool = False

    @property
    def reason(self) -> str:
        """How the bound is known."""
        after = " after polishing" if self.polished else ""
        return f"best risk found, {self.risk:.4g}, by {self.experiment.label}{after}"


def _best_runs(
    results: Results, experiments: Sequence[Experiment], rules: Mapping[str, RiskRule]
) -> dict[str, BestRun]:
    """Return the best run of every hypothesis class that has one.

    Shards are read of which that is not known yet.

    Polished runs are networks, too. They count where the risk has no error but rounding: what is
    minimized over sampled points is too good at these points. Their parameters are there, so that
    nobody has to believe what is recorded: the risk of the best one is computed anew.
    """
    best: dict[str, BestRun] = {}
    for experiment in experiments:
        rule = rules[experiment.evaluation_key]
        for found in results.best_risks(experiment, margin_of(rule)):
            _take_best(best, experiment, rule, found)
    files, recorded, thetas = PolishedFiles(results.store.directory), {}, {}
    for experiment in experiments:
        rule = rules[experiment.evaluation_key]
        done = files.load(experiment).polished
        of_polished = best_risk(done.risk, done.error, margin_of(rule)) if rule.exact else None
        if of_polished and _take_best(recorded, experiment, rule, of_polished):
            place = np.nanargmin(done.risk + margin_of(rule) * done.error)
            thetas[experiment.hypothesis_class] = done.theta[place]
    for name, candidate in recorded.items():
        if name not in best or candidate.bound < best[name].bound:
            rule = rules[candidate.experiment.evaluation_key]
            risk, error = jax.jit(rule.evaluate)(jnp.asarray(thetas[name]))
            anew = best_risk(np.asarray(risk), np.asarray(error), margin_of(rule))
            if anew:
                _take_best(best, candidate.experiment, rule, anew, polished=True)
    return best


def margin_of(rule: RiskRule) -> float:
    """Return how many times an error is added to a risk for an upper end."""
    return 1.0 if rule.evidence.proved else MARGIN


def _take_best(
    best: dict[str, BestRun],
    experiment: Experiment,
    rule: RiskRule,
    found: BestRisk,
    polished: bool = False,
) -> bool:
    """Put a risk in the place of the best known of its class if it is better."""
    known = best.get(experiment.hypothesis_class)
    if known is not None and not found.bound < known.bound:
        return False
    best[experiment.hypothesis_class] = BestRun(*found, rule.evidence, experiment, polished)
    return True
