"""Answers under a design, against plain NumPy over made-up runs of every stratum."""

import io
from dataclasses import replace

import jax
import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from jaxsim import analyse, exceedance
from jaxsim.design.stratum import Design, Stratum
from jaxsim.engines.registry import ExecutionConfig
from jaxsim.errors import InputError
from jaxsim.estimation.exceedance import About
from jaxsim.evidence import stated
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.parabola import Parabola
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.questions.exceedance import Exceedance
from jaxsim.questions.optimum import optima, risk_rules
from jaxsim.questions.post_strata import with_post_strata
from jaxsim.questions.question import Subject
from jaxsim.questions.registry import QUESTIONS
from jaxsim.report.parts import part_texts
from jaxsim.report.sentences import sentences
from jaxsim.report.table import notes, table
from jaxsim.report.text import estimate_text
from jaxsim.results.provenance import provenance
from jaxsim.results.results import Results
from jaxsim.results.schema import concatenate
from jaxsim.results.store import Shard, Store
from jaxsim.training.records import Records, Status
from tests.studies import TWO, made_up, study

EPS = [0.001, 0.05]
RUNS = (400, 300, 200, 0)
WEIGHTS = stats.binom.pmf(np.arange(4), 3, 0.25)


def strata_of(experiment, weights=WEIGHTS, name="strata"):
    """Return one stratum for each number of inactive neurons of three."""
    parts = [
        Stratum(
            number=k,
            text=f"{k} of 3 neurons inactive",
            probability=float(weight),
            error=0.0,
            experiment=replace(experiment, id=f"{experiment.id[:15]}{k}"),
            least=k,
            most=k,
        )
        for k, weight in enumerate(weights)
    ]
    return Design(name, tuple(parts))


def made_up_records(runs, k, seed, checkpoints=5, first=0):
    """Return runs with k certified inactive neurons, some of them diverged at the end."""
    rng = np.random.default_rng([seed, k])
    seen = (runs, checkpoints)
    lost = np.arange(runs) < k
    # No run is better than R*(m) of the parabola; above it something with a scale like eps.
    risk = Parabola().lower(3 - k) + rng.exponential(0.01, seen)
    risk[lost, -1] = np.inf
    return Records(
        replicate=np.arange(first, first + runs),
        status=np.where(lost, Status.DIVERGED, Status.OK).astype(np.int8),
        diverged_step=np.where(lost, 60, -1),
        risk=risk,
        error=np.where(np.isfinite(risk), 1e-15, np.nan),
        inactive=np.full((*seen, 1), k, np.int32),
        gradient_norm=rng.uniform(size=runs),
        dead_layer=np.zeros(runs, np.int16),
        dead_neurons=np.full(runs, k, np.int32),
        constant=np.full(seen, int(k == 3), np.int8),
    )


def stratified_results(directory, made, runs=RUNS, records=made_up_records, **kwargs):
    """Return results of a design, of runs that were made up."""
    store, designs, planned, kept = Store(directory), {}, {}, {}
    facts = provenance(jax.local_devices()[0], ExecutionConfig("vmap", 16, 0)) | {"diverged": "0"}
    for place, experiment in enumerate(made.experiments):
        designs[experiment.id] = design = strata_of(experiment, **kwargs)
        for stratum, count in zip(design.strata, runs, strict=True):
            shard = Shard(stratum.experiment.id, 0, count, len(experiment.checkpoints), 1)
            planned[shard.experiment] = [shard] if count else []
            if count:
                kept[experiment.label, stratum.number] = rows = records(
                    count, stratum.number, place
                )
                store.write(shard, rows, facts | {"seed_path": "made up"})
    return Results(store, made.experiments, planned, designs), kept


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return stratified_results(tmp_path_factory.mktemp("strata"), study())


@pytest.fixture(scope="module")
def answer(made):
    whole = analyse(made[0], EPS, interval="mover")
    assert whole.contradictions == []
    return whole.experiments[0]


