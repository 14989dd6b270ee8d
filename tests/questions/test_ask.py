"""Answers against plain NumPy over all replicates at once."""

import jax
import numpy as np
import pytest
from scipy import stats

from jaxsim import analyse, exceedance, simulate
from jaxsim.engines.block import start
from jaxsim.engines.registry import ExecutionConfig, make_engine
from jaxsim.errors import InputError
from jaxsim.optimum.parabola import Parabola
from jaxsim.questions.answer import Answer
from jaxsim.questions.optimum import optima, risk_rules
from jaxsim.questions.question import Subject
from jaxsim.questions.registry import QUESTIONS
from jaxsim.report.tables import comparisons_frame, estimates_frame, quantiles_frame
from jaxsim.training.keys import root_key
from tests.studies import TWO, made_up, study

EPS = [0.001, 0.05]
OPTIMUM = Parabola().bracket(3)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    paired = study(grid=TWO, paired=["optimizer"], replicates=320)
    return simulate(paired, tmp_path_factory.mktemp("analysed"))


@pytest.fixture(scope="module")
def frame(results):
    return results.to_pandas()


@pytest.fixture(scope="module")
def answer(results):
    return analyse(results, EPS)


def test_estimates_are_those_of_plain_counts(frame, answer):
    best = frame.risk.min()
    upper = min(OPTIMUM.upper.value, best + 1e-15)
    for e in answer.experiments:
        rows = frame[frame.experiment == e.label]
        assert abs(e.optimum.upper.value - upper) < 1e-14
        assert e.optimum.lower.value == OPTIMUM.lower.value
        for g, eps in enumerate(EPS):
            for t, n in enumerate(e.checkpoints):
                risk = rows[rows.n == n].risk
                one = e.exceedance.estimates[g][t]
                failures = int((risk > upper + eps).sum())
                passes = int((risk <= OPTIMUM.lower.value + eps).sum())
                assert (one.runs, one.failures) == (320, failures)
                assert one.undecided == 320 - failures - passes
                low = stats.beta.ppf(0.025, failures, 321 - failures) if failures else 0.0
                assert one.lower == pytest.approx(low, rel=1e-9)


def test_runs_that_are_all_worse_than_a_constant_fail(tmp_path):
    """Of such runs the best is no better an upper end than the constant, whose risk is known."""
    faint = study(problem__target="1e-3*sin(3*x)", network__activation="tanh")
    (one,) = exceedance(made_up(faint, tmp_path), eps=0.005)
    assert one.failures == one.runs == 80
    assert one.optimum_upper == pytest.approx(1e-6 * (1 - np.sin(6) / 6) / 2, rel=1e-6)
    assert "best constant" in one.optimum_reason


def test_the_last_estimates_are_what_exceedance_returns(results, answer):
    found = exceedance(results, EPS)
    assert found == [row[-1] for one in answer.experiments for row in one.exceedance.estimates]
    assert exceedance(results, 0.05) == found[1::2], "one eps is a number"


def test_quantiles_are_order_statistics(frame, answer):
    rows = quantiles_frame(answer)
    for label in ("sgd", "adam"):
        for n in (0, 60):
            risk = np.sort(frame[(frame.experiment == label) & (frame.n == n)].risk)
            part = rows[(rows.experiment == label) & (rows.step == n)]
            for level, value, low, high in part[["level", "quantile", "lower", "upper"]].to_numpy():
                assert value == pytest.approx(risk[int(np.ceil(320 * level)) - 1], rel=2**-11)
                assert low <= value <= high


def test_comparisons_are_mcnemar_on_the_same_replicates(frame, answer):
    rows = comparisons_frame(answer)
    assert len(rows) == 2
    last = frame[frame.n == 60].pivot(index="replicate", columns="experiment", values="risk")
    upper = min(OPTIMUM.upper.value, frame.risk.min() + 1e-15)
    for row in rows.itertuples():
        fails = last > upper + row.eps
        passes = last <= OPTIMUM.lower.value + row.eps
        assert (row.first, row.second) == ("sgd", "adam")
        assert row.only_first == int((fails.sgd & passes.adam).sum())
        assert row.only_second == int((passes.sgd & fails.adam).sum())
        assert row.p_exact <= row.p_holm
        assert row.simultaneous_lower <= row.lower <= row.upper <= row.simultaneous_upper


def test_no_run_falls_below_the_optimum_and_dead_layers_cost_the_best_constant(frame):
    """Invariants of every single run, at every checkpoint."""
    assert (frame.risk >= OPTIMUM.lower.value - 1e-15).all()
    dead = frame[frame.inactive_1 == 3]
    assert len(dead) > 0
    assert (dead.risk >= 4 / 45 - 1e-14).all()
    for k in (1, 2):
        some = frame[frame.inactive_1 >= k]
        assert (some.risk >= Parabola().lower(3 - k) - 1e-14).all()


