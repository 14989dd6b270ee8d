"""Two results side by side, against counts and tests made with NumPy and SciPy."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

import jaxsim
from jaxsim.errors import InputError
from jaxsim.results.results import Results
from tests.studies import TWO, made_up, study

EPS = (0.05, 1.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return made_up(study(grid=TWO), tmp_path_factory.mktemp("base"))


def fails(results: Results, label: str, eps: float) -> dict[int, bool]:
    """Return whether each run exceeds the best risk of all runs by more than eps."""
    frame = results.to_pandas()
    rows = frame[(frame.experiment == label) & (frame.n == frame.n.max())]
    limit = jaxsim.exceedance(results, eps)[0]
    bad = rows.risk > limit.optimum_upper + eps
    return dict(zip(rows.replicate, bad, strict=True))


def test_runs_with_common_random_numbers_are_pairs(base, tmp_path):
    other = made_up(
        study(grid=TWO, steps=50, checkpoints=[1, 7], replicates=48, execution__shard=16), tmp_path
    )
    rows = jaxsim.compare(base, other, EPS)
    assert [(r.experiment, r.event.threshold) for r in rows] == [
        (label, e) for label in ("sgd", "adam") for e in EPS
    ]
    for row in rows:
        a, b = (fails(r, row.experiment, row.event.threshold) for r in (base, other))
        common = sorted(a.keys() & b.keys())
        only = sum(a[r] > b[r] for r in common), sum(a[r] < b[r] for r in common)
        assert row.runs == (48, 48)
        assert row.shared == "initializations and mini-batches"
        decided = row.undecided == (0, 0)
        assert not decided or row.difference == (only[0] - only[1]) / 48
        if decided and sum(only):
            assert row.p == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
        assert row.lower <= row.difference <= row.upper
    assert any(row.difference for row in rows)
    assert "after 60 and after 50 steps" in repr(rows)


def test_other_seeds_are_independent(base, tmp_path):
    other = made_up(study(grid=TWO, seed=4, execution__shard=16), tmp_path)
    rows = jaxsim.compare(base, other, EPS)
    for row in rows:
        assert row.shared == ""
        assert row.test == "Fisher's test"
        (k, m), (n, o) = row.failures, row.runs
        if row.undecided == (0, 0):
            test: Any = stats.fisher_exact([[k, n - k], [m, o - m]])
            assert row.p == pytest.approx(test.pvalue)
            a, b = (stats.binomtest(*kn).proportion_ci(0.95**0.5) for kn in ((k, n), (m, o)))
            assert row.lower == pytest.approx(a.low - b.high)
            assert row.upper == pytest.approx(a.high - b.low)


def test_p_values_are_adjusted_for_all_rows(base, tmp_path):
    other = made_up(study(grid=TWO, seed=4, execution__shard=16), tmp_path)
    rows = list(jaxsim.compare(base, other, EPS))
    least = min(row.p for row in rows)
    assert min(row.p_holm for row in rows) == pytest.approx(min(1.0, len(rows) * least))
    assert all(row.differ == (row.p_holm <= 0.05) for row in rows)


def test_results_do_not_differ_from_themselves(base):
    rows = jaxsim.compare(base, base, 0.05)
    assert all(row.difference == 0 and row.shared == "the same runs" for row in rows)
    assert not any(row.differ for row in rows)


def test_what_only_one_has_is_said(base, tmp_path):
    other = made_up(study(grid={"optimizer": TWO["optimizer"][:1]}), tmp_path / "a")
    rows = jaxsim.compare(base, other, 0.05)
    assert rows.only_first == ("adam",)
    assert "only in the first results: adam" in rows._repr_html_()
    alone = made_up(study(), tmp_path / "b")
    with pytest.raises(InputError, match=r"no experiment in common.*'sgd' and not 'small'"):
        jaxsim.compare(base, alone, 0.05)


def test_what_is_no_result_is_refused(base):
    with pytest.raises(InputError, match="results = dict is not accepted"):
        jaxsim.compare(base, {}, 0.05)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InputError, match="epsilon = -1"):
        jaxsim.compare(base, base, -1)
    assert np.isfinite([row.p for row in jaxsim.compare(base, base, 0.05)]).all()