def counted(kept, e, eps):
    """Return how many runs of every stratum fail, and may fail, at every checkpoint, [2, 4, T]."""
    rows = np.zeros((2, 4, len(e.checkpoints)))
    for k in range(4):
        for end, bound in enumerate((e.optimum.upper.value, e.optimum.lower.value)):
            if RUNS[k]:
                rows[end, k] = (~(kept[e.label, k].risk <= bound + eps)).sum(0)
    return rows


def test_parts_are_sums_over_strata(made, answer):
    """The stratum without runs fails by proof at eps = 0.05, and every one that R*(m) says."""
    upper = answer.optimum.upper.value
    best = min(np.nanmin(records.risk) for records in made[1].values())
    assert upper == pytest.approx(min(best, Parabola().bracket(3).upper.value), abs=1e-14)
    for g, eps in enumerate(EPS):
        levels = np.array([Parabola().lower(3 - k) for k in range(4)])
        decided = levels > upper + eps
        assert decided[3]
        n = np.maximum(RUNS, 1)
        x, possible = counted(made[1], answer, eps)
        share, most = x / n[:, None], possible / n[:, None]
        for t, one in enumerate(answer.exceedance.estimates[g]):
            assert one.provable == pytest.approx(WEIGHTS[decided].sum(), rel=1e-12)
            resolved = (WEIGHTS * share[:, t])[~decided].sum()
            assert one.resolved == pytest.approx(resolved, rel=1e-12)
            assert one.estimate == pytest.approx(one.provable + resolved, rel=1e-12)
            assert (one.design, one.runs) == ("strata", sum(RUNS))
            assert one.failures == x[:, t].sum()
            assert one.undecided == (possible - x)[:, t].sum()
            least = stats.beta.ppf(0.025, x[:, t], n - x[:, t] + 1)
            greatest = stats.beta.isf(0.025, possible[:, t] + 1, n - possible[:, t])
            down = (WEIGHTS * (share[:, t] - np.nan_to_num(least)))[~decided]
            up = (WEIGHTS * (np.nan_to_num(greatest, nan=1.0) - most[:, t]))[~decided]
            assert one.lower == pytest.approx(one.estimate - np.hypot.reduce(down), rel=1e-8)
            assert one.upper == pytest.approx(one.estimate_upper + np.hypot.reduce(up), rel=1e-8)
            assert (one.method, one.rigorous) == ("mover", False)
            assert one.upper <= one.upper_guaranteed


def sum_of_lower_limits(counts, runs, decided, confidence):
    """Return sum pi_k times exact one-sided limits, each at an equal share of the error."""
    sampled = (np.array(runs) > 0) & ~decided
    tail = (1 - confidence) / sampled.sum()
    limits = [
        1.0 if decided[k] else stats.beta.ppf(tail, counts[k], n - counts[k] + 1) if n else 0.0
        for k, n in enumerate(runs)
    ]
    return WEIGHTS @ np.nan_to_num(limits)


def test_the_limit_is_bounded_by_certified_runs_of_each_stratum(made, answer):
    """All runs with k inactive neurons have k dead ones, unless they diverged."""
    upper, levels = answer.optimum.upper.value, [Parabola().lower(3 - k) for k in range(4)]
    for g, eps in enumerate(EPS):
        decided = np.array(levels) > upper + eps
        certified = [n - k if decided[k] and n else 0 for k, n in enumerate(RUNS)]
        assert answer.permanent.count[g] == sum(certified)
        expected = sum_of_lower_limits(certified, RUNS, decided, 0.95)
        assert answer.liminf.value[g] == pytest.approx(expected, rel=1e-9)
        assert answer.permanent.probability[g] == pytest.approx(WEIGHTS[decided].sum())
        assert answer.liminf.evidence[g].proved, "no run is needed for a stratum that is decided"


