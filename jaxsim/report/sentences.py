"""The answer in sentences a person would say; every number in them stands in the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from jaxsim.digits import interval_text, probability
from jaxsim.estimation import Estimate
from jaxsim.estimation.restarts import CERTAINTY
from jaxsim.questions.answer import Answer, ExperimentAnswer, SpreadAnswer
from jaxsim.questions.data import EvidenceAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM, CONSTANT, Event
from jaxsim.questions.pairs import ComparisonAnswer
from jaxsim.report.levels import level_sentences
from jaxsim.report.parts import part_texts
from jaxsim.report.published import published_sentences
from jaxsim.report.text import (
    counted,
    estimate_text,
    joined,
    lower_text,
    number,
    restarts_text,
)

MOST = 12
"""Sentences on probabilities; a study with more has the others in its table."""
NOTEWORTHY = 1e-9
"""Lower bounds below this are positive, which is all that anybody wants to know of them,"""
SMALLEST = 1e-300
"""unless a design was made to see small numbers."""


def noteworthy(e: ExperimentAnswer) -> float:
    """Return the least lower bound that is worth a number."""
    return NOTEWORTHY if e.design is None else SMALLEST


def sentences(answer: Answer) -> list[str]:
    """Return contradictions, failure probabilities, comparisons and what holds for every n."""
    done = answer.finished
    lines = [f"Contradiction: {sentence}." for sentence in answer.contradictions]
    rows = {
        (e.label, row[-1].event, row[-1].eps): (row[-1], e.exceedance.evidence_of(g))
        for e in done
        for g, row in enumerate(e.exceedance.estimates)
    }
    for spread in answer.spreads[:MOST]:
        over = common_rows(e.risk.rows for e in done if e.label in spread.experiments)
        keys = [(label, spread.event, spread.eps) for label in spread.experiments]
        of = [rows[key] for key in keys if key in rows]
        condition = given([evidence for _, evidence in of])
        if len(spread.experiments) == 1:
            last = of[0][0]
            value = "{} ({} to {})".format(*estimate_text(last))
            whose = f" of {last.experiment}" if len(done) > 1 else ""
            sentence = f"{_opening(spread, over, whose)} with probability {value}."
            if last.design != "plain":
                opening = _opening(spread, over, whose)
                sentence = f"{opening} with {_probability(last)}: {part_texts(last)}."
        else:
            sentence = _apart(spread, over, [last for last, _ in of])
        lines.append(conditional(condition, sentence))
        if len(spread.experiments) > 1:
            lines += [
                f"{last.experiment}, {spread.asked.short}: {part_texts(last)}."
                for last, _ in of
                if last.design != "plain"
            ]
    if len(answer.spreads) > MOST:
        lines.append(f"answer.json has {len(answer.spreads) - MOST:,} more of these lines.")
    lines += _restarts(answer, {key: last for key, (last, _) in rows.items()})
    every = given([e.exceedance.evidence for e in done])
    lines += [conditional(every, sentence) for sentence in _compared(answer)]
    lines += [f"Not compared: {sentence}." for sentence in answer.pairs.not_compared]
    lines += _every_n(done)
    lines += _permanent(done, answer.asked[0]) if done else []
    lines += _liminf(done)
    if all(event.kind != CONSTANT for event in answer.asked):  # it has sentences of its own then
        lines += _constant(done)
    lines += level_sentences(answer) if not answer.contradictions else []
    lines += published_sentences(answer)
    lines += [text for e in done for text in _others(e)]
    return lines


def _restarts(answer: Answer, last: Mapping[tuple[str, str, float], Estimate]) -> list[str]:
    """Return a sentence on how many runs make one success nearly certain."""
    clauses = []
    for spread in answer.spreads[:MOST]:
        labels = spread.lowest[0], spread.highest[0]
        keys = [(label, spread.event, spread.eps) for label in labels]
        ends = [last[key] for key in keys if key in last]
        texts = [f"{restarts_text(estimate)} of {estimate.experiment}" for estimate in ends]
        if len(set(texts)) == 1:  # of one experiment, or alike in all
            texts = [restarts_text(ends[0])]
        steps = f" after {counted(spread.steps, 'step')}" if len(_steps(answer)) > 1 else ""
        clauses.append(f"{' to '.join(dict.fromkeys(texts))} at {spread.asked.short}{steps}")
    if not clauses:
        return []
    return [
        f"Restarts until one run does not fail, with {100 * CERTAINTY:.12g} % certainty: "
        f"{'; '.join(clauses)}."
    ]


def _steps(answer: Answer) -> set[int]:
    return {spread.steps for spread in answer.spreads}


def common_rows(rows: Iterable[str]) -> str:
    """Return the rows of a data set that all experiments' risks are over, if these are the same."""
    names = set(rows)
    return names.pop() if len(names) == 1 else ""


