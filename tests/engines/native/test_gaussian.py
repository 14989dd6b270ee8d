"""Gradient descent on closed Gaussian risks: the native program against mpmath, NumPy and vmap."""

from itertools import pairwise

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxsim.engines.lanes import _in_groups
from jaxsim.engines.native import library
from jaxsim.engines.registry import ExecutionConfig, make_engine, unsupported_reason
from jaxsim.launch.measure import engines_to_measure
from jaxsim.launch.simulate import simulate
from jaxsim.training import keys
from tests.engines.test_lanes import agree, trained
from tests.studies import all_bits, study

needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")
NATIVE = ExecutionConfig("native", 16, 8)
POPULATION = {"training": {"batch_size": "population"}}


def orthogonal(k, n, **changes):
    """Return the experiment of Safran and Shamir: n students of k orthogonal teachers."""
    base = {
        "problem": {
            "input": {"law": "normal", "dimension": k},
            "target": " + ".join(f"relu(x{i + 1})" for i in range(k)),
        },
        "network": {
            "hidden": [n],
            "weights": [{"law": "normal", "std": k**-0.5}, {"law": "constant", "value": 1.0}],
            "biases": False,
            "freeze": ["output.weights"],
        },
        "optimizer": {"name": "sgd", "learning_rate": 1.0},
        "precision": "float64",
        **POPULATION,
    }
    (experiment,) = study(**(base | changes)).experiments
    return experiment


def advanced(experiment, theta, steps, rate, config=NATIVE):
    """Return theta [16, P] after some steps from a given theta."""
    engine = make_engine(experiment, config)
    rate = jnp.asarray(rate, experiment.dtype)
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    shared = engine.shared(keys.root_key(experiment.seed))
    state = engine.init(key, jnp.arange(16, dtype=jnp.uint32), rate)
    if theta is not None:
        theta = jnp.asarray(theta, experiment.dtype)
        if config.engine == "native":
            theta = _in_groups(theta, config.lanes)
        state = state._replace(theta=theta)
    for first, stop in pairwise(steps):
        state = engine.advance(state, shared, np.int32(first), np.int32(stop), rate)
    return np.asarray(engine.theta(state))


def exact_gradient(w, v):
    """Return dL/dw of E[(sum_i (w_i.X)+ - sum_j (v_j.X)+)^2] [d, n] in mpmath."""
    with mpmath.workdps(40):
        w, v = ([[mpmath.mpf(float(a)) for a in column] for column in m.T] for m in (w, v))
        gradient = np.zeros((len(w[0]), len(w)))
        for i, one in enumerate(w):
            norm = mpmath.sqrt(mpmath.fsum(a * a for a in one))
            if not norm:
                continue
            total = list(one)  # 2 times the half of |w|^2 in E[(w.X)+^2]
            others = [(1, u) for l, u in enumerate(w) if l != i] + [(-1, u) for u in v]  # noqa: E741
            for sign, other in others:
                size = mpmath.sqrt(mpmath.fsum(a * a for a in other))
                if not size:
                    continue
                cosine = mpmath.fsum(a * b for a, b in zip(one, other, strict=True)) / norm / size
                t = mpmath.acos(max(min(cosine, 1), -1))
                for d in range(len(one)):
                    along = size * mpmath.sin(t) * one[d] / norm + (mpmath.pi - t) * other[d]
                    total[d] += sign * along / mpmath.pi
            gradient[:, i] = [float(a) for a in total]
        return gradient


def special_weights(rng):
    """Return weights [16, 3, 4] with angles 0 and pi, tiny angles, duplicates and zeros."""
    w = rng.normal(size=(16, 3, 4))
    w[1, :, 1] = w[1, :, 0]
    w[2, :, 1] = -w[2, :, 0]
    w[3, :, 2] = 1e-6 * w[3, :, 0]
    w[4, :, 3] = [1, 0, 0]
    w[5, :, 3] = [-2, 0, 0]
    w[6, :, 0] = 0
    w[7, :, :] = 0
    w[8, :, :3] = np.eye(3)
    w[9, :, :3] = np.eye(3) + 1e-9 * rng.normal(size=(3, 3))
    w[10, :, 1] = w[10, :, 0] * (1 + 1e-15) + 1e-12
    w[11, :, 0] = -0.0
    w[12] *= 1e-120
    w[13] *= 1e70
    return w


@needs_compiler
@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_one_step_is_the_exact_gradient_at_special_angles_too(precision):
    w = special_weights(np.random.default_rng(0))
    config = ExecutionConfig("native", 16, 8 if precision == "float64" else 16)
    if precision == "float32":
        w[12:14] = w[:2]
    w = w.astype(precision)
    theta = np.concatenate([w.reshape(16, -1), np.ones((16, 4))], 1)
    experiment = orthogonal(3, 4, precision=precision)
    sizes = np.abs(w).max((1, 2)) + 1
    unit = np.finfo(precision).eps
    moved = advanced(experiment, theta, (0, 1), 1.0, config)[:, :12].reshape(16, 3, 4)
    for member in range(16):
        gradient = exact_gradient(w[member], np.eye(3))
        apart = np.abs(w[member].astype(float) - gradient - moved[member])
        assert apart.max() <= 40 * unit * sizes[member], member
    assert np.array_equal(moved[7].view(f"u{w.itemsize}"), w[7].view(f"u{w.itemsize}"))


