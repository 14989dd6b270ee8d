"""Published numbers beside measured ones: the same event at the same step, and whether they agree.

A published number is a probability (printed, or as a count of runs), a mean, a quantile, a bound of
one of these, or a level of the risk at which runs end. Counts are compared by exact tests
(`jaxsim.estimation.agreement`), all others by intervals (`jaxsim.estimation.inversion`), whose P
values are adjusted for all published numbers of a study (Holm); levels by their digits. A verdict
is

    agrees         no difference is found, and one larger than the tolerance is excluded;
    differs        the adjusted P value is at most 1 - confidence, or the digits of a level differ;
    undecided      none is found, but the runs do not exclude it either;
    not measured   no finished run is of this experiment, step or level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.estimation import clopper_pearson
from jaxsim.estimation.agreement import binomial, fisher
from jaxsim.estimation.bounded_mean import published_mean_interval
from jaxsim.estimation.inversion import inverted_p
from jaxsim.estimation.paired import holm
from jaxsim.questions.data import Data
from jaxsim.questions.published_number import LEVEL, MEAN, QUANTILE, Published
from jaxsim.questions.published_question import WINDOW, Level, Measured
from jaxsim.questions.published_tallies import BoundedMean, Ends, Quantile, RiskMean, Share

Verdict = Literal["agrees", "differs", "undecided", "not measured"]
Kind = Literal["probability", "level", "mean", "quantile"]


class PublishedComparison(Data):
    """A published number beside the measured one.

    Attributes:
        source: paper, report or theorem.
        place: page, table or file.
        quantity: in words.
        experiment: label.
        event: what is compared, as a clause.
        step: at which it was measured; None if it was not.
        published: as printed.
        published_lower: lower end of the interval of the published number: Clopper-Pearson's where
            its count is known, that of a mean whose error is known, else of its rounding; as
            compared with the measured one.
        published_upper: upper end.
        published_runs: runs that it is of, None if not known.
        estimate: measured; None if it was not.
        lower: lower end of its interval; of a level, of the risks near it; infinite where nothing
            bounds it.
        upper: upper end.
        method: of that interval.
        runs: measured ones.
        count: of them, those that certainly have the event, or are at the level; 0 for a mean or a
            quantile.
        undecided: of them, those of which it is not known.
        test: how both are compared.
        p: P value of it, None for levels and what was not measured.
        p_holm: adjusted for all published numbers of the study.
        difference: the greatest difference that the intervals leave open.
        tolerance: which agreement has to exclude.
        verdict: "agrees", "differs", "undecided" or "not measured".
        discussion: why a difference is to be expected, or what else a reader should know.
        kind: "probability", "level", "mean" or "quantile".
    """

    source: str
    place: str
    quantity: str
    experiment: str
    event: str
    step: int | None
    published: str
    published_lower: float
    published_upper: float
    published_runs: int | None
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    method: str = ""
    runs: int = 0
    count: int = 0
    undecided: int = 0
    test: str = ""
    p: float | None = None
    p_holm: float | None = None
    difference: float | None = None
    tolerance: float
    verdict: Verdict
    discussion: str
    kind: Kind = "probability"


def comparisons(
    entries: Sequence[Published],
    measured: Sequence[Measured | None],
    confidence: float,
    subtracted: Sequence[Measured | None] = (),
) -> tuple[PublishedComparison, ...]:
    """Return the published numbers beside the measured ones.

    Args:
        entries: published numbers.
        measured: what the runs say about each, None where no experiment is meant.
        confidence: of the intervals, and 1 - the level of all tests together.
        subtracted: of differences, what the runs of the other experiment say; empty for none.
    """
    others = subtracted or [None] * len(entries)
    found = [
        _compared(entry, one, other, confidence)
        for entry, one, other in zip(entries, measured, others, strict=True)
    ]
    tested = {i: one.p for i, one in enumerate(found) if one.p is not None}
    adjusted = holm(list(tested.values())) if tested else []
    for i, p in zip(tested, adjusted, strict=True):
        one, level = found[i], 1 - confidence
        verdict: Verdict = "agrees"
        if p <= level:
            verdict = "differs"
        elif one.difference is None or not one.difference <= one.tolerance:
            verdict = "undecided"
        found[i] = one.model_copy(update={"p_holm": float(p), "verdict": verdict})
    return tuple(found)


def _compared(
    entry: Published, one: Measured | None, other: Measured | None, confidence: float
) -> PublishedComparison:
    lower, upper = _published_ends(entry, confidence)
    kinds: dict[str, Kind] = {LEVEL: "level", MEAN: "mean", QUANTILE: "quantile"}
    blank = PublishedComparison(
        source=entry.source,
        place=entry.place,
        quantity=entry.quantity,
        experiment=entry.label,
        event=entry.event,
        step=None if one is None else one.step,
        published=entry.text,
        published_lower=lower,
        published_upper=upper,
        published_runs=entry.runs,
        tolerance=entry.tolerance,
        verdict="not measured",
        discussion=entry.discussion,
        kind=kinds.get(entry.kind, "probability"),
    )
    if one is None or one.step is None or not one.runs:
        return blank
    if entry.other_label and (other is None or other.step is None or not other.runs):
        return blank
    tally, known = one.tally, {"runs": one.runs}
    if isinstance(tally, Level):
        return blank.model_copy(update=known | _of_level(entry, tally))
    if isinstance(tally, Share):
        return blank.model_copy(update=known | _of_probability(entry, tally, confidence))
    if isinstance(tally, Quantile):
        return blank.model_copy(update=known | _of_quantile(entry, tally, confidence))
    less = None if other is None else other.tally
    if isinstance(tally, RiskMean):
        assert less is None or isinstance(less, RiskMean)
        return blank.model_copy(update=known | _of_risk_mean(entry, tally, less, confidence))
    assert isinstance(tally, BoundedMean)
    assert less is None or isinstance(less, BoundedMean)
    return blank.model_copy(update=known | _of_bounded_mean(entry, tally, less, confidence))


def _published_ends(entry: Published, confidence: float) -> Ends:
    """Return the interval of a published number, or the range of values that it may have."""
    if entry.relation != "equal":
        return entry.lower, entry.upper
    if entry.count is not None and entry.runs:
        ends = clopper_pearson(list(entry.count), entry.runs, confidence)
        return float(ends[0][0]), float(ends[1][1])
    lower, upper = entry.lower, entry.upper
    if entry.kind != MEAN or entry.other_label:
        return lower, upper
    if entry.most is not None and entry.runs is not None:
        deviation = None if entry.deviation is None else entry.deviation / entry.most
        ends = [
            published_mean_interval(
                min(max(x / entry.most, 0.0), 1.0), entry.runs, deviation, confidence
            )
            for x in (lower, upper)
        ]
        return entry.most * ends[0][0], entry.most * ends[1][1]
    error = entry.standard_error
    if entry.deviation is not None and entry.runs is not None:
        error = entry.deviation / math.sqrt(entry.runs)
    if error is None:
        return lower, upper
    reach = float(scipy.stats.norm.isf((1 - confidence) / 2)) * error
    return lower - reach, upper + reach


def _of_level(entry: Published, tally: Level) -> dict[str, object]:
    """Return the fields of a level: it agrees if all printed digits do."""
    level = tally.found()
    known: dict[str, object] = {
        "test": "rounding of the printed digits",
        "method": f"risks within {WINDOW:.0%} of it",
    }
    if level is None:
        return known
    if level.polished:
        known["method"] = "risks after polishing"
    slack = 1e-9 * abs(level.median)
    inside = entry.lower - slack <= level.median <= entry.upper + slack
    return known | {
        "count": level.count,
        "estimate": level.median,
        "lower": level.least,
        "upper": level.most,
        "verdict": "agrees" if inside else "differs",
    }


def _of_probability(entry: Published, share: Share, confidence: float) -> dict[str, object]:
    """Return the fields of a probability."""
    count, runs, counted = share.range, int(share.runs.sum()), entry.count and entry.runs
    if not share.sampling.fixed:
        published = (lambda level: _published_ends(entry, level)) if counted else None
        p = inverted_p(share.ends, published or (entry.lower, entry.upper))
        test = f"inversion of intervals ({share.sampling.method})"
    elif entry.count is not None and entry.runs:
        p, test = fisher(count, runs, entry.count, entry.runs), "Fisher, two-sided"
    else:
        p, test = binomial(count, runs, entry.lower, entry.upper), "exact binomial, two-sided"
    low, high = share.ends(confidence)
    least, most = share.estimate
    other = None
    if entry.count is not None and entry.runs and entry.relation == "equal":
        other = sum(entry.count) / 2 / entry.runs
    method = share.sampling.method
    return {
        "count": count[0],
        "undecided": count[1] - count[0],
        "estimate": least,
        "lower": low,
        "upper": high,
        "method": method if share.sampling.single else f"strata ({method})",
        "test": test,
        "p": p,
        "difference": _open_difference(
            (least, most), (low, high), other, _published_ends(entry, confidence)
        ),
    }


def _of_bounded_mean(
    entry: Published, tally: BoundedMean, less: BoundedMean | None, confidence: float
) -> dict[str, object]:
    """Return the fields of the mean of a bounded quantity, or of a difference of two."""

    def ends(level: float) -> Ends:
        if less is None:
            return tally.ends(level)
        half = (1 + level) / 2
        (low, high), (other_low, other_high) = tally.ends(half), less.ends(half)
        return low - other_high, high - other_low

    known = _published_ends(entry, confidence)
    own_error = known != (entry.lower, entry.upper)
    p = inverted_p(ends, (lambda level: _published_ends(entry, level)) if own_error else known)
    estimate = tally.estimate - (0.0 if less is None else less.estimate)
    low, high = ends(confidence)
    published = (entry.lower + entry.upper) / 2 if own_error else None
    guaranteed = entry.standard_error is None
    return {
        "estimate": estimate,
        "lower": low,
        "upper": high,
        "method": "betting, guaranteed" + ("" if less is None else ", both means"),
        "test": f"inversion of intervals{'' if guaranteed else ', approximate'}",
        "p": p,
        "difference": _open_difference((estimate, estimate), (low, high), published, known),
    }


def _of_risk_mean(
    entry: Published, tally: RiskMean, less: RiskMean | None, confidence: float
) -> dict[str, object]:
    """Return the fields of the mean of a risk, or of a difference of two: all approximate."""
    estimate = tally.estimate - (0.0 if less is None else less.estimate)
    means = [tally.estimate, *([] if less is None else [less.estimate])]
    if not all(map(math.isfinite, means)):
        return {
            "estimate": math.inf if math.isnan(estimate) else estimate,
            "lower": -math.inf,
            "upper": math.inf,
            "method": "none: diverged runs have no finite risk; a quantile has an interval",
            "test": "none",
            "p": 1.0,
        }
    own = entry.standard_error
    if entry.runs is not None:
        # Without a deviation of its own that of the runs here: alike, if both are of one law.
        deviation = tally.deviation if entry.deviation is None else entry.deviation
        own = deviation / math.sqrt(entry.runs)
    error = math.hypot(tally.standard_error, 0.0 if less is None else less.standard_error)
    both = math.hypot(error, own or 0.0)
    freedom = max(tally.runs - 1, 1)
    reach = float(scipy.stats.t.isf((1 - confidence) / 2, freedom))
    gap = max(entry.lower - estimate, estimate - entry.upper, 0.0)
    p = 1.0 if not gap else float(2 * scipy.stats.t.sf(gap / both, freedom)) if both else 0.0
    beyond = max(estimate + reach * both - entry.upper, entry.lower - estimate + reach * both)
    return {
        "estimate": estimate,
        "lower": estimate - reach * error,
        "upper": estimate + reach * error,
        "method": "Student's t, approximate: nothing bounds the risk",
        "test": "Student's t, approximate",
        "p": p,
        "difference": max(beyond, 0.0),
    }


def _of_quantile(entry: Published, tally: Quantile, confidence: float) -> dict[str, object]:
    """Return the fields of a quantile.

    A quantile up to `upper` has P(X <= upper) >= q, and one from `lower` on P(X < lower) <= q. Of a
    published sample quantile of n runs, an order statistic Y of rank r, P(X <= Y) is
    Beta(r, n + 1 - r) (David and Nagaraja, Order Statistics, 2003, section 2.3).
    """
    sampling, q, runs = tally.sampling, tally.level, entry.runs
    up_to, below = tally.up_to, tally.below
    total = int(up_to.runs.sum())
    ranks = None
    if runs is not None:
        ranks = max(math.floor(q * runs), 1), min(math.ceil(q * runs) + 1, runs)
    if not sampling.fixed:

        def ends(level: float) -> Ends:
            """Return how far P(X < lower) and P(X <= upper) leave it open, as one range."""
            return below.ends(level)[0], up_to.ends(level)[1]

        def published(level: float) -> Ends:
            assert runs is not None
            assert ranks is not None
            tail = (1 - level) / 2
            return (
                float(scipy.stats.beta.ppf(tail, ranks[0], runs + 1 - ranks[0])),
                float(scipy.stats.beta.isf(tail, ranks[1], runs + 1 - ranks[1])),
            )

        p = inverted_p(ends, (q, q) if ranks is None else published)
        test = f"inversion of intervals ({sampling.method})"
    elif ranks is not None:
        assert runs is not None
        few = scipy.stats.betabinom.cdf(up_to.range[1], total, ranks[0], runs + 1 - ranks[0])
        many = scipy.stats.betabinom.sf(below.range[0] - 1, total, ranks[1], runs + 1 - ranks[1])
        p, test = min(1.0, 2 * float(min(few, many))), "exceedances of an order statistic"
    else:
        few = scipy.stats.binom.cdf(up_to.range[1], total, q)
        many = scipy.stats.binom.sf(below.range[0] - 1, total, q)
        p, test = min(1.0, 2 * float(min(few, many))), "exact binomial of runs below, two-sided"
    low, high = tally.ends(confidence)
    return {
        "estimate": tally.estimate,
        "lower": low,
        "upper": high,
        "method": "order statistics"
        if sampling.fixed
        else f"limits of the law ({sampling.method})",
        "test": test,
        "p": max(p, 0.0),
        "difference": max(high - entry.upper, entry.lower - low, 0.0),
    }


def _open_difference(estimates: Ends, ends: Ends, other: float | None, published: Ends) -> float:
    """Return the greatest difference that the intervals leave open.

    Of two samples by the square-and-add rule (Newcombe, Statistics in Medicine 17, 1998) over the
    limits of both; from a range of values, the distance of the farther limit.

    Args:
        estimates: measured, at least and at most.
        ends: of the measured interval.
        other: published estimate; None if the published number has no error of its own.
        published: its interval, or its range.
    """
    low, high = ends
    if other is None:
        return max(0.0, high - published[1], published[0] - low)
    least, most = estimates
    above = most - other + float(np.hypot(high - most, other - published[0]))
    below = other - least + float(np.hypot(least - low, published[1] - other))
    return max(above, below, 0.0)
