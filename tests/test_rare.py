"""The benchmark of rare events: its cases are what they say, and the targets are reached."""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import pytest

from benchmarks import rare
from benchmarks.rare_cases import (
    NETWORKS,
    WALKS,
    Dying,
    Network,
    plain,
    splitting,
    strata,
    walk_splitting,
)
from benchmarks.rare_peers import Clock
from jaxsim.design.resampling import run_family
from jaxsim.design.twist import make_twist

A1, A2, A3 = NETWORKS[:3]
SMALL = Network("small", 3, 0.3, 0.2, 1)


def test_probabilities_are_those_of_the_processes():
    assert [c.exact for c in (A1, A2, A3)] == pytest.approx([1e-10, 1e-10, 1e-12], rel=0.02)
    assert WALKS["linear, 20 dimensions, 1e-6"].exact == pytest.approx(1e-6, rel=1e-4)
    assert WALKS["linear, 20 dimensions, 1e-12"].exact == pytest.approx(1e-12, rel=1e-4)
    flat = make_twist(np.zeros((25, 4)), 0)
    for k in range(4):
        family = run_family(Dying(3 - k, SMALL.q, SMALL.left), flat, (1, k), 20_000)
        share, exact = family.fails[:, -1].mean(), SMALL.frequencies[k]
        assert abs(share - exact) <= 5 * np.sqrt(exact * (1 - exact) / 20_000)
    assert SMALL.decided.tolist() == [False, False, True, True]


@pytest.mark.parametrize("design", [plain, strata, splitting])
def test_designs_estimate_a_probability_that_all_can_see(design):
    row = design(SMALL, 4000, 4 if design is splitting else 60, 1)
    error = np.std(row.estimates) / np.sqrt(len(row.estimates)) + 1e-3
    assert abs(np.mean(row.estimates) - SMALL.exact) < 5 * error
    assert row.cost <= 4000
    assert min(row.covered.values()) > 0.7


def test_an_onion_is_not_resolved_and_two_branches_are():
    onion = walk_splitting("onion: the score leads away", 8000, 3, 1)
    assert onion.note == "0% resolved"
    assert min(onion.covered.values()) == 1  # nothing is claimed
    assert walk_splitting("two branches", 12_000, 3, 1).note == "100% resolved"


def test_the_table_has_a_line_for_each_row_and_names_missing_peers(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(rare, "NETWORKS", (SMALL,))
    monkeypatch.setitem(sys.modules, "benchmarks.machine", argparse.Namespace(machine=dict))
    path = tmp_path / "rare.json"
    words = "--only small --budget 4000 --repetitions 40 --families 0 --peer-repetitions 1"
    rare.main([*words.split(), "--peers", sys.executable, "--json", str(path)])
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(path.read_text())["rows"]
    assert [row["method"] for row in figures][:2] == ["plain", "strata"]
    assert len(lines) == 1 + len(figures) == 5
    for row in figures[2:]:
        assert row["repetitions"] or "openturns is not installed" in row["note"]


def test_a_peer_begins_no_repetition_after_its_time():
    allowed = Clock(1000, 0.0)
    assert list(allowed) == []
    assert allowed.note == "the time was over after 0 of them"
    allowed = Clock(3, 1000.0)
    assert list(allowed) == [1, 2, 3]
    assert allowed.note == ""


@pytest.mark.slow
@pytest.mark.parametrize("case", NETWORKS, ids=lambda case: case.name)
def test_strata_are_unbiased_and_cover_in_ten_thousand_repetitions(case):
    row = strata(case, 130_000, 10_000, 2)
    assert row.covered["clopper-pearson"] >= 0.95
    assert row.covered["mover"] >= 0.945
    found = rare.summary(row)
    if case is not A1:  # deaths in training: strata alone do not see them
        assert abs(found["bias"]) < max(5 * found["bias_error"], 0.02)
        assert found["variation"] < 0.3


@pytest.mark.slow
def test_ten_percent_at_1e_10_and_at_1e_12_with_1_3e5_trainings():
    rows = (
        (A1, splitting(A1, 130_000, 40, 3)),
        (A2, splitting(A2, 130_000, 10, 3)),
        (A3, strata(A3, 130_000, 2000, 3)),
    )
    for case, row in rows:
        found = rare.summary(row)
        assert found["cost"] <= 1.3e5
        assert found["variation"] <= 0.1
        assert found["gain"] >= 1e6
        assert abs(found["bias"]) <= max(0.03, 3 * found["bias_error"])
        assert min(row.covered.values()) >= 0.9, case.name