def test_shares_count_with_weights(made, answer):
    rows = [made[1].get((answer.label, k)) for k in range(4)]
    assert answer.permanent.constant == [0] * 5
    assert answer.permanent.constant_probability == [0.0] * 5
    bins = answer.distribution
    total = sum(w for w, n in zip(WEIGHTS, RUNS, strict=True) if n)
    lost = sum(WEIGHTS[k] * k / n for k, n in enumerate(RUNS) if n)
    assert bins.diverged == 0 + 1 + 2
    assert bins.diverged_mass == pytest.approx(lost)
    assert sum(bins.mass) + bins.diverged_mass == pytest.approx(total)
    middle = (np.array(bins.lower) + np.array(bins.upper)) / 2
    mean = sum(WEIGHTS[k] * (r.risk[:, -1][k:]).sum() / RUNS[k] for k, r in enumerate(rows[:3]))
    assert np.array(bins.mass) @ middle == pytest.approx(mean, rel=1e-3)
    for g, row in enumerate(answer.exceedance.estimates):
        shares = {name: values[g] for name, values in answer.grades.shares.items()}
        assert shares["failures"] == pytest.approx(row[-1].estimate)
        parts = sum(share for name, share in shares.items() if name != "failures")
        assert parts == pytest.approx(row[-1].estimate)


def test_the_band_holds_for_the_sum_of_strata(answer):
    band = answer.band
    place = band.eps.index(EPS[0])
    one = answer.exceedance.estimates[0]
    for t in range(5):
        assert band.estimate[place][t] == pytest.approx(one[t].estimate)
        assert band.lower[place][t] <= one[t].lower <= one[t].upper <= band.upper[place][t]
    for ends in (band.lower, band.upper):
        assert (np.array(ends)[1:] <= np.array(ends)[:-1]).all()
    assert "Bonferroni over" in band.method


@pytest.mark.parametrize("design", ["strata", "plain"])
def test_one_pair_of_ends_takes_the_limits_of_one_place(made, design, monkeypatch):
    """They are those of all events and checkpoints together, without their cost."""
    (experiment,) = made[0].experiments
    known = optima(made[0], risk_rules(made[0].experiments))[experiment.hypothesis_class]
    rule = risk_rules([experiment])[experiment.evaluation_key]
    drawn = strata_of(experiment) if design == "strata" else None
    events = [Event(ABOVE_OPTIMUM, eps) for eps in EPS] + [Event("risk_above", 0.02)]
    subject = Subject(
        experiment, known.bracket, rule, np.array(EPS), 0.95, "clopper-pearson",
        levels=known.levels, events=tuple(events), design=drawn,
    )  # fmt: skip
    question = Exceedance(subject)
    for stratum, records in made[0].parts(experiment):
        question.add(records, stratum.number if drawn else 0)
    if drawn:
        question.add_families(clones(20, 4, 1, np.arange(20) % 2 == 0), 1, 4)
        question.add_families(clones(6, 4, 1, np.zeros(6, bool)), 1, 4, True)
    every, shapes, at = question.finish().estimates, [], About.estimate
    monkeypatch.setattr(
        About,
        "estimate",
        lambda self, *a, **kw: shapes.append(len(self.steps)) or at(self, *a, **kw),
    )
    for g, row in enumerate(every):
        for t in (0, 2, -1):
            ends = row[t].lower, row[t].upper_guaranteed
            assert question.ends(g, t, 0.95) == pytest.approx(ends, rel=1e-6)
    assert shapes == [1] * 9


def test_the_answer_says_what_was_drawn(made, answer):
    design = answer.design
    assert (design.name, [s.runs for s in design.strata]) == ("strata", list(RUNS))
    assert [s.probability for s in design.strata] == pytest.approx(WEIGHTS)
    for g, eps in enumerate(EPS):
        x, possible = counted(made[1], answer, eps)[:, :, -1]
        assert [s.failures[g] for s in design.strata] == x.tolist()
        assert [s.undecided[g] for s in design.strata] == (possible - x).tolist()
        assert [s.decided[g] for s in design.strata][3]
    assert design.strata[3].estimate == [None, None]
    assert answer.model_validate_json(answer.model_dump_json()) == answer