def risk_over(done: Sequence[ExperimentAnswer]) -> str:
    """Return what titles say of the rows of a data set that risks are over.

    Example: "risk over the 30 held-out rows", "risk over the 30 held-out rows or all 90 rows".
    """
    rows = list(dict.fromkeys(e.risk.rows or e.risk.named for e in done))
    return f"risk over {' or '.join(rows)}" if any(e.risk.rows for e in done) else ""


def _opening(spread: SpreadAnswer, over: str, whose: str = "") -> str:
    when = f"After {counted(spread.steps, 'step')}" if spread.steps else "At initialization"
    return f"{when} {spread.asked.clause(whose, over)}"


def _probability(one: Estimate) -> str:
    """Return an estimate from strata, or what is known where more is unresolved than that."""
    middle, low, high = estimate_text(one)
    if one.open:
        return f"a probability that is unresolved, between {low} and {high}"
    return f"probability {middle} ({low} to {high})"


def _apart(spread: SpreadAnswer, over: str, of: Sequence[Estimate] = ()) -> str:
    """Return the sentence on several experiments, which ranks them only where runs do."""
    count = len(spread.experiments)
    every = "both" if count == 2 else f"all {count:,}"
    small = any(one.design != "plain" for one in of)
    least, low, high = interval_text(spread.lowest_estimate, spread.lower, spread.upper, small)
    most = interval_text(spread.highest_estimate, spread.lower, spread.upper, small)[0]
    opening = _opening(spread, over)
    level = f"simultaneous {100 * spread.confidence:.12g} % intervals from {low} to {high}"
    if any(one.open for one in of):
        return f"{opening} with probabilities that are not all resolved ({level})."
    if spread.lowest_estimate == spread.highest_estimate:
        return f"{opening} with probability {least} in {every} experiments ({level})."
    if spread.lowest == spread.highest:
        return (
            f"{opening} with probability {least} to {most} in {every} experiments "
            f"({level}): undecided runs leave it open."
        )
    names = _some(spread.lowest), _some(spread.highest)
    ends = f"{least} ({names[0]}) to {most} ({names[1]})"
    if spread.separated:
        verdict = f"{spread.highest[0]} fails more often than {spread.lowest[0]}"
    elif spread.lowest[0] == spread.highest[0]:
        verdict = "these runs do not tell them apart"
    else:
        verdict = f"these runs do not tell {spread.lowest[0]} and {spread.highest[0]} apart"
    return f"{opening} with probability {ends} in {count:,} experiments ({level}); {verdict}."


def _some(labels: list[str]) -> str:
    if len(labels) <= 2:
        return joined(labels)
    return f"{labels[0]} and {len(labels) - 1:,} others"


