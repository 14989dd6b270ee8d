"""How often shards are read, and that fewer passes give the same answer."""

import numpy as np
import pytest

from jaxsim import analyse
from jaxsim.questions import ask
from jaxsim.results.best_risks import best_risk
from jaxsim.results.store import Store
from tests.studies import made_up, study, with_records

EPS = [0.001, 0.05]
SHARDS = {"network__hidden": [4], "replicates": 64, "execution__width": 16, "execution__shard": 16}


@pytest.fixture
def reads(monkeypatch):
    """Names of the shards that are read, by how."""
    read = {"read_with_facts": [], "read_risks": []}

    def noted(name, original):
        def method(self, shard):
            read[name].append(shard.name)
            return original(self, shard)

        return method

    for name in read:
        monkeypatch.setattr(Store, name, noted(name, getattr(Store, name)))
    return read


def test_shards_are_read_once_where_the_optimum_is_exact(tmp_path, reads):
    results = made_up(study(**SHARDS), tmp_path)
    names = [s.name for s in results.finished(results.experiments[0])]
    assert len(names) == 4
    analyse(results, EPS)
    assert reads == {"read_with_facts": names, "read_risks": []}


def test_risks_are_read_once_before_where_it_is_not(tmp_path, reads):
    one = study(**SHARDS, problem__target="abs(x) + x**3")
    results = made_up(one, tmp_path)
    names = [s.name for s in results.finished(results.experiments[0])]
    first, second = analyse(results, EPS), analyse(results, EPS)
    assert first == second
    assert sorted(reads["read_risks"]) == names
    assert sorted(reads["read_with_facts"]) == sorted(names * 2)
    assert "best risk found" in first.experiments[0].optimum.reason


def test_a_run_below_an_exact_optimum_is_answered_as_by_two_passes(tmp_path, monkeypatch):
    results = made_up(study(**SHARDS), tmp_path)

    def impossible(records, shard):
        if shard.first == 32:
            risk = records.risk.copy()
            risk[5, 1] = 1e-9
            return records._replace(risk=risk)
        return records

    with_records(monkeypatch, impossible)
    answer = analyse(results, EPS)
    monkeypatch.setattr(ask, "exact_classes", lambda known: set())
    assert answer == analyse(made_up(study(**SHARDS), tmp_path), EPS)
    assert any("both cannot be" in line for line in answer.contradictions)


@pytest.mark.parametrize("margin", [1.0, 3.0])
def test_the_best_risk_is_the_least_bound_that_is_finite(margin):
    rng = np.random.default_rng(0)
    risk, error = rng.random((2, 50, 3))
    risk[::4], error[1::4] = np.nan, np.inf
    bounds = {
        r + margin * e: (r, e)
        for r, e in zip(risk.ravel().tolist(), error.ravel().tolist(), strict=True)
        if np.isfinite(r + margin * e)
    }
    least = min(bounds)
    assert best_risk(risk, error, margin) == (least, *bounds[least])
    assert best_risk(np.full(3, np.nan), np.zeros(3), margin) is None
    assert best_risk(np.zeros(0), np.zeros(0), margin) is None