def test_a_run_that_passes_in_a_stratum_that_fails_by_proof_is_a_contradiction(tmp_path):
    def wrong(count, k, place):
        records = made_up_records(count, k, place)
        if k == 2:
            records.risk[7, 3] = 0.002
        return records

    results, _ = stratified_results(tmp_path, study(), records=wrong)
    found = analyse(results, EPS)
    assert any("2 of 3 neurons inactive" in line for line in found.contradictions)
    (e,) = found.experiments
    assert not any(one.rigorous for row in e.exceedance.estimates for one in row)


def test_plain_runs_are_sorted_into_strata_whose_law_is_known(tmp_path):
    """Interval of the sum by NumPy, from counts by the inactive neurons at step 0."""
    made = study(replicates=400)
    results = made_up(made, tmp_path)
    (experiment,) = made.experiments
    rng = np.random.default_rng(1)
    for shard in results.finished(experiment):
        records = results.store.read(shard)
        drawn = rng.binomial(3, 0.25, (len(records.replicate), 1, 1)).astype(np.int32)
        # Runs with one active neuron cannot do better than R*(1).
        risk = records.risk + np.where(drawn[:, :, 0] >= 2, 0.1, 0.0)
        records = records._replace(inactive=np.repeat(drawn, 5, axis=1), risk=risk)
        results.store.write(shard, records, dict(results.store.facts(shard)))
    plain = analyse(results, 0.05, interval="mover").experiments[0]
    sorted_answer = analyse(results, 0.05, interval="mover", post_stratify=True)
    assert sorted_answer.contradictions == []
    (e,) = sorted_answer.experiments
    records = concatenate(list(results.chunks(experiment)))
    assert e.design is not None
    # P(K = 3) = 1/64 is an expectation of 6 runs: too few, so that 2 and 3 go together, which
    # fail by proof both.
    assert [(s.least, s.most) for s in e.design.strata] == [(0, 0), (1, 1), (2, 3)]
    weights = np.array([27, 27, 10]) / 64
    group = np.minimum(records.inactive[:, 0, 0], 2)
    course = e.exceedance.estimates[0]
    for t, one in enumerate(course):
        failing = records.risk[:, t] > e.optimum.upper.value + 0.05
        share = np.array([failing[group == k].mean() for k in range(3)])
        assert share[2] == 1
        assert one.provable == pytest.approx(weights[2], rel=1e-5)
        assert one.resolved == pytest.approx(weights[:2] @ share[:2], rel=1e-5)
        whole = plain.exceedance.estimates[0][t]
        assert one.upper - one.lower < whole.upper - whole.lower, "exact weights narrow it"
        assert one.failures == whole.failures
    assert (course[-1].design, course[-1].runs) == ("post-stratified", 400)
    for s, k in zip(e.design.strata, range(3), strict=True):
        assert s.runs == (group == k).sum()
        assert abs(s.probability - weights[k]) <= s.error <= 1e-5
    assert plain.design is None
    same = exceedance(results, 0.05, interval="mover", post_stratify=True)
    assert same == [e.exceedance.estimates[0][-1]]


def test_strata_of_a_sequence_do_not_move_with_the_number_of_runs(made):
    (experiment,) = made[0].experiments
    known = optima(made[0], risk_rules(made[0].experiments))[experiment.hypothesis_class]
    rule = risk_rules([experiment])[experiment.evaluation_key]
    subject = Subject(
        experiment, known.bracket, rule, np.array(EPS), 0.95, "sequence", levels=known.levels
    )

    def strata(interval, runs):
        asked = with_post_strata(replace(subject, interval=interval), runs).strata.strata
        return [(s.least, s.most) for s in asked]

    assert strata("sequence", 60) == strata("sequence", 10**6)
    assert strata("clopper-pearson", 60) != strata("clopper-pearson", 10**6)


