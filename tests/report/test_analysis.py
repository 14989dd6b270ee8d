"""The analysis of results against plain NumPy over all replicates at once."""

import jax
import numpy as np
import pytest
from scipy import stats

from jaxsim import analyse, exceedance, simulate
from jaxsim.errors import InputError
from jaxsim.optimum.parabola import Parabola
from jaxsim.report.tables import comparisons_frame, estimates_frame, quantiles_frame
from tests.studies import TWO, study

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
def analysis(results):
    return analyse(results, EPS)


def test_estimates_are_those_of_plain_counts(results, frame, analysis):
    best = frame.risk.min()
    upper = min(OPTIMUM.upper.value, best + 1e-15)
    for e in analysis.experiments:
        rows = frame[frame.experiment == e.experiment.label]
        assert abs(e.optimum.upper.value - upper) < 1e-14
        assert e.optimum.lower.value == OPTIMUM.lower.value
        for g, eps in enumerate(EPS):
            for t, n in enumerate(e.checkpoints):
                risk = rows[rows.n == n].risk
                one = e.estimates[g][t]
                failures = int((risk > upper + eps).sum())
                passes = int((risk <= OPTIMUM.lower.value + eps).sum())
                assert (one.runs, one.failures) == (320, failures)
                assert one.undecided == 320 - failures - passes
                low = stats.beta.ppf(0.025, failures, 321 - failures) if failures else 0.0
                assert one.lower == pytest.approx(low, rel=1e-9)


def test_the_last_estimates_are_what_exceedance_returns(results, analysis):
    found = exceedance(results, EPS)
    assert found == [row[-1] for one in analysis.experiments for row in one.estimates]


def test_quantiles_are_order_statistics(frame, analysis):
    rows = quantiles_frame(analysis)
    for label in ("sgd", "adam"):
        for n in (0, 60):
            risk = np.sort(frame[(frame.experiment == label) & (frame.n == n)].risk)
            part = rows[(rows.experiment == label) & (rows.step == n)]
            for level, value, low, high in part[["level", "quantile", "lower", "upper"]].to_numpy():
                assert value == pytest.approx(risk[int(np.ceil(320 * level)) - 1], rel=2**-11)
                assert low <= value <= high


def test_comparisons_are_mcnemar_on_the_same_replicates(frame, analysis):
    rows = comparisons_frame(analysis)
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


def test_experiments_with_their_own_random_numbers_are_not_compared(tmp_path):
    results = simulate(study(grid=TWO, replicates=16), tmp_path / "own")
    assert analyse(results, EPS).comparisons == ()


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
    counts = np.bincount(first, minlength=4)
    expected = 320 * stats.binom.pmf(np.arange(4), 3, 0.25)
    # Chi-square with 3 degrees of freedom: a false alarm once in 1e6.
    assert ((counts - expected) ** 2 / expected).sum() < stats.chi2.isf(1e-6, 3)


def test_floors_never_exceed_the_truth_nor_certificates_the_failures(analysis):
    for e in analysis.experiments:
        for g, row in enumerate(e.estimates):
            # The floor is a probability: the interval's upper end may miss it once in a million.
            failures = row[-1].failures
            high = stats.beta.isf(1e-6, failures + 1, 320 - failures) if failures < 320 else 1.0
            assert 0 < e.floors[g].value <= high
            assert e.permanent[g] <= row[-1].failures


def test_every_estimate_is_in_the_table(analysis):
    rows = estimates_frame(analysis)
    assert len(rows) == 2 * 2 * 5
    assert rows[rows.step < 60].certified.isna().all()
    assert set(rows.columns) >= {"failures", "undecided", "diverged", "lower", "upper", "method"}


def test_sampled_risks_are_labelled(tmp_path):
    square = study(
        problem={"input": {"law": "uniform", "dimension": 2}, "target": "x1*x2"}, replicates=16
    )
    (one,) = analyse(simulate(square, tmp_path / "square"), EPS).experiments
    assert "not a bound" in one.risk_rule
    assert not one.estimates[0][-1].rigorous
    assert not one.floors[0].proved


@pytest.mark.parametrize(
    ("changes", "proved"),
    [
        ({}, True),
        ({"problem__target": "sin(3*x)"}, False),
        ({"problem__loss": "absolute"}, False),
        ({"problem": {"data": "iris", "loss": "softmax_cross_entropy"}}, False),
    ],
    ids=["polynomial", "sine", "absolute loss", "simulated probability"],
)
def test_only_proofs_are_called_so(changes, proved, tmp_path):
    (one,) = analyse(
        simulate(study(replicates=16, **changes), tmp_path / "floor"), [1e-6]
    ).experiments
    assert one.floors[0].value > 0
    assert one.floors[0].proved is proved


def test_partial_results_are_analysed_as_far_as_they_are(tmp_path):
    from jaxsim.launch.directory import bind
    from jaxsim.launch.simulate import open_results
    from jaxsim.launch.worker import work

    directory = bind(study(grid=TWO), tmp_path / "partial")
    work(directory, directory.missing()[:2], jax.local_devices())
    sgd, adam = analyse(open_results(directory), EPS).experiments
    assert (sgd.runs, sgd.planned, adam.runs) == (64, 80, 0)


@pytest.mark.parametrize("eps", [[], [-1.0], [float("nan")]])
def test_bad_thresholds_are_refused(results, eps):
    with pytest.raises(InputError, match="epsilon"):
        analyse(results, eps)


def test_a_stated_optimum_that_a_run_contradicts_is_refused(tmp_path):
    wrong = simulate(study(problem__optimum=0.08, steps=60), tmp_path / "wrong")
    with pytest.raises(InputError, match=r"correct problem\.optimum"):
        analyse(wrong, EPS)


ELEVEN = [
    {"name": name, "learning_rate": 0.02}
    for name in ("sgd momentum nesterov adagrad rmsprop adam adamax nadam nadamax amsgrad".split())
] + [{"name": "adadelta", "learning_rate": 1.0}]


@pytest.mark.parametrize("methods", [ELEVEN[::4], pytest.param(ELEVEN, marks=pytest.mark.slow)],
                         ids=["three", "all"])  # fmt: skip
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
