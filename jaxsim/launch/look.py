"""What the runs of some stages show: failures by what these runs themselves know of inf L.

The reference is the bracket that needs no search, closed by the best of these runs. So it is the
same whoever looks and whenever: searches and clocks have no part in what runs follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxsim.design.splitting import scores_of
from jaxsim.design.stratum import Design
from jaxsim.estimation.counts import Outcome
from jaxsim.estimation.stratified import StratifiedCounts, stratified
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.levels import levels
from jaxsim.optimum.solve import InMemory
from jaxsim.questions.provable import decided_by_proof
from jaxsim.questions.quantities import Quantity, quantities
from jaxsim.questions.question import Subject
from jaxsim.results.store import Shard, Store
from jaxsim.risk import RiskRule, make_risk
from jaxsim.risk.constants import best_constant_risk
from jaxsim.study.spec import StudySpec
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records


@dataclass(frozen=True)
class Look:
    """Failures that the runs of some stages show.

    Attributes:
        design: the strata.
        failures: of every stratum, event and checkpoint, [S, G, T].
        runs: of every stratum, [S].
        decided: strata all of whose runs fail by proof, for each event, bool [S, G].
        active: first-layer neurons that are active, of every run and checkpoint, [R, T]; no rows
            where they were not asked for.
        failed: whether each of these runs fails at the last step, [E, R].
    """

    design: Design
    failures: np.ndarray
    runs: np.ndarray
    decided: np.ndarray
    active: np.ndarray
    failed: np.ndarray

    def excess(self, spec: StudySpec) -> float:
        """Return the largest half width of the intervals at the last step, in units of the aim."""
        assert spec.until is not None
        counts = StratifiedCounts(
            weights=self.design.weights,
            errors=self.design.errors,
            failures=self.failures[..., -1],
            possible=self.failures[..., -1],
            runs=self.runs,
            decided=self.decided.astype(np.int8),
        )
        estimate = stratified(counts, spec.confidence, "sequence")
        half = (estimate.upper - estimate.lower) / 2
        if spec.until.half_width is not None:
            return float((half / spec.until.half_width).max())
        assert spec.until.relative is not None
        aim = spec.until.relative * np.maximum(estimate.estimate, 1e-300)
        return float((half / aim).max())


def look_at(
    store: Store,
    spec: StudySpec,
    experiment: Experiment,
    design: Design,
    known: Sequence[tuple[int, Shard]],
) -> Look:
    """Return what some shards show.

    Args:
        store: that holds them.
        spec: of the study, whose events count.
        experiment: whose runs they are.
        design: its strata.
        known: places of strata, with shards of theirs.

    Raises:
        InputError: if a shard cannot be trusted.
    """
    rule = make_risk(experiment.problem, experiment.network, experiment.risk)
    best = np.inf, 0.0
    for _, shard in known:
        best = min(best, _best(store.read(shard)))
    optimum = experiment.optimum
    if np.isfinite(best[0]):
        optimum = optimum.with_risk(*best, rule.evidence, "best run of the stages")
    subject = _subject(spec, experiment, design, optimum, rule)
    events, asked = spec.asked, quantities(subject)
    shape = len(design.strata), len(events), len(experiment.checkpoints)
    failures, runs = np.zeros(shape, np.int64), np.zeros(shape[0], np.int64)
    active, failed = [np.zeros((0, shape[2]), np.int64)], [np.zeros((shape[1], 0), bool)]
    for k, shard in known:
        stratum, raw = design.strata[k], store.read(shard)
        records = stratum.whole(raw)
        failures[k] += np.concatenate([q.counts(records).failures for q in asked])
        runs[k] += len(records.replicate)
        if design.name == "splitting":
            active.append(scores_of(stratum.experiment, raw))
            failed.append(np.concatenate([q.last(records) for q in asked]) == Outcome.FAIL)
    decided = _decided(subject, asked)
    return Look(
        design, failures, runs, decided, np.concatenate(active), np.concatenate(failed, axis=1)
    )


def decided_at_once(spec: StudySpec, experiment: Experiment, design: Design) -> np.ndarray:
    """Return the strata that fail by a proof that needs no run and no search, bool [S, G]."""
    if design.plain:
        return np.zeros((1, len(spec.asked)), bool)
    rule = make_risk(experiment.problem, experiment.network, experiment.risk)
    subject = _subject(spec, experiment, design, experiment.optimum, rule)
    return _decided(subject, quantities(subject))


def _subject(
    spec: StudySpec, experiment: Experiment, design: Design, optimum: Bracket, rule: RiskRule
) -> Subject:
    """Return what is asked, with levels that rest on no certificate."""
    narrower = None
    if not design.plain:
        narrower = levels(
            experiment.hypothesis,
            experiment.optimum,
            InMemory(),
            lambda: best_constant_risk(experiment.problem, experiment.risk),
        ).brackets
    return Subject(
        experiment,
        optimum,
        rule,
        np.zeros(0),
        spec.confidence,
        "sequence",
        levels=narrower,
        events=spec.asked,
        design=design,
    )


def _decided(subject: Subject, asked: Sequence[Quantity]) -> np.ndarray:
    return np.concatenate([decided_by_proof(subject, q, q.thresholds) for q in asked], axis=1)


def _best(records: Records) -> tuple[float, float]:
    """Return the risk and its error of the least upper end of all runs and checkpoints."""
    end = records.risk + records.error
    if not np.isfinite(end).any():
        return np.inf, 0.0
    place = np.unravel_index(np.nanargmin(np.where(np.isfinite(end), end, np.nan)), end.shape)
    return float(records.risk[place]), float(records.error[place])