def _compared(answer: Answer) -> list[str]:
    """Return sentences on the paired comparisons."""
    alpha = 1 - answer.confidence
    by_shared: dict[str, list[ComparisonAnswer]] = {}
    for comparison in answer.pairs.comparisons:
        by_shared.setdefault(comparison.shared, []).append(comparison)
    lines = []
    for what, group in by_shared.items():
        clauses = []
        for event in dict.fromkeys(comparison.asked for comparison in group):
            alike = [comparison for comparison in group if comparison.asked == event]
            differ = [comparison for comparison in alike if comparison.differ]
            clause = f"{len(differ):,} of {len(alike):,} pairs differ"
            clauses.append(f"{clause} at {event.short}{_largest(differ)}")
        total = len(answer.pairs.comparisons)
        tests = " and ".join(dict.fromkeys(comparison.test for comparison in group))
        lines.append(
            f"On the same {what} {'; '.join(clauses)} ({tests}, Holm's level {alpha:.3g} "
            f"for all {counted(total, 'comparison')})."
        )
    return lines


def _largest(differ: list[ComparisonAnswer]) -> str:
    """Return a clause on the largest difference that is one."""
    if not differ:
        return ""
    largest = max(differ, key=lambda c: abs(c.result.difference))
    names = largest.first, largest.second
    apart = largest.result.difference, largest.simultaneous_lower, largest.simultaneous_upper
    if apart[0] < 0:
        names, apart = names[::-1], (-apart[0], -apart[2], -apart[1])
    return (
        f", the largest difference seen being that {names[0]} fails more often than {names[1]} by "
        f"{probability(*apart)}"
    )


def _every_n(done: list[ExperimentAnswer]) -> list[str]:
    """Return a sentence on the largest lower bound that needs no run, proved ones first."""
    bounds = [
        (bound.evidence.proved, bound.value, bound, e)
        for e in done
        for bound in e.exceedance.lower_bounds
        if bound.value >= noteworthy(e)
    ]
    if not bounds:
        return []
    _, value, bound, e = max(bounds, key=lambda b: b[:2])
    alike = sum(other.exceedance.lower_bounds == e.exceedance.lower_bounds for other in done)
    whose = "every experiment" if alike == len(done) > 1 else e.label
    how = "without any run and for every number of steps"
    if bound.rests_on_runs:
        how = "for every number of steps, since the best run's risk is no less than inf L"
    return [
        f"{bound.evidence.adverb}, {how}: "
        f"{bound.asked.clause(f' of {whose}', e.risk.rows)} with probability at least "
        f"{lower_text(value)} ({bound.reason})."
    ]


def _permanent(done: list[ExperimentAnswer], event: Event) -> list[str]:
    """Return a sentence on the runs that are certified to fail in all further training."""
    ranked = sorted(done, key=lambda e: (_permanent_share(e), e.label))
    least, most = ranked[0], ranked[-1]
    if not most.permanent.count[0]:
        return []

    def share(e: ExperimentAnswer) -> str:
        return f"{e.permanent.count[0]:,} of {e.runs:,}"

    def weighted(e: ExperimentAnswer) -> str:
        of = e.permanent.probability
        return f"estimated probability {of[0]:.3g}" if of else ""

    def named(e: ExperimentAnswer) -> str:
        return f"({', '.join(text for text in (e.label, weighted(e)) if text)})"

    counts = f"{share(most)} run{'s' if most.runs != 1 else ''}"
    if len({(e.permanent.count[0], e.runs, *e.permanent.probability[:1]) for e in done}) == 1:
        counts += " of every experiment" if len(done) > 1 else ""
        counts += f" ({weighted(most)})" if weighted(most) else ""
    else:
        counts = f"{share(least)} {named(least)} to {counts} {named(most)}"
    evidence = [e.permanent.evidence[0] for e in done if e.permanent.count[0]]
    clauses = dict.fromkeys(part.clause for part in evidence if part.clause)
    reserved = f" ({'; '.join(clauses)})" if clauses else ""
    rows = common_rows(e.risk.rows for e in done)
    what = f"to fail ({event.clause(rows=rows)})"
    if event.kind == ABOVE_OPTIMUM:
        over = f" over {rows}" if rows else ""
        what = f"to exceed the optimal risk{over} by more than {number(event.threshold)}"
    return [
        f"Permanent failures: {counts} are certified{reserved} {what} in all further training, "
        "whatever mini-batches would follow."
    ]


