"""From results to the answer: passes over the shards, in memory that does not grow with them.

The first pass finds the best true risk of every hypothesis class, which closes the bracket of the
optimal risk from above; the second asks all questions; where experiments share random numbers a
third compares them in pairs. Where the optimal risk is known exactly there is no first pass: the
second finds the best risks as well, and is repeated should one contradict what is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from jaxsim import runtime
from jaxsim.arguments import text, texts
from jaxsim.design.post_strata import check_plain, sorted_into
from jaxsim.design.stratum import Stratum
from jaxsim.errors import InputError
from jaxsim.estimation import Estimate, interval_of
from jaxsim.estimation.checks import checked_level
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.solve import why_not_below
from jaxsim.questions.answer import Answer, ExperimentAnswer, RiskAnswer
from jaxsim.questions.contradictions import (
    Found,
    contradictions,
    withheld,
    withheld_exceedance,
)
from jaxsim.questions.data import EventAnswer, EvidenceAnswer, OptimumAnswer
from jaxsim.questions.drift import drift_answer
from jaxsim.questions.events import ABOVE_OPTIMUM, Asked, Event, events_of
from jaxsim.questions.exceedance import Exceedance
from jaxsim.questions.levels import levels_answer
from jaxsim.questions.liminf import liminf
from jaxsim.questions.optimum import (
    Optimum,
    exact_classes,
    known_before,
    margin_of,
    optima,
    risk_rules,
    same_ends,
    with_best_runs,
)
from jaxsim.questions.pairs import compare_pairs
from jaxsim.questions.permanent import PermanentFailures
from jaxsim.questions.post_strata import with_post_strata
from jaxsim.questions.published import comparisons
from jaxsim.questions.published_number import Published, of_experiment
from jaxsim.questions.published_question import Measured, PublishedNumbers
from jaxsim.questions.quantities import not_recorded, require_neurons
from jaxsim.questions.question import Subject
from jaxsim.questions.registry import QUESTIONS
from jaxsim.questions.runs import Runs, risks_of
from jaxsim.questions.spread import spreads
from jaxsim.questions.warnings import study_warnings
from jaxsim.results.frame import Axis, axes_of
from jaxsim.results.polished import PolishedFiles, Sample
from jaxsim.results.provenance import jaxsim_version
from jaxsim.results.results import Results, fact_values
from jaxsim.risk import RiskRule
from jaxsim.training.experiment import Experiment
from jaxsim.training.polish import Polished
from jaxsim.training.records import Records


def analyse(
    results: Results,
    eps: Asked,
    confidence: float = 0.95,
    interval: str = "clopper-pearson",
    name: str = "",
    title: str = "",
    warnings: Iterable[str] | None = None,
    post_stratify: bool = False,
    published: Sequence[Published] = (),
) -> Answer:
    """Answer a study from its finished shards.

    Args:
        results: of the study.
        eps: thresholds above the optimal risk, non-negative, or a table of events as in a study:
            {"risk_above": 0.1}.
        confidence: of every interval; simultaneous for the band.
        interval: the pointwise method, a name of `jaxsim.estimation.INTERVALS`.
        name: of the study.
        title: of the study.
        warnings: sentences on the study that belong to its answer; None for those that follow
            from its experiments.
        post_stratify: whether runs of the plain design count by strata of their initializations,
            by the number of inactive neurons, whose law is known.
        published: numbers that others published of these experiments (`Study.published`).

    Raises:
        InputError: for a bad eps, confidence or interval, or a damaged shard.
    """
    name, title = text("name", name), text("title", title)
    stated = None if warnings is None else texts("warnings", warnings)
    asked_about = _checked(results, eps, confidence, interval, post_stratify)
    subtracted = [number.subtracted for number in published]
    numbers = [*published, *(number for number in subtracted if number is not None)]
    rules, before = risk_rules(results.experiments), known_before(results)
    exact = exact_classes(before)
    known = with_best_runs(results, rules, before, before.keys() - exact)
    subjects = asked_about.subjects(rules, known, numbers)
    seen = _seen(results, subjects)
    if exact:
        assumed, known = known, with_best_runs(results, rules, before)
        if not same_ends(assumed, known):
            subjects = asked_about.subjects(rules, known, numbers)
            seen = _seen(results, subjects)
    answered, asked, measured, runs_by_facts = seen
    given = study_warnings(results.experiments) if stated is None else stated
    brackets = {name: optimum.bracket for name, optimum in known.items()}
    contradicting = contradictions(asked, brackets)
    if contradicting:
        answered = [withheld(e) for e in answered]
    pairs = compare_pairs(results, subjects, confidence)
    kinds, versions = Counter[str](), Counter[str]()
    for (kind, version), runs in runs_by_facts.items():
        kinds[kind] += runs
        versions[version] += runs
    return Answer(
        name=name,
        title=title,
        eps=subjects[0].eps.tolist() if subjects else [],
        events=[EventAnswer.of(event) for event in (subjects[0].asked if subjects else ())],
        confidence=confidence,
        interval=interval,
        contradictions=contradicting,
        warnings=[
            *given,
            *results.remarks,
            *_of_other_versions(versions),
            *_of_certificates(known.values()),
        ],
        experiments=answered,
        pairs=pairs,
        spreads=spreads(
            [e for e in answered if e.runs],
            pairs,
            confidence,
            {e.id: partial(_at_the_end, a.question) for e, a in zip(answered, asked, strict=True)},
        ),
        published=comparisons(
            published,
            [measured.get(id(number)) for number in published],
            confidence,
            [None if number is None else measured.get(id(number)) for number in subtracted],
        ),
        device_kinds=dict(kinds),
        jaxsim=jaxsim_version(),
    )


def exceedance(
    results: Results,
    eps: Asked,
    confidence: float = 0.95,
    interval: str = "clopper-pearson",
    post_stratify: bool = False,
) -> list[Estimate]:
    """Estimate P(L(Theta_n) > inf L + eps) at the last checkpoint of every experiment.

    In place of thresholds eps may be a table of other events: {"risk_above": 0.1}.

    Returns:
        One estimate per experiment and event, with its interval and method.

    Raises:
        InputError: as `analyse`.
    """
    subjects, known = subjects_of(results, eps, confidence, interval, post_stratify)
    brackets = {name: optimum.bracket for name, optimum in known.items()}
    asked = []
    for subject in subjects:
        probabilities, certificates = Exceedance(subject), PermanentFailures(subject)
        for stratum, records in _parts(results, subject):
            probabilities.add(records, stratum.number)
            certificates.add(records, stratum.number)
        for split, records in results.families(subject.experiment):
            probabilities.add_families(records, split.stratum.number, split.size, split.reverse)
        answers = probabilities.finish(), certificates.finish()
        asked.append(Found(subject.experiment.label, *answers, probabilities))
    wrong = contradictions(asked, brackets)
    answered = [withheld_exceedance(e.exceedance) if wrong else e.exceedance for e in asked]
    return [row[-1] for answer in answered for row in answer.estimates]


def optimal_risk_of(results: Results, experiment: Experiment) -> Bracket:
    """Return what is known of the optimal risk of an experiment, its runs included."""
    return optima(results, risk_rules(results.experiments))[experiment.hypothesis_class].bracket


def subjects_of(
    results: Results,
    eps: Asked,
    confidence: float = 0.95,
    interval: str = "clopper-pearson",
    post_stratify: bool = False,
) -> tuple[list[Subject], dict[str, Optimum]]:
    """Return what is asked about, and what is known of the optimal risks, by hypothesis class.

    Raises:
        InputError: as `analyse`.
    """
    asked = _checked(results, eps, confidence, interval, post_stratify)
    rules = risk_rules(results.experiments)
    known = optima(results, rules)
    return asked.subjects(rules, known), known


@dataclass(frozen=True)
class _Asked:
    """What is asked of the experiments of results, checked."""

    results: Results
    events: tuple[Event, ...]
    confidence: float
    interval: str
    post_stratify: bool

    def subjects(
        self,
        rules: Mapping[str, RiskRule],
        known: Mapping[str, Optimum],
        published: Sequence[Published] = (),
    ) -> list[Subject]:
        """Return what is asked about, given what is known of the optimal risks."""
        files = PolishedFiles(self.results.store.directory)
        above = [event.threshold for event in self.events if event.kind == ABOVE_OPTIMUM]
        subjects = [
            Subject(
                experiment=e,
                optimum=known[e.hypothesis_class].bracket,
                risk=rules[e.evaluation_key],
                eps=np.array(above),
                confidence=self.confidence,
                interval=self.interval,
                before=known[e.hypothesis_class].before,
                levels=known[e.hypothesis_class].levels,
                sample=_sample(self.results, e, files),
                events=self.events,
                design=self.results.design(e),
                published=of_experiment(published, e.id),
            )
            for e in self.results.experiments
        ]
        if not self.post_stratify:
            return subjects
        return [with_post_strata(s, self.results.runs_planned(s.experiment)) for s in subjects]


def _checked(
    results: Results, eps: Asked, confidence: float, interval: str, post_stratify: bool
) -> _Asked:
    """Return what is asked.

    Raises:
        InputError: as `analyse`.
    """
    if not isinstance(results, Results):
        raise InputError(
            f"results = {results!r} is not accepted: it should be what `jaxsim.simulate` returns"
        )
    runtime.require_unforked()
    events = events_of(eps)
    for experiment in results.experiments:
        for event in events:
            lacks_rate = event.of_error_rate and not experiment.error_rate
            if lacks_rate or (event.of_pattern and not experiment.activation_pattern):
                raise not_recorded(event)
            require_neurons(event, experiment.network)
    checked_level(confidence, "confidence")
    interval_of(interval)
    if not isinstance(post_stratify, bool):
        raise InputError(
            f"post_stratify = {post_stratify!r} is not accepted: it should be true or false"
        )
    if post_stratify:
        check_plain([results.design(e) for e in results.experiments])
    return _Asked(results, events, confidence, interval, post_stratify)


FACTS = "device_kind", "version.jaxsim"
"""Facts of shards by whose values runs are counted."""


def _parts(
    results: Results, subject: Subject, by_facts: Counter[tuple[str, ...]] | None = None
) -> Iterator[tuple[Stratum, Records]]:
    """Yield the independent runs of a subject with the stratum that they count in.

    Args:
        results: of the study.
        subject: whose runs.
        by_facts: where runs are counted by `FACTS`.
    """
    margin = margin_of(subject.risk)
    for stratum, records, shard, facts in results.parts_of_shards(subject.experiment):
        results.best.note(shard, margin, records.risk, records.error)
        if by_facts is not None:
            by_facts[fact_values(facts, FACTS)] += len(records.replicate)
        if subject.strata.one_sample:
            of_strata = sorted_into(subject.strata, records)
            yield from ((part, Runs(*of_part)) for part, of_part in of_strata)
        else:
            yield stratum, Runs(*records)


class _Seen(NamedTuple):
    """What the runs of all experiments say.

    Attributes:
        answered: of every experiment.
        asked: what further sentences are made from, of every experiment.
        measured: of published numbers, by the identity of the number.
        runs_by_facts: runs by the values of `FACTS`.
    """

    answered: list[ExperimentAnswer]
    asked: list[Found]
    measured: dict[int, Measured]
    runs_by_facts: Counter[tuple[str, ...]]


def _seen(results: Results, subjects: Sequence[Subject]) -> _Seen:
    """Return what the runs say, by one pass over the shards."""
    seen = _Seen([], [], {}, Counter())
    for subject, place in zip(subjects, axes_of(results.experiments), strict=True):
        e, question, numbers = _answered(results, subject, place, len(subjects), seen.runs_by_facts)
        seen.answered.append(e)
        of_numbers = zip(subject.published, numbers, strict=True)
        seen.measured.update({id(number): found for number, found in of_numbers})
        seen.asked.append(Found(e.label, e.exceedance, e.permanent, question))
    return seen


def _answered(
    results: Results,
    subject: Subject,
    axes: dict[str, Axis],
    experiments: int,
    by_facts: Counter[tuple[str, ...]],
) -> tuple[ExperimentAnswer, Exceedance, list[Measured]]:
    """Return the answers of one of so many experiments, and what is asked further."""
    experiment = subject.experiment
    questions = {name: question(subject) for name, question in QUESTIONS.items()}
    runs = diverged = 0
    for stratum, records in _parts(results, subject, by_facts):
        runs += len(records.replicate)
        diverged += risks_of(records).column(len(experiment.checkpoints) - 1).gone
        for question in questions.values():
            question.add(records, stratum.number)
    for split, records in results.families(experiment):
        for question in questions.values():
            question.add_families(records, split.stratum.number, split.size, split.reverse)
    answers = {name: question.finish() for name, question in questions.items()}
    measured = answers.pop(PublishedNumbers.name)
    certificates, probabilities = questions[PermanentFailures.name], questions[Exceedance.name]
    assert isinstance(certificates, PermanentFailures)
    assert isinstance(probabilities, Exceedance)
    tests = experiments * len(subject.asked)
    bounds = answers[Exceedance.name].lower_bounds
    of_sample = {}
    if subject.sample is not None:
        sample_of = experiment, subject.sample, subject.confidence
        of_sample = {
            "levels": levels_answer(*sample_of, subject.levels, subject.optimum),
            "drift": drift_answer(*sample_of),
        }
    fields = {
        name: answer for name, answer in answers.items() if name in ExperimentAnswer.model_fields
    }
    answer = ExperimentAnswer(
        label=experiment.label,
        id=experiment.id,
        axes=axes,
        steps=experiment.steps,
        checkpoints=list(experiment.checkpoints),
        runs=runs,
        planned=results.runs_planned(experiment),
        diverged=diverged,
        risk=_risk(subject.risk, experiment.problem.over),
        optimum=OptimumAnswer.of(subject.optimum, _not_searched(subject)),
        design=probabilities.design(),
        until=results.until.get(experiment.id, ""),
        liminf=liminf(certificates, bounds, tests),
        others={name: answer for name, answer in answers.items() if name not in fields},
        **fields,
        **of_sample,
    )
    return answer, probabilities, measured


def _at_the_end(question: Exceedance, g: int, confidence: float) -> tuple[float, float]:
    """Return the ends of the guaranteed interval at an event and the last step."""
    return question.ends(g, -1, confidence)


def _sample(results: Results, experiment: Experiment, files: PolishedFiles) -> Sample | None:
    """Return the polished runs of an experiment that the study still has, None without any."""
    sample = files.load(experiment)
    planned = max((s.stop for s in results.planned.get(experiment.id, ())), default=0)
    theta, polished = sample.theta[:planned], [a[:planned] for a in sample.polished]
    return Sample(theta, Polished(*polished)) if len(polished[0]) else None


def _of_other_versions(versions: Counter[str]) -> list[str]:
    """Return a sentence for every other version of jaxsim that computed runs."""
    return [
        f"{runs:,} runs were computed by jaxsim {version}: the errors of their risks are what that "
        "version knew of them"
        for version, runs in versions.items()
        if version != jaxsim_version()
    ]


def _not_searched(subject: Subject) -> str:
    """Return why no search bounds inf L from below, where that leaves it open."""
    return why_not_below(subject.experiment.hypothesis) if subject.optimum.width > 0 else ""


def _of_certificates(known: Iterable[Optimum]) -> list[str]:
    """Return each sentence on certificates and searches once."""
    return list(dict.fromkeys(remark for optimum in known for remark in optimum.remarks))


def _risk(rule: RiskRule, over: str) -> RiskAnswer:
    evidence = EvidenceAnswer.of(rule.evidence)
    return RiskAnswer(description=rule.description, evidence=evidence, over=over)
