"""inf L when a study is answered: known at once, from verified certificates, and from the best run.

The best true risk of any run bounds the optimal risk from above, found by a first pass over the
shards. A lower bound on probabilities stays one, since thresholds only move up with the upper end;
and for every outcome the upper end is above the infimum, so that no run is called a failure that is
none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.evidence import Evidence
from jaxsim.network.network import Network
from jaxsim.optimum.bracket import MARGIN, Bracket
from jaxsim.optimum.levels import levels
from jaxsim.optimum.solve import solution
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
    files = CertificateFiles(results.store.directory)
    best = _best_runs(results, rules)
    return {
        name: _optimum(experiment, files, best.get(name))
        for name, experiment in {e.hypothesis_class: e for e in results.experiments}.items()
    }


def _optimum(experiment: Experiment, files: CertificateFiles, best: BestRun | None) -> Optimum:
    of = experiment.hypothesis
    solved = solution(of, experiment.optimum, files)
    before = bracket = solved.added_to(experiment.optimum)
    if best is not None:
        bracket = before.with_risk(best.risk, best.error, best.evidence, best.reason)
        if holds_constants(experiment.network) and experiment.problem.loss.best is not None:
            # All runs may be worse than that.
            constant = best_constant_risk(experiment.problem, experiment.risk)
            bracket = bracket.with_risk(
                constant.value, constant.error, constant.evidence, constant.reason
            )
    narrower = levels(
        of, before, files, lambda: best_constant_risk(experiment.problem, experiment.risk)
    )
    remarks = [*solved.remarks, *narrower.remarks, *narrower.unfinished]
    if solved.goes_on:
        remarks.append(f"the search for inf L {solved.goes_on}")
    return Optimum(before, bracket, narrower.brackets, tuple(remarks))


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


def _best_runs(results: Results, rules: Mapping[str, RiskRule]) -> dict[str, BestRun]:
    """Return the best run of every hypothesis class that has one, by one pass over the shards.

    Polished runs are networks, too. They count where the risk has no error but rounding: what is
    minimized over sampled points is too good at these points. Their parameters are there, so that
    nobody has to believe what is recorded: the risk of the best one is computed anew.
    """
    best: dict[str, BestRun] = {}
    for experiment in results.experiments:
        rule = rules[experiment.evaluation_key]
        for risk, error in results.risks(experiment):
            _take_best(best, experiment, rule, risk, error)
    files, recorded, thetas = PolishedFiles(results.store.directory), {}, {}
    for experiment in results.experiments:
        rule = rules[experiment.evaluation_key]
        done = files.load(experiment).polished
        if rule.exact and _take_best(recorded, experiment, rule, done.risk, done.error):
            place = np.nanargmin(done.risk + _margin(rule) * done.error)
            thetas[experiment.hypothesis_class] = done.theta[place]
    for name, candidate in recorded.items():
        if name not in best or candidate.bound < best[name].bound:
            rule = rules[candidate.experiment.evaluation_key]
            risk, error = jax.jit(rule.evaluate)(jnp.asarray(thetas[name]))
            ends = np.asarray(risk)[None], np.asarray(error)[None]
            _take_best(best, candidate.experiment, rule, *ends, polished=True)
    return best


def _margin(rule: RiskRule) -> float:
    """Return how many times an error is added to a risk for an upper end."""
    return 1.0 if rule.evidence.proved else MARGIN


def _take_best(
    best: dict[str, BestRun],
    experiment: Experiment,
    rule: RiskRule,
    risk: np.ndarray,
    error: np.ndarray,
    polished: bool = False,
) -> bool:
    """Put the best of some risks in the place of the best known of its class if it is better."""
    bound = risk + _margin(rule) * error
    if not np.isfinite(bound).any():
        return False
    place = np.unravel_index(np.nanargmin(bound), bound.shape)
    known = best.get(experiment.hypothesis_class)
    if known is not None and not bound[place] < known.bound:
        return False
    ends = float(bound[place]), float(risk[place]), float(error[place])
    best[experiment.hypothesis_class] = BestRun(*ends, rule.evidence, experiment, polished)
    return True