def _permanent_share(e: ExperimentAnswer) -> float:
    """Return the estimated probability of a permanent failure at the first event."""
    return [*e.permanent.probability, e.permanent.count[0] / e.runs][0]


def _liminf(done: list[ExperimentAnswer]) -> list[str]:
    """Return a sentence on the largest bound of the limit that certified runs give.

    Of the bounds that hold together, since the largest is selected.
    """
    bounds = [
        (e.liminf.simultaneous[g], -g, k)
        for k, e in enumerate(done)
        for g, bound in enumerate(e.exceedance.lower_bounds)
        if e.liminf.simultaneous[g] > max(noteworthy(e), bound.value)
    ]
    if not bounds:
        return []
    value, place, k = max(bounds)
    e, g = done[k], -place
    whose = f" of {e.label}" if len(done) > 1 else ""
    rests_on = e.permanent.evidence[g].clause
    reserved = f"; {rests_on}" if rests_on else ""
    return [
        "However long training goes on: the limit (liminf) of the probability that "
        f"{e.exceedance.lower_bounds[g].asked.clause(whose, e.risk.rows)} is at least "
        f"{lower_text(value)}, since {e.liminf.certified[g]:,} of {counted(e.runs, 'run')} "
        f"fail for ever (simultaneous confidence {100 * e.liminf.confidence:.12g} %{reserved})."
    ]


def with_constants(done: Sequence[ExperimentAnswer]) -> list[ExperimentAnswer]:
    """Return the experiments whose runs are counted as constant, none if no run ever was.

    Not linear models, whose weights alone decide that, nothing being inactive.
    """
    layered = [e for e in done if e.permanent.hidden]
    return layered if any(count for e in layered for count in e.permanent.constant) else []


def _constant(done: list[ExperimentAnswer]) -> list[str]:
    """Return a sentence on the runs whose network is constant on the whole support of the input."""
    layered = with_constants(done)
    if not layered:
        return []
    ranked = sorted(layered, key=lambda e: (constant_share(e), e.label))
    least, most = ranked[0], ranked[-1]

    def share(e: ExperimentAnswer) -> str:
        first, last = e.permanent.constant[0], e.permanent.constant[-1]
        weighted = ""
        if e.permanent.constant_probability:
            weighted = f", estimated probability {e.permanent.constant_probability[-1]:.3g}"
        return f"{last:,} of {counted(e.runs, 'run')} ({first:,} at the start{weighted})"

    if share(least) == share(most):
        whose = "every experiment" if len(layered) == len(done) else "all with a hidden layer"
        counts = share(most) + (f" of {whose}" if len(done) > 1 else "")
    else:
        counts = f"{share(least)} of {least.label} to {share(most)} of {most.label}"
    return [f"Constant networks: {counts} end with a network that is constant for all inputs."]


def constant_share(e: ExperimentAnswer) -> float:
    """Return the estimated probability of ending with a constant network."""
    return [*e.permanent.constant_probability[-1:], e.permanent.constant[-1] / e.runs][0]


def given(every: Iterable[EvidenceAnswer]) -> str:
    """Return what the study states that decides which runs fail: "given that ...", or nothing."""
    clauses: dict[str, None] = {}
    for evidence in every:
        parts = evidence.clause.split("; ")
        clauses |= dict.fromkeys(part for part in parts if part.startswith("given that "))
    return " and ".join(clauses)


def conditional(condition: str, sentence: str) -> str:
    """Return a sentence with what it is conditional on in front.

    Example:
        >>> conditional("given that the optimum is 0", "After 1 step ...")
        'Given that the optimum is 0: after 1 step ...'
    """
    if not condition:
        return sentence
    return f"{condition[0].upper()}{condition[1:]}: {sentence[0].lower()}{sentence[1:]}"


def _others(e: ExperimentAnswer) -> Iterator[str]:
    for answer in e.others.values():
        sentence = getattr(answer, "sentence", None)
        if sentence:
            yield f"{e.label}: {sentence}"
