"""Published means and quantiles, and published numbers beside strata and looks."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from jaxsim import InputError
from jaxsim.estimation import clopper_pearson, confidence_sequence, quantile_interval
from jaxsim.estimation.bounded_mean import BoundedSample, mean_interval, published_mean_interval
from jaxsim.estimation.stratified import stratified
from jaxsim.estimation.stratified_counts import StratifiedCounts
from jaxsim.questions.ask import analyse
from jaxsim.report.published import (
    measured_text,
    published_rows,
    published_sentences,
    published_text,
)
from jaxsim.study.study import Study
from tests.questions.test_strata import RUNS, WEIGHTS, stratified_results
from tests.questions.two_experiments import answered, asked, risks
from tests.studies import made_up, table, with_records

RUNS_EACH = 80


def number(**fields):
    return {"quantity": "a statistic", "experiment": "one", **fields}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """80 runs of each of two experiments, with risks from .01 to .1, none diverged."""
    return made_up(asked(), tmp_path_factory.mktemp("made_up"))


@pytest.fixture
def inactive(monkeypatch, results):
    """The same with 0, 1 or 2 inactive neurons of three, in "two" one more."""

    def counted(records, shard):
        one_more = int(shard.experiment == results.experiments[1].id)
        column = (records.replicate % 3 + one_more)[:, None, None]
        return records._replace(inactive=np.broadcast_to(column, records.inactive.shape))

    with_records(monkeypatch, counted)
    return results


def inside(x, mean, runs, deviation, level):
    lower, upper = published_mean_interval(mean, runs, deviation, level)
    return lower <= x <= upper


def test_a_mean_of_inactive_neurons_is_guaranteed_and_compared_in_neurons(inactive):
    right, wrong = answered(
        inactive,
        number(mean="inactive", value="1.0", tolerance=0.5),
        number(mean="inactive", value="1.45"),
    )
    sample = BoundedSample.of((np.arange(RUNS_EACH) % 3) / 3)
    ends = 3 * np.array(mean_interval(sample, sample, 0.95))
    assert right.estimate == pytest.approx((np.arange(RUNS_EACH) % 3).mean())
    assert (right.lower, right.upper) == pytest.approx(tuple(ends))
    assert (right.kind, right.p, right.verdict) == ("mean", 1.0, "agrees")
    assert right.method.startswith("betting, guaranteed")
    assert (wrong.verdict, wrong.tolerance) == ("differs", pytest.approx(0.145))
    # The error at which the interval ends at the printed value, as rounded.
    _, upper = mean_interval(sample, sample, 1 - wrong.p)
    assert 3 * upper == pytest.approx(1.445, abs=1e-6)


def test_a_published_mean_with_runs_has_an_error_of_its_own(inactive):
    entry = number(mean="inactive", value="1.20", rounding=0.0, runs=50)
    chernoff, known, normal = answered(
        inactive,
        entry,
        entry | {"standard_deviation": 0.1},
        number(mean="inactive", value="1.20", rounding=0.0, standard_error=0.01),
    )
    for one, deviation in ((chernoff, None), (known, 0.1 / 3)):
        ends = published_mean_interval(0.4, 50, deviation, 0.95)
        assert (one.published_lower / 3, one.published_upper / 3) == pytest.approx(ends)
    reach = stats.norm.isf(0.025) * 0.01
    assert (normal.published_lower, normal.published_upper) == pytest.approx(
        (1.2 - reach, 1.2 + reach)
    )
    assert "approximate" in normal.test
    assert "approximate" not in known.test
    assert chernoff.p == known.p == 1.0
    assert known.published == "1.20 (standard deviation 0.1, 50 runs)"


def test_two_means_are_compared_where_both_have_errors(inactive):
    (one,) = answered(inactive, number(mean="inactive", value=1.8, runs=400, tolerance=1))
    sample = BoundedSample.of((np.arange(RUNS_EACH) % 3) / 3)
    ours, theirs = (
        mean_interval(sample, sample, 1 - one.p / 2),
        published_mean_interval(0.6, 400, None, 1 - one.p / 2),
    )
    assert ours[1] == pytest.approx(theirs[0], abs=1e-6)
    assert one.verdict == "differs"


def test_a_difference_of_two_means_holds_for_both(inactive):
    entry = number(experiment="two", mean="inactive", minus="one", tolerance=1.0)
    right, wrong, absent = answered(
        inactive,
        entry | {"value": 1.0},
        entry | {"value": -0.5},
        entry | {"value": 1.0, "minus": "three"},
    )
    x = np.arange(RUNS_EACH) % 3
    samples = [BoundedSample.of((x + k) / 3) for k in range(2)]
    first, second = (3 * np.array(mean_interval(s, s, 0.975)) for s in samples)
    assert right.estimate == pytest.approx(1.0)
    assert (right.lower, right.upper) == pytest.approx((second[0] - first[1], second[1] - first[0]))
    assert right.p == 1.0
    assert wrong.verdict == "differs"
    assert absent.verdict == "not measured"
    assert "minus that of 'one'" in right.event


def test_a_diverged_run_may_have_any_number_of_inactive_neurons(results, monkeypatch):

    def lost(records, shard):
        risk = np.where(records.replicate[:, None] < 20, np.nan, records.risk)
        return records._replace(risk=risk)

    with_records(monkeypatch, lost)
    share, neurons = answered(
        results,
        number(mean="inactive_share", value=0.1),
        number(mean="inactive", value=0.1),
    )
    low, high = BoundedSample.of([0.0] * 80), BoundedSample.of([1.0] * 20 + [0.0] * 60)
    assert (share.lower, share.upper) == pytest.approx(mean_interval(low, high, 0.95))
    assert neurons.upper == pytest.approx(3 * share.upper)
    assert share.estimate == pytest.approx(0.125)


def test_a_mean_of_risks_is_students_and_says_that_it_is_approximate(results):
    risk = risks(results, 0, 3) / 2
    mean, error = risk.mean(), risk.std(ddof=1) / math.sqrt(80)
    value = round(float(mean), 4)
    alone, other, both = answered(
        results,
        number(mean="risk", value=value, step=30, factor=2.0),
        number(mean="risk", value=value + 0.01, runs=40, standard_deviation=0.005, step=30)
        | {"factor": 2.0},
        number(mean="risk", value=0.0, minus="two", tolerance=0.05, step=30),
    )
    ends = stats.t.interval(0.95, 79, mean, error)
    assert (alone.estimate, alone.lower, alone.upper) == pytest.approx((mean, *ends))
    assert (alone.test, alone.verdict) == ("Student's t, approximate", "undecided")
    gap = value + 0.01 - mean
    expected = 2 * stats.t.sf(gap / math.hypot(error, 0.005 / math.sqrt(40)), 79)
    assert other.p == pytest.approx(expected)
    errors = [risks(results, e, 3).std(ddof=1) / math.sqrt(80) for e in range(2)]
    reach = stats.t.isf(0.025, 79) * math.hypot(*errors)
    assert both.upper - both.lower == pytest.approx(2 * reach)
    assert both.verdict == "agrees"


def test_a_mean_of_risks_with_a_diverged_run_is_infinite_and_decides_nothing(tmp_path):
    lost = made_up(asked(), tmp_path, diverged=1)
    (one,) = answered(lost, number(mean="risk", value=0.05))
    assert (one.estimate, one.verdict, one.difference) == (math.inf, "undecided", None)
    assert measured_text(one) == "infinite"
    # A quantile has an interval all the same: infinite values are the greatest.
    (median,) = answered(lost, number(quantile={}, value=0.05, tolerance=0.05))
    assert math.isfinite(median.upper)


def test_a_quantile_is_tested_by_the_runs_below_it(results):
    risk = risks(results, 0, 3)
    entry = number(quantile={"of": "risk", "level": 0.25}, step=30, factor=2.0)
    exact, rounded, of_runs = answered(
        results,
        entry | {"value": 0.02},
        entry | {"value": "0.02"},
        entry | {"value": 0.02, "runs": 30},
    )
    below = int((risk <= 0.04).sum())
    tails = stats.binom.cdf(below, 80, 0.25), stats.binom.sf(below - 1, 80, 0.25)
    assert exact.p == pytest.approx(min(1.0, 2 * min(tails)))
    up_to, from_below = int((risk <= 0.05).sum()), int((risk < 0.03).sum())
    tails = stats.binom.cdf(up_to, 80, 0.25), stats.binom.sf(from_below - 1, 80, 0.25)
    assert rounded.p == pytest.approx(min(1.0, 2 * min(tails)))
    assert rounded.p > exact.p
    assert of_runs.p > exact.p
    ends = np.array(quantile_interval(risk, 0.25, 0.95)) / 2
    assert exact.lower == pytest.approx(ends[0], rel=3e-4)
    assert exact.upper == pytest.approx(ends[1], rel=3e-4)
    assert exact.event == "the quantile 0.25 of the risk"


def test_a_quantile_of_a_number_of_neurons_is_a_number_of_neurons(inactive):
    numbers, shares, zero = answered(
        inactive,
        number(quantile={"of": "inactive"}, value=1),
        number(quantile={"of": "inactive_share", "level": 0.9}, value="67 %"),
        number(quantile={"of": "inactive", "level": 0.1}, value=0, tolerance=0.5),
    )
    assert (numbers.estimate, numbers.lower, numbers.upper, numbers.p) == (1.0, 1.0, 1.0, 1.0)
    assert (shares.estimate, shares.lower, shares.upper) == (2 / 3, 2 / 3, 2 / 3)
    assert (zero.estimate, zero.upper, zero.verdict) == (0.0, 0.0, "agrees")


def test_two_samples_of_one_law_differ_in_their_medians_as_rarely_as_promised():
    """Exceedances of an order statistic: all ranks of a merged sample are alike."""
    n, m, r, level = 12, 9, 5, 0.1
    alarms = 0.0
    for below in range(n + 1):
        p = math.comb(r - 1 + below, below) * math.comb(m - r + n - below, n - below)
        p /= math.comb(n + m, n)
        assert stats.betabinom.pmf(below, n, r, m + 1 - r) == pytest.approx(p)
        few = stats.betabinom.cdf(below, n, r, m + 1 - r)
        many = stats.betabinom.sf(below - 1, n, r, m + 1 - r)
        alarms += p * (min(1.0, 2 * min(few, many)) <= level)
    assert alarms <= level


def test_beside_strata_runs_count_with_the_probability_of_their_stratum(tmp_path):
    made, kept = stratified_results(tmp_path, Study.from_dict(table()))
    label = made.experiments[0].label
    entries = [
        {"quantity": "q", "experiment": label, "step": 60, **fields}
        for fields in (
            {"value": 0.5, "event": {"inactive_at_least": 1}},
            {"failures": 10, "runs": 500, "event": {"inactive_at_least": 1}},
            {"value": 0.75, "mean": "inactive", "tolerance": 1.0},
            {"value": 0.05, "quantile": {"level": 0.5}},
            {"value": 0.5, "event": {"above_optimum": 0.05}},
        )
    ]
    study = Study.from_dict(table(design="strata", published=entries))
    answer = analyse(made, [0.05], published=study.published)
    share, counted, mean, median, above = answer.published
    (row,) = answer.experiments[0].exceedance.estimates
    assert row[-1].provable > 0  # the stratum without runs
    assert (above.estimate, above.lower, above.upper) == pytest.approx(
        (row[-1].estimate, row[-1].lower, row[-1].upper)
    )
    runs = np.array(RUNS)
    failures = np.where(np.arange(4) >= 1, runs, 0)[:, None]
    counts = StratifiedCounts(
        WEIGHTS, np.zeros(4), failures, failures, runs, np.zeros((4, 1), np.int8)
    )
    expected = stratified(counts, 0.95)
    assert share.estimate == pytest.approx(WEIGHTS[1:3].sum() / WEIGHTS[:3].sum())
    assert share.lower == pytest.approx(float(expected.lower[0]))
    assert share.upper == pytest.approx(float(expected.upper[0]))
    assert share.method == "strata (clopper-pearson)"
    # At the error p the interval ends at the published number.
    at = stratified(counts, 1 - share.p)
    assert float(at.lower[0]) == pytest.approx(0.5, abs=1e-4) or share.p == 1e-12
    assert counted.verdict == "differs"
    assert (counted.published_lower, counted.published_upper) == pytest.approx(
        clopper_pearson(10, 500, 0.95)
    )
    # A stratum of k diverged runs: these may have any number, all others have k. None of the last.
    assert mean.lower <= 3 * 0.25 <= mean.upper
    values = np.concatenate([kept[label, k].risk[:, -1] for k in range(3)])
    weights = np.concatenate([np.full(RUNS[k], WEIGHTS[k] / RUNS[k]) for k in range(3)])
    order = np.argsort(values)
    whole = np.cumsum(weights[order]) / weights.sum()
    assert median.estimate == pytest.approx(values[order][np.searchsorted(whole, 0.5)], rel=1e-3)
    assert median.lower < median.estimate < median.upper
    assert median.method == "limits of the law (clopper-pearson)"


def test_runs_that_go_on_by_looks_have_confidence_sequences(inactive):
    entry = number(value=0.2, event={"inactive_at_least": 2})
    study = asked(entry, number(mean="inactive", value=0.1), until={"half_width": 0.1})
    share, mean = analyse(
        inactive, [0.001], interval=study.spec.method, published=study.published
    ).published
    assert (share.lower, share.upper) == pytest.approx(
        [float(end) for end in confidence_sequence(share.count, 80, 0.95)]
    )
    assert (share.method, share.test) == ("sequence", "inversion of intervals (sequence)")
    lower, _ = confidence_sequence(share.count, 80, 1 - share.p)
    assert float(lower) == pytest.approx(0.2, abs=1e-6) or share.p == 1.0
    sample = BoundedSample.of((np.arange(RUNS_EACH) % 3) / 3)
    fixed = 3 * np.array(mean_interval(sample, sample, 0.95))
    assert mean.lower < fixed[0]
    assert mean.upper > fixed[1]


def test_views_say_what_a_mean_is_and_what_is_approximate(inactive):
    entries = [
        number(mean="inactive", value="2.00", runs=100, standard_deviation=0.5),
        number(mean="risk", value="0.055", tolerance=0.01),
        number(mean="risk", value=1.0, relation="at most"),
    ]
    study = asked(*entries)
    answer = analyse(inactive, [0.001], published=study.published)
    said = " ".join(published_sentences(answer))
    assert "3 tests, 2 of them approximate, with a false alarm" in said
    rows = published_rows(answer)
    assert rows[0]["published"].startswith("2.00 (standard deviation 0.5, 100 runs) [1.")
    assert rows[0]["measured"].startswith("0.99 [0.")
    assert rows[2]["published"] == "at most 1.0"
    assert rows[2]["verdict"] == "agrees"
    assert published_text(answer.published[1]) == "0.055"
    assert answer.model_validate_json(answer.model_dump_json()).published == answer.published


def test_tables_of_statistics_are_read_back_as_they_are():
    entries = [
        number(mean="inactive", value="1.5", minus="two"),
        number(quantile={"level": 0.9}, value="0.05", runs=9, tolerance=0.1),
    ]
    study = asked(*entries)
    again = Study.from_dict(json.loads(json.dumps(study.spec.model_dump(mode="json"))))
    assert again.published == study.published
    assert [n.tolerance for n in again.published] == pytest.approx([0.15, 0.1])
    assert again.published[0].other == study.experiments[1].id


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"mean": "inactive", "value": 1.5, "level": True}, "either event or level"),
        ({"mean": "width", "value": 1.5}, "mean"),
        ({"mean": "inactive", "failures": 3, "runs": 9}, "failures are of an event"),
        ({"mean": "inactive", "value": 9.5}, "up to 3, the neurons"),
        ({"mean": "inactive", "value": -1.0}, "not be negative"),
        ({"mean": "inactive_share", "value": "150 %"}, "at most 1"),
        ({"mean": "inactive", "value": 0.0}, "tenth of 0"),
        ({"mean": "inactive", "value": 1.0, "factor": 2.0}, "factor is for risks"),
        ({"mean": "inactive", "value": 1.0, "standard_deviation": 1.0}, "needs runs"),
        ({"mean": "inactive", "value": 1.0, "minus": "two", "runs": 9}, "a difference has neither"),
        (
            {"mean": "inactive", "value": 1.0, "runs": 9, "relation": "at least"},
            "a bound of a mean",
        ),
        ({"quantile": {"level": 1.0}, "value": 0.1}, "level"),
        ({"quantile": {}, "value": 0.1, "standard_error": 0.1}, "are for a mean"),
        ({"quantile": {"of": "error_rate"}, "value": 0.1}, "error rates"),
        ({"event": {"risk_above": 0.1}, "value": 0.1, "minus": "two"}, "are for a mean"),
        ({"event": {"risk_above": 0.1}, "value": 0.1, "tolerance": 2.0}, "at most 1"),
    ],
    ids=str,
)
def test_bad_statistics_are_one_sentence(fields, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        asked(number(**fields))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("changes", [{"until": {"half_width": 0.1}}, {"design": "strata"}])
def test_a_mean_of_risks_is_for_a_fixed_number_of_runs_of_one_law(changes):
    with pytest.raises(InputError, match=r"published\.0 is the mean of a risk"):
        asked(number(mean="risk", value=0.5), **changes)


def test_families_of_clones_have_no_interval_to_compare():
    with pytest.raises(InputError, match="'splitting', whose estimates"):
        asked(number(value=0.5, event={"risk_above": 0.1}), design="splitting")