def test_the_estimated_law_of_inactive_neurons_is_the_exact_one(frame):
    """K ~ Bin(3, 1/4) at initialization; sgd's and adam's draws are the same 320."""
    first = frame[(frame.n == 0) & (frame.experiment == "sgd")].inactive_1
    counts = np.bincount(first.astype(int), minlength=4)
    expected = 320 * stats.binom.pmf(np.arange(4), 3, 0.25)
    # Chi-square with 3 degrees of freedom: a false alarm once in 1e6.
    assert ((counts - expected) ** 2 / expected).sum() < stats.chi2.isf(1e-6, 3)


def test_bounds_never_exceed_the_truth_nor_certificates_the_failures(frame, answer):
    assert answer.contradictions == []
    for e in answer.experiments:
        last = frame[(frame.experiment == e.label) & (frame.n == 60)]
        assert e.permanent.dead_layer == (last.dead_layer > 0).sum()
        for n, count in zip(e.checkpoints, e.permanent.constant, strict=True):
            one = frame[(frame.experiment == e.label) & (frame.n == n)]
            assert count == (one.inactive_1 == 3).sum() == one.constant.sum() > 0
        for k, count in enumerate(e.permanent.dead_neurons):
            assert count == (last.dead_neurons == k).sum()
        for g, row in enumerate(e.exceedance.estimates):
            # The bound is a probability: the interval's upper end may miss it once in a million.
            failures = row[-1].failures
            high = stats.beta.isf(1e-6, failures + 1, 320 - failures) if failures < 320 else 1.0
            assert 0 < e.exceedance.lower_bounds[g].value <= high
            levels = np.array([Parabola().lower(3 - k) for k in range(4)])
            certain = levels[last.dead_neurons.astype(int)] > e.optimum.upper.value + EPS[g]
            assert e.permanent.count[g] == certain.sum() <= failures


def test_every_estimate_is_in_the_table(answer):
    rows = estimates_frame(answer)
    assert len(rows) == 2 * 2 * 5
    assert rows[rows.step < 60].permanent_failures.isna().all()
    counts = rows[rows.eps == EPS[0]].constant.tolist()
    assert counts == [n for e in answer.experiments for n in e.permanent.constant]
    assert set(rows.columns) >= {"failures", "undecided", "diverged", "lower", "upper", "method"}
    assert rows["optimizer.name"].tolist() == rows.experiment.tolist()
    assert set(rows["optimizer.learning_rate"]) == {0.1, 0.02}


def test_the_answer_survives_json(answer):
    again = Answer.model_validate_json(answer.model_dump_json())
    assert again == answer
    schema = Answer.model_json_schema(mode="serialization")
    assert set(schema["properties"]) == set(Answer.model_fields)


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_of_disjoint_runs_merge_to_that_of_all(results, name):
    known = optima(results, risk_rules(results.experiments))
    experiment = results.experiments[0]
    subject = Subject(
        experiment=experiment,
        optimum=known[experiment.hypothesis_class].bracket,
        risk=risk_rules([experiment])[experiment.evaluation_key],
        eps=np.asarray(EPS),
        confidence=0.95,
        interval="clopper-pearson",
    )
    whole, parts = QUESTIONS[name](subject), [QUESTIONS[name](subject) for _ in range(2)]
    for place, records in enumerate(results.chunks(experiment)):
        whole.add(records)
        parts[place % 2].add(records)
    parts[1].merge(parts[0])
    assert parts[1].finish() == whole.finish()


def test_sampled_risks_are_labelled(tmp_path):
    square = study(
        problem={"input": {"law": "uniform", "dimension": 2}, "target": "x1*x2"}, replicates=16
    )
    (one,) = analyse(made_up(square, tmp_path / "square"), EPS).experiments
    assert one.risk.evidence.kind == "estimated"
    last = one.exceedance.estimates[0][-1]
    assert (last.rigorous, last.evidence) == (False, "estimated")
    assert not one.exceedance.lower_bounds[0].evidence.proved


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "proved"),
        ({"problem__target": "sin(3*x)"}, "estimated"),
        pytest.param({"problem__loss": "absolute"}, "estimated", marks=pytest.mark.slow),
        ({"problem": {"data": "iris", "loss": "softmax_cross_entropy"}}, "confidence"),
        ({"problem__target": "sin(3*x)", "problem__optimum": 0.0}, "stated"),
    ],
    ids=["polynomial", "sine", "absolute loss", "simulated probability", "stated optimum"],
)
def test_bounds_and_certificates_are_as_strong_as_what_they_rest_on(changes, kind, tmp_path):
    # Of a probability that is simulated, nothing but the bound is looked at.
    finish = made_up if kind == "confidence" else simulate
    (one,) = analyse(finish(study(replicates=48, **changes), tmp_path / "kind"), 1e-6).experiments
    assert one.exceedance.lower_bounds[0].value > 0
    assert one.exceedance.lower_bounds[0].evidence.kind == kind
    if one.permanent.count[0] and kind != "confidence":
        assert one.permanent.evidence[0].kind == kind