def test_quantiles_are_of_the_weighted_runs(made, answer):
    """Not of the pooled ones: the runs of a stratum count with its probability."""
    rows = [made[1][answer.label, k].risk[:, -1] for k in range(3)]
    weights = np.concatenate([np.full(len(r), w / len(r)) for r, w in zip(rows, WEIGHTS)])  # noqa: B905
    risk = np.concatenate(rows)
    order = np.argsort(risk)
    share = np.cumsum(weights[order]) / WEIGHTS[:3].sum()
    for q, level in enumerate(answer.quantiles.levels):
        expected = risk[order][np.searchsorted(share, level)]
        assert answer.quantiles.value[q][-1] == pytest.approx(expected, rel=2**-11)
        low, high = answer.quantiles.lower[q][-1], answer.quantiles.upper[q][-1]
        assert low <= answer.quantiles.value[q][-1] <= high
    # 1/64 of the runs may be anywhere, for the stratum of that probability has none.
    assert answer.quantiles.lower[0][-1] > -np.inf
    assert "limits of the distribution function" in answer.quantiles.method


def test_pairs_are_compared_within_strata(tmp_path):
    results, kept = stratified_results(tmp_path, study(grid=TWO, paired=["optimizer"]))
    answer = analyse(results, EPS)
    (first, second) = answer.pairs.comparisons
    upper, lower = (
        getattr(answer.experiments[0].optimum, side).value for side in ("upper", "lower")
    )
    for comparison, eps in ((first, EPS[0]), (second, EPS[1])):
        decided = np.array([Parabola().lower(3 - k) for k in range(4)]) > upper + eps
        difference, alone = 0.0, [0, 0]
        for k, n in enumerate(RUNS[:3]):
            a, b = (kept[label, k].risk[:, -1] for label in ("sgd", "adam"))
            only = [
                int((~(x <= upper + eps) & (y <= lower + eps)).sum()) for x, y in ((a, b), (b, a))
            ]
            alone = [x + y for x, y in zip(alone, only, strict=True)]
            difference += 0 if decided[k] else WEIGHTS[k] * (only[0] - only[1]) / n
        counts = comparison.result.counts
        assert [counts.only_first, counts.only_second] == alone
        assert comparison.result.difference == pytest.approx(difference, abs=1e-15)
        assert comparison.result.lower <= difference <= comparison.result.upper
        assert comparison.pairs == sum(RUNS)
        assert (comparison.test, comparison.differ) == ("by the interval of the difference", False)
        mass = 0 if decided[3] else WEIGHTS[3]
        assert comparison.result.upper - comparison.result.lower > 2 * mass


def clones(families, size, k, hit):
    """Return families of clones, of which particle 0 fails with a small weight where `hit`."""
    records = made_up_records(families * size, k, 7)
    risk = np.full(records.risk.shape, Parabola().lower(3))
    weight = np.full(risk.shape, 1.0)
    risk[::size][hit] = np.nan
    weight[::size] = 1e-9 * (1 + np.arange(families)[:, None] / families)
    error = np.where(np.isfinite(risk), 0.0, np.nan)
    return records._replace(risk=risk, error=error, weight=weight)


