"""Gradients of true risks that are sums over points: the native program against NumPy and vmap."""

import numpy as np
import pytest

from jaxsim import InputError
from jaxsim.engines.native import library, population
from jaxsim.engines.registry import unsupported_reason
from jaxsim.launch.simulate import simulate
from tests.engines.native.test_gaussian import advanced
from tests.engines.test_lanes import agree
from tests.studies import study

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")

POPULATION = {"training": {"batch_size": "population"}}
POINTS = np.array([-1.0, 0.5, 2.0])
WEIGHTS = np.array([0.5, 0.3, 0.2])
THREE = {"law": "points", "points": POINTS.tolist(), "weights": WEIGHTS.tolist()}


def numpy_descent(theta, rate, steps):
    """Return the parameters of 1-2-1 ReLU networks [member, 7] after descent on sum_i p_i r_i^2."""
    w, b, u, c = (
        theta[:, part].copy() for part in (slice(2), slice(2, 4), slice(4, 6), slice(6, 7))
    )
    for _ in range(steps):
        z = POINTS[:, None, None] * w + b
        h = np.maximum(z, 0)
        slope = 2 * WEIGHTS[:, None] * ((h * u).sum(2) + c[:, 0] - np.abs(POINTS)[:, None])
        dz = slope[..., None] * u * (z > 0)
        w, b, u, c = (
            w - rate * (dz * POINTS[:, None, None]).sum(0),
            b - rate * dz.sum(0),
            u - rate * (slope[..., None] * h).sum(0),
            c - rate * slope.sum(0)[:, None],
        )
    return np.concatenate([w, b, u, c], 1)


def test_points_with_weights_are_trained_as_by_numpy():
    (experiment,) = study(
        precision="float64",
        problem={"input": THREE, "target": "abs(x)"},
        network__hidden=[2],
        optimizer={"name": "sgd", "learning_rate": 0.05},
        **POPULATION,
    ).experiments
    start = advanced(experiment, None, (0,), 0.05)
    end = advanced(experiment, start, (0, 5, 80), 0.05)
    np.testing.assert_allclose(end, numpy_descent(start, 0.05, 80), rtol=0, atol=1e-12)
    assert np.abs(end - start).max() > 0.1


CASES = {
    "two outputs": {
        "problem": {"input": THREE, "target": ["abs(x)", "x"]},
        "network": {"hidden": [5, 4]},
        "optimizer": {"name": "adam", "learning_rate": 0.02},
    },
    "classes": {
        "problem": {"data": "iris", "loss": "softmax_cross_entropy"},
        "network": {"hidden": [4]},
        "optimizer": {"name": "momentum", "learning_rate": 0.01},
    },
    "exclusive or": {
        "problem": {
            "input": {"law": "points", "points": [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]},
            "target": "where(x1 == x2, 0, 1)",
            "loss": "brier",
        },
        "network": {"hidden": [2], "activation": "sigmoid"},
        "optimizer": {"name": "sgd", "learning_rate": 1.0},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_trains_as_the_reference_does(name):
    agree("native", steps=40, certified=True, **POPULATION, **CASES[name])


def test_what_has_no_program_is_refused_with_the_reason(tmp_path, monkeypatch):
    line = study(execution={"engine": "native", "width": 16}, **POPULATION)
    with pytest.raises(InputError, match="no mini-batch, and this true risk has no closed form"):
        simulate(line, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (noisy,) = study(
        problem={"input": THREE, "target": "x", "noise": {"law": "normal", "std": 1.0}},
        **POPULATION,
    ).experiments
    assert "averages over noise" in unsupported_reason("native", noisy)
    monkeypatch.setattr(population, "MOST_POINTS", 2)
    (many,) = study(problem={"input": THREE, "target": "x"}, **POPULATION).experiments
    assert unsupported_reason("native", many) == "3 points, more than 2"