def numpy_descent(w, k, rate, steps):
    """Return the weights [d, n] after steps of gradient descent, in plain NumPy."""
    v = np.eye(k)
    for _ in range(steps):
        all_of_them = np.concatenate([w, v], 1)
        signs = np.concatenate([np.ones(w.shape[1]), -np.ones(k)])
        norms = np.sqrt((all_of_them**2).sum(0))
        unit = all_of_them / norms
        t = np.arccos(np.clip(unit.T @ unit, -1, 1))
        np.fill_diagonal(t, 0)
        along = np.sin(t) * (signs * norms)
        coefficients = (np.pi - t) * signs
        n = w.shape[1]
        gradient = (all_of_them @ coefficients.T)[:, :n] + unit[:, :n] * along.sum(1)[:n]
        w = w - rate * gradient / np.pi
    return w


@needs_compiler
def test_a_trajectory_is_that_of_numpy():
    experiment = orthogonal(3, 4)
    start = advanced(experiment, None, (0,), 0.1)
    end = advanced(experiment, start, (0, 7, 60), 0.1)
    for member in range(0, 16, 5):
        wanted = numpy_descent(start[member, :12].reshape(3, 4), 3, 0.1, 60)
        np.testing.assert_allclose(end[member, :12].reshape(3, 4), wanted, rtol=0, atol=1e-11)


GAUSSIAN = {"law": "normal", "dimension": 3}
TEACHER = {"teacher": {"hidden": [3]}, "seed": 2}
CASES = {
    "biases": {"problem": {"input": GAUSSIAN, "target": TEACHER}, "network": {"hidden": [4]}},
    "everything": {
        "problem": {
            "input": {"law": "normal", "mean": [0.5, 0.0, -1.0], "std": [1.0, 0.5, 2.0]},
            "target": ["abs(x1 - x2)", "2*relu(x3 + 1) + 3"],
            "noise": {"law": "normal", "std": 0.1},
        },
        "network": {"hidden": [5], "parametrization": "ntk"},
        "optimizer": {"name": "adam", "learning_rate": 0.02},
    },
    "sphere": {
        "problem": {
            "input": {"law": "sphere", "dimension": 4, "radius": 2.0},
            "target": "relu(x1) + relu(x2 - x3) + 0.5",
        },
        "network": {"hidden": [3], "biases": False},
        "optimizer": {"name": "momentum", "learning_rate": 0.02},
    },
    "no hidden biases": {
        "problem": {"input": GAUSSIAN, "target": {"teacher": {"hidden": [3], "biases": False}}},
        "network": {"hidden": [2], "biases": False},
        "optimizer": {"name": "nadamax", "learning_rate": 0.02},
    },
    "a constant": {
        "problem": {"input": GAUSSIAN, "target": "2"},
        "network": {"hidden": [3]},
    },
    "many": {
        "problem": {"input": {"law": "normal", "dimension": 30}, "target": "relu(x1)"},
        "network": {"hidden": [26], "biases": False},
        "optimizer": {"name": "adagrad", "learning_rate": 0.02},
    },
}


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", CASES)
def test_it_trains_as_the_reference_does(name):
    agree("native", steps=40, certified=name == "no hidden biases", **POPULATION, **CASES[name])


@needs_compiler
def test_it_descends_and_diverges_with_the_reference():
    experiment = orthogonal(3, 4, optimizer={"name": "sgd", "learning_rate": 0.2})
    theta, _, _ = trained(experiment, ExecutionConfig("vmap", 16), 100)
    again, _, _ = trained(experiment, NATIVE, 100)
    np.testing.assert_allclose(again, theta, rtol=0, atol=1e-12)
    experiment = orthogonal(3, 4, optimizer={"name": "sgd", "learning_rate": 1.2})
    theta, bad, _ = trained(experiment, ExecutionConfig("vmap", 16), 400)
    again, bad_again, _ = trained(experiment, NATIVE, 400)
    assert np.array_equal(bad, bad_again)
    assert np.unique(bad).size > 1
    assert np.array_equal(np.isfinite(theta), np.isfinite(again))


def test_a_neuron_without_weights_stays_as_samples_leave_it():
    w = special_weights(np.random.default_rng(0))
    theta = np.concatenate([w.reshape(16, -1), np.ones((16, 4))], 1)
    moved = advanced(orthogonal(3, 4), theta, (0, 1), 1.0, ExecutionConfig("vmap", 16))
    moved = moved[:, :12].reshape(16, 3, 4)
    assert not moved[6, :, 0].any()
    assert not moved[7].any()
    assert not moved[11, :, 0].any()
    assert moved[:6].all()


@needs_compiler
def test_a_new_study_is_measured_with_it_unless_its_teacher_overflows():
    assert "native" in engines_to_measure(orthogonal(3, 4))
    huge = orthogonal(2, 2, problem__target="1e30*relu(x1)", precision="float32")
    assert "overflows float32" in unsupported_reason("native", huge)


@needs_compiler
@pytest.mark.slow
def test_interruption_and_width_do_not_change_the_bits(tmp_path):
    for name, width in (("narrow", 8), ("wide", 24)):
        execution = {"engine": "native", "width": width, "lanes": 8}
        network = {"hidden": [4], "biases": False}
        problem = {"input": GAUSSIAN, "target": "relu(x1) + relu(x2)"}
        asked = study(
            replicates=40, execution=execution, problem=problem, network=network, **POPULATION
        )
        simulate(asked, tmp_path / name)
    assert all_bits(tmp_path / "narrow") == all_bits(tmp_path / "wide")