@pytest.mark.parametrize("guarded", [True, False])
def test_families_of_clones_estimate_their_stratum(made, guarded):
    """p_i is the mean of weight times failure; without a guard they are no answer."""
    (experiment,), design = made[0].experiments, strata_of(made[0].experiments[0])
    known = optima(made[0], risk_rules(made[0].experiments))[experiment.hypothesis_class]
    rule = risk_rules([experiment])[experiment.evaluation_key]
    subject = Subject(
        experiment, known.bracket, rule, np.array([0.05]), 0.95, "clopper-pearson",
        levels=known.levels, design=design,
    )  # fmt: skip
    question = Exceedance(subject)
    size, families = 4, 20
    for k in range(4):
        if RUNS[k]:
            records = made_up_records(RUNS[k], k, 0)
            passes = records._replace(risk=np.full(records.risk.shape, Parabola().lower(3)))
            question.add(passes._replace(error=np.zeros(records.risk.shape)), k)
    question.add_families(clones(families, size, 1, np.arange(families) % 2 == 0), 1, size)
    if guarded:
        question.add_families(clones(6, size, 1, np.zeros(6, bool)), 1, size, True)
    one = question.finish().estimates[0][-1]
    mean = sum(1e-9 * (1 + i / families) / size for i in range(0, families, 2)) / families
    proved = [Parabola().lower(3 - k) > known.bracket.upper.value + 0.05 for k in range(4)]
    assert one.provable == pytest.approx(WEIGHTS[proved].sum())
    assert (one.families, one.rigorous) == (families, False)
    drawn = question.design()
    assert drawn is not None
    stratum = drawn.strata[1]
    assert stratum.estimate == [pytest.approx(mean)]
    assert (stratum.doubts == [""]) == guarded
    assert 0 < one.resolved_lower < WEIGHTS[1] * mean, "the betting limit needs no guard"
    assert one.resolved == (pytest.approx(WEIGHTS[1] * mean) if guarded else 0.0)
    assert one.upper_guaranteed > 1e-3
    both = sum(WEIGHTS[k] * (1 - 0.0125 ** (1 / RUNS[k])) for k in range(2))
    # The sum of strata without failures is bounded as one quantity.
    assert (one.unresolved > 0.5 * both) == (not guarded)


def test_three_parts_are_said_and_never_mixed(made, answer):
    one = answer.exceedance.estimates[0][-1]
    tiny = replace(
        one, estimate=1.23e-12, lower=9.8e-13, upper=4e-4, provable=9.0949e-13, resolved=3.2e-13,
        resolved_lower=7.1e-14, resolved_upper=4e-4, unresolved=3.67e-4, undecided=0,
    )  # fmt: skip
    assert tiny.open
    assert estimate_text(tiny) == ("unresolved", "9.8e-13", "0.0004")
    said = part_texts(tiny)
    assert said == (
        "9.09e-13 is proved without any run; at least 7.1e-14 is resolved by 900 runs; at most "
        "0.00037 is unresolved"
    )
    assert "3.2e-13" not in said, "what is resolved is no answer where more is unresolved"
    settled = replace(tiny, upper=3e-12, resolved_upper=2e-12, unresolved=1e-14)
    assert estimate_text(settled) == ("1.2e-12", "9.8e-13", "3e-12")
    assert "3.2e-13 (7.1e-14 to 2e-12) is resolved by 900 runs" in part_texts(settled)
    whole = analyse(made[0], EPS)
    lines = " ".join(sentences(whole))
    assert "is proved without any run" in lines
    terminal = io.StringIO()
    Console(width=300, file=terminal, force_terminal=False).print(table(whole))
    printed = terminal.getvalue()
    assert "proved" in printed
    assert "unresolved" in printed
    assert any(line.startswith("design: strata, 3 of 4 strata sampled") for line in notes(whole))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network__activation": "tanh"}, "tanh has no flat interval"),
        ({"problem__input": {"law": "normal"}}, "no formula"),
        ({"network__biases": {"law": "zero"}}, "no neuron is ever inactive"),
    ],
)
def test_post_stratification_needs_a_known_law(tmp_path, changes, reason):
    results = made_up(study(replicates=32, **changes), tmp_path)
    with pytest.raises(InputError, match=reason) as caught:
        analyse(results, 0.05, post_stratify=True)
    assert "post_stratify = true is not accepted for small" in str(caught.value)


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_of_disjoint_runs_merge_to_that_of_all(made, name):
    (experiment,) = made[0].experiments
    known = optima(made[0], risk_rules(made[0].experiments))[experiment.hypothesis_class]
    rule = risk_rules([experiment])[experiment.evaluation_key]
    subject = Subject(
        experiment, known.bracket, rule, np.array(EPS), 0.95, "sequence",
        levels=known.levels, design=strata_of(experiment),
    )  # fmt: skip
    whole, parts = QUESTIONS[name](subject), [QUESTIONS[name](subject) for _ in range(2)]
    for place, (stratum, records) in enumerate(made[0].parts(experiment)):
        for question in (whole, parts[place % 2]):
            question.add(records, stratum.number)
    whole.add_families(families := clones(5, 4, 1, np.ones(5, bool)), 1, 4)
    parts[0].add_families(families, 1, 4)
    parts[1].merge(parts[0])
    assert parts[1].finish() == whole.finish()
    if name == "band":
        assert whole.finish().method.endswith(", from the runs that were not split")


