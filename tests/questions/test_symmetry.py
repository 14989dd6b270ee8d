"""The second mechanism: a convex risk, nothing inactive, and no convergence all the same."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxsim import analyse, simulate
from jaxsim.launch.directory import reopen
from jaxsim.launch.polishing import polish_runs
from jaxsim.optimum.strategy import Budget
from jaxsim.report.levels import level_sentences
from jaxsim.report.table import notes
from jaxsim.study.catalogue import ready_table
from jaxsim.study.study import Study

RUNS = 192


def some_of(labels: list[str], **changes) -> Study:
    """Return the ready study with some of its experiments."""
    tables: dict[str, Any] = ready_table("symmetry") | {"execution": {"width": 64}} | changes
    tables["experiment"] = [e for e in tables["experiment"] if e["label"] in labels]
    return Study.from_dict(tables)


def numpy_excess(label: str, runs: int, seed: int) -> np.ndarray:
    """Return (b - p)^2 of runs that NumPy trains for 12,000 steps."""
    rng = np.random.default_rng(seed)
    p = 0.5 if "symmetric" in label else 0.1
    b, m, v = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    for n in range(1, 12_001):
        g = 2 * (b - (rng.random(runs) < p))
        if label.startswith("sgd"):
            b = b - 1e-3 * g
            continue
        v = 0.9 * v + 0.1 * g**2
        if label.startswith("rmsprop"):
            b = b - 1e-3 * g / np.sqrt(v + 1e-8)
        else:
            m = 0.9 * m + 0.1 * g
            b = b - 1e-3 * m / (1 - 0.9**n) / (np.sqrt(v / (1 - 0.9**n)) + 1e-8)
    return np.asarray((b - p) ** 2)


def test_a_method_drifts_to_another_point_and_the_answer_says_why(tmp_path):
    """Ten times the learning rate, so that a tenth of the steps shows it."""
    small = some_of(["rmsprop, decay 0.9"], replicates=192, steps=1200, checkpoints=4)
    small = small.replaced(experiment=[], optimizer={"name": "rmsprop", "learning_rate": 0.01})
    results = simulate(small, tmp_path / "out")
    assert polish_runs(reopen(tmp_path / "out"), RUNS, Budget(600.0))
    answer = analyse(results, [1e-3])
    (e,) = answer.experiments
    assert e.optimum.lower.value == pytest.approx(0.09, rel=1e-12)
    assert e.optimum.width < 1e-12
    assert e.optimum.lower.evidence.proved
    assert e.exceedance.estimates[0][-1].undecided == 0
    assert e.drift is not None
    assert e.drift.convex
    assert e.drift.names == ["output.weights", "output.biases"]
    assert e.drift.optimum == pytest.approx([0.0, 0.1], abs=1e-9)
    assert e.drift.upper[1] < 0.09, "the mean is below the minimizer"
    assert e.levels is not None
    assert [one.name for one in e.levels.levels] == ["optimum"]
    said = level_sentences(answer)
    (where,) = (s for s in said if "mean over" in s)
    assert "output.biases is 0.0" in where
    assert where.endswith("as far as 95 % intervals tell, the mean is not at the minimizer.")
    assert any("convex function of the parameters and no neuron is inactive" in s for s in said)
    assert not any(s.startswith("constant: ") for s in notes(answer)), "nothing could be inactive"
    assert any(s.startswith("inf L = 0.09 (lower end: ") for s in notes(answer))
    second = e.model_copy(update={"label": "deep", "drift": None})
    many = e.drift.model_copy(
        update={
            "names": [f"p{i}" for i in range(7)],
            "mean": [0.1] * 6 + [0.3],
            "lower": [0.05] * 6 + [0.2],
            "upper": [0.15] * 6 + [0.4],
            "deviation": [0.1] * 7,
            "optimum": [0.1] * 7,
        }
    )
    wide = answer.model_copy(update={"experiments": [e.model_copy(update={"drift": many})]})
    (where,) = (s for s in level_sentences(wide) if "mean over" in s)
    assert ": p6 is 0.30" in where, "what is apart comes first"
    assert "p2 is" in where
    assert "3 parameters more" in where
    assert "the mean is not at" in where
    near = e.drift.model_copy(update={"mean": [0.0, 0.1], "upper": [0.0, 0.11]})
    alike = [
        e.model_copy(update={"label": label, "drift": drift})
        for label, drift in (("a, 1", e.drift), ("b", near), ("c", e.drift))
    ]
    (where,) = (
        s
        for s in level_sentences(answer.model_copy(update={"experiments": alike}))
        if "minimizer has" in s
    )
    assert where.startswith(f"The mean of output.biases over {RUNS} runs after 1,200 steps, where ")
    assert "not there a, 1: 0.0" in where
    assert "; c: 0.0" in where.split("; and perhaps there b: 0.1")[0]
    both = answer.model_copy(update={"experiments": [e, second]})
    (convex,) = (s for s in level_sentences(both) if "convex" in s)
    assert convex.startswith(f"The risk of {e.label} is a convex function")


@pytest.mark.slow
def test_the_ready_study_agrees_with_numpy(tmp_path):
    """P(excess > 1e-3): .70 for RMSprop, .35 for Adam, .002 for SGD; .05 for symmetric data."""
    expected = {
        "sgd": (0.0, 0.03),
        "rmsprop, decay 0.9": (0.55, 0.85),
        "adam, b2 0.9": (0.2, 0.5),
        "adam, b2 0.9, symmetric": (0.0, 0.15),
    }
    chosen = some_of(list(expected), replicates=RUNS)
    answer = analyse(simulate(chosen, tmp_path / "out"), [1e-3])
    for e in answer.experiments:
        one = e.exceedance.estimates[0][-1]
        low, high = expected[e.label]
        assert low <= one.estimate <= high
        there = int((numpy_excess(e.label, RUNS, 1) > 1e-3).sum())
        table = [[one.failures, RUNS - one.failures], [there, RUNS - there]]
        p = float(np.asarray(stats.fisher_exact(table))[1])
        assert p > 1e-6