def test_runs_of_another_version_are_named(results, monkeypatch):
    monkeypatch.setattr("jaxsim.questions.ask.jaxsim_version", lambda: "9.9")
    (warning,) = analyse(results, EPS).warnings
    assert warning.startswith("640 runs were computed by jaxsim ")


def test_partial_results_are_answered_as_far_as_they_are(tmp_path):
    from jaxsim.launch.directory import bind
    from jaxsim.launch.simulate import open_results
    from jaxsim.launch.worker import work

    directory = bind(study(grid=TWO), tmp_path / "partial")
    work(directory, directory.missing()[:2], jax.local_devices()[:1])
    sgd, adam = analyse(open_results(directory), EPS).experiments
    assert (sgd.runs, sgd.planned, adam.runs) == (64, 80, 0)


@pytest.mark.parametrize("eps", [[], [-1.0], [float("nan")], "0.1", None, [[0.1]], ["a"]])
def test_bad_thresholds_are_refused(results, eps):
    with pytest.raises(InputError, match="epsilon"):
        analyse(results, eps)


def test_what_is_no_result_is_refused():
    with pytest.raises(InputError, match="results = "):
        analyse("runs/quickstart", 0.1)  # type: ignore[arg-type]


ELEVEN = [
    {"name": name, "learning_rate": 0.02}
    for name in ("sgd momentum nesterov adagrad rmsprop adam adamax nadam nadamax amsgrad".split())
] + [{"name": "adadelta", "learning_rate": 1.0}]


@pytest.mark.parametrize("methods", [ELEVEN[:6:5], pytest.param(ELEVEN, marks=pytest.mark.slow)],
                         ids=["two", "all"])  # fmt: skip
def test_no_optimizer_beats_the_closed_form_or_revives_a_dead_layer(tmp_path, methods):
    """The parabola with the closed-form optimum 4 / 45 / 625."""
    whole = study(
        grid={"optimizer": methods}, network__hidden=[4], replicates=192, steps=600, seed=5
    )
    frame = simulate(whole, tmp_path / "eleven").to_pandas()
    assert (frame.risk >= 4 / 45 / 625 * (1 - 1e-12)).all()
    assert frame.experiment.nunique() == len(methods)
    assert (frame[frame.inactive_1 == 4].risk >= 4 / 45 - 1e-14).all()
    for k in (1, 2, 3):
        assert (frame[frame.inactive_1 >= k].risk >= Parabola().lower(4 - k) - 1e-14).all()
    # Inactive neurons never come back: their number does not decrease from the start on.
    first = frame[frame.n == 0].set_index(["experiment", "replicate"]).inactive_1
    last = frame[frame.n == 600].set_index(["experiment", "replicate"]).inactive_1
    assert (last >= first).all()


def test_the_limit_is_bounded_by_the_certified_runs_or_by_what_holds_for_every_n(frame, answer):
    """One-sided Clopper-Pearson of the runs whose remaining neurons cannot reach inf L + eps."""
    better = 0
    for e in answer.experiments:
        last = frame[(frame.experiment == e.label) & (frame.n == 60)]
        for g, eps in enumerate(EPS):
            threshold = e.optimum.upper.value + eps
            left = np.array([Parabola().lower(3 - k) > threshold for k in range(4)])
            count = int(left[last.dead_neurons.to_numpy()].sum())
            assert e.liminf.certified[g] == e.permanent.count[g] == count > 0
            from_runs = stats.beta.ppf(0.05, count, 321 - count)
            every_n = e.exceedance.lower_bounds[g].value
            assert e.liminf.value[g] == pytest.approx(max(from_runs, every_n), rel=1e-9)
            together = stats.beta.ppf(0.05 / 4, count, 321 - count)
            assert e.liminf.simultaneous[g] == pytest.approx(max(together, every_n), rel=1e-9)
            sampled = from_runs > every_n
            assert e.liminf.evidence[g].kind == ("confidence" if sampled else "proved")
            assert e.liminf.value[g] <= e.exceedance.estimates[g][-1].upper
            better += sampled
    assert better > 0
    rows = estimates_frame(answer)
    assert (rows[rows.step == 60].liminf > 0).all()
    assert rows[rows.step < 60].liminf.isna().all()
    assert set(rows[rows.step == 60].liminf_evidence) <= {"proved", "confidence"}


def test_a_longer_run_keeps_its_certificate(results):
    """The bound on the limit does not decrease with the steps, run by run."""
    experiment = results.experiments[1]
    engine = make_engine(experiment, ExecutionConfig("vmap", 16, 1))
    rate = np.float32(0.02)
    state, shared = start(engine, experiment, 0, 16), engine.shared(root_key(experiment.seed))
    before = np.zeros(16, int)
    for first, stop in ((0, 7), (7, 30), (30, 60)):
        state = engine.advance(state, shared, np.int32(first), np.int32(stop), rate)
        dead = np.asarray(engine.certificate(state, rate)[1])
        assert (dead >= before).all()
        before = dead
    assert before.sum() > 0