def test_looks_at_plain_runs_widen_all_that_is_said(tmp_path):
    """The intervals of a sequence hold at every look: each contains that of a fixed number."""
    results = made_up(study(grid=TWO, paired=["optimizer"]), tmp_path)
    fixed, looked = (
        analyse(results, EPS, interval=name) for name in ("clopper-pearson", "sequence")
    )
    for a, b in zip(fixed.experiments, looked.experiments, strict=True):
        for one, other in zip(a.exceedance.estimates[0], b.exceedance.estimates[0], strict=True):
            assert (other.method, other.rigorous) == ("sequence", True)
            assert other.lower <= one.lower <= one.upper <= other.upper
            assert other.estimate == one.estimate
        assert np.all(np.array(b.band.lower) <= np.array(a.band.lower))
        assert np.all(np.array(b.band.upper) >= np.array(a.band.upper))
        assert np.all(np.array(b.quantiles.lower) <= np.array(a.quantiles.lower))
        assert b.quantiles.value == a.quantiles.value
        assert np.all(np.array(b.liminf.value) <= np.array(a.liminf.value))
    for one, other in zip(fixed.pairs.comparisons, looked.pairs.comparisons, strict=True):
        assert other.result.lower <= one.result.lower <= one.result.upper <= other.result.upper
        assert (one.test, other.test) == ("McNemar's test", "by the interval of the difference")
        assert other.p_holm >= one.p_holm
    assert looked.spreads[0].upper >= fixed.spreads[0].upper


def test_runs_that_have_strata_get_no_others(made):
    with pytest.raises(InputError, match="not accepted with the design 'strata'"):
        analyse(made[0], 0.05, post_stratify=True)


def test_a_study_without_post_stratification_does_not_mention_it():
    assert "post_stratify" not in study().spec.model_dump()
    assert study(post_stratify=True).spec.model_dump()["post_stratify"] is True


def test_numbers_of_neurons_that_fail_by_proof_are_a_stratum_of_their_own(tmp_path):
    """Though few runs are expected in it: at eps = 0.08 only three of three neurons do."""
    results = made_up(study(replicates=400), tmp_path)
    e = analyse(results, [0.05, 0.08], post_stratify=True).experiments[0]
    assert e.design is not None
    assert [(s.least, s.most) for s in e.design.strata] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert [s.decided for s in e.design.strata[2:]] == [[True, False], [True, True]]
    assert e.exceedance.estimates[1][-1].provable == pytest.approx(1 / 64, rel=1e-5)


def test_what_is_proved_is_as_strong_as_what_it_rests_on(made):
    """Stated levels decide a stratum at eps = 0.05; at 0.08 the best constant alone does."""
    (experiment,) = made[0].experiments
    known = optima(made[0], risk_rules(made[0].experiments))[experiment.hypothesis_class]
    rule = risk_rules([experiment])[experiment.evaluation_key]
    said = tuple(
        Bracket.of(Parabola().lower(m), Parabola().lower(m), "said", stated("the study says so"))
        for m in range(4)
    )
    subject = Subject(
        experiment, known.bracket, rule, np.array([0.05, 0.08]), 0.95, "clopper-pearson",
        levels=said, design=strata_of(experiment),
    )  # fmt: skip
    question = Exceedance(subject)
    for stratum, records in made[0].parts(experiment):
        question.add(records, stratum.number)
    answer = question.finish()
    assert [row[-1].evidence for row in answer.estimates] == ["stated", "proved"]
    assert [row[-1].rigorous for row in answer.estimates] == [False, True]
    assert [answer.evidence_of(g).kind for g in range(2)] == ["stated", "proved"]
