"""inf L closed from above: the best true risk of any run bounds the optimal risk.

A first pass over the shards. A lower bound on probabilities stays one, since thresholds only move
up with the upper end; and for every outcome the upper end is above the infimum, so that no run is
called a failure that is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jaxsim.optimum.bracket import MARGIN, Bracket
from jaxsim.results.results import Results
from jaxsim.risk import RiskRule, make_risk
from jaxsim.training.experiment import Experiment


def risk_rules(experiments: Sequence[Experiment]) -> dict[str, RiskRule]:
    """Return how the true risk was computed, by the experiments' `evaluation_key`."""
    return {
        e.evaluation_key: make_risk(e.problem, e.network, e.risk)
        for e in {e.evaluation_key: e for e in experiments}.values()
    }


def optimum_brackets(results: Results, rules: Mapping[str, RiskRule]) -> dict[str, Bracket]:
    """Return the bracket of every hypothesis class, with the best run's risk as an upper bound."""
    brackets = {e.hypothesis_class: e.optimum for e in results.experiments}
    best: dict[str, tuple[float, float, float, Experiment]] = {}
    for experiment in results.experiments:
        margin = 1.0 if rules[experiment.evaluation_key].evidence.proved else MARGIN
        for records in results.chunks(experiment):
            bound = records.risk + margin * records.error
            if not np.isfinite(bound).any():
                continue
            place = np.unravel_index(np.nanargmin(bound), bound.shape)
            found = (
                float(bound[place]),
                float(records.risk[place]),
                float(records.error[place]),
                experiment,
            )
            known = best.get(experiment.hypothesis_class)
            if known is None or found[0] < known[0]:
                best[experiment.hypothesis_class] = found
    for hypothesis_class, (_, risk, error, experiment) in best.items():
        evidence = rules[experiment.evaluation_key].evidence
        reason = f"best risk found, {risk:.4g}, by {experiment.label}"
        brackets[hypothesis_class] = brackets[hypothesis_class].with_risk(
            risk, error, evidence, reason
        )
    return brackets
