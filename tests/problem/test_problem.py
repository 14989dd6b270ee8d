"""The Problem record: samples, outputs and consistency."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.problem.input_laws import INPUT_LAWS, PointsLaw
from jaxsim.problem.losses import LOSSES
from jaxsim.problem.noise import NOISES
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import LabelTarget
from tests.risk.cases import make_problem

POINTS = PointsLaw(np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]), np.array([1, 2, 5]) / 8)
CLASSES = LabelTarget(np.array([0, 1, 2]), 3)


def build(law, target, loss, noise="none", **options):
    return Problem(law, target, LOSSES[loss](), NOISES[noise](**options))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_samples_have_the_law_and_dtype(dtype):
    problem = make_problem(("x1", "x1 * x2"), dimension=2, noise=("normal", {"std": 0.1}))
    sample = jax.jit(lambda key: problem.sample(key, 20_000, dtype))
    x, y = sample(jax.random.key(0))
    assert x.shape == (20_000, 2)
    assert y.shape == (20_000, 2)
    assert x.dtype == y.dtype == dtype
    noise = np.asarray(y, float) - np.stack([x[:, 0], x[:, 0] * x[:, 1]], axis=1)
    assert abs(noise.mean()) < 5.2 * 0.1 / 200
    assert abs(noise.std() - 0.1) < 5.2 * 0.1 / 400
    assert abs(np.corrcoef(noise.T)[0, 1]) < 5.2 / 20_000**0.5
    assert abs(np.corrcoef(x[:, 0], noise[:, 0])[0, 1]) < 5.2 / 20_000**0.5


def test_labels_go_with_their_points():
    problem = build(POINTS, CLASSES, "softmax_cross_entropy")
    x, y = jax.jit(lambda key: problem.sample(key, 4000, jnp.float32))(jax.random.key(1))
    assert y.dtype == jnp.int32
    np.testing.assert_array_equal(x[:, 0], 2 * y)
    shares = np.bincount(np.asarray(y)) / 4000
    np.testing.assert_allclose(shares, [1 / 8, 2 / 8, 5 / 8], atol=0.05)
    index = jnp.array([2, 0])
    x, y = problem.sample_at(index, jax.random.key(0), jnp.float64)
    np.testing.assert_array_equal(x, [[4, 5], [0, 1]])
    np.testing.assert_array_equal(y, [2, 0])


def test_outputs_are_those_of_the_network():
    assert build(POINTS, CLASSES, "softmax_cross_entropy").outputs == 3
    two = LabelTarget(np.array([0, 1, 1]), 2)
    assert build(POINTS, two, "logistic").outputs == 1
    assert build(POINTS, LabelTarget(np.ones((3, 4))), "squared").outputs == 4
    assert make_problem(("x", "x**2", "1")).outputs == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: build(POINTS, CLASSES, "softmax_cross_entropy", "normal", std=1.0), "noise"),
        (lambda: build(INPUT_LAWS["uniform"](dimension=2), CLASSES, "squared"), "finitely many"),
        (lambda: build(POINTS, LabelTarget(np.ones((2, 1))), "squared"), "2 labels"),
        (lambda: build(POINTS, LabelTarget(np.ones((3, 1))), "softmax_cross_entropy"), "classes"),
        (lambda: build(POINTS, CLASSES, "squared"), "classes"),
        (lambda: build(POINTS, CLASSES, "hinge"), "3 classes"),
        (lambda: make_problem(("x", "x"), loss="hinge"), "one output"),
    ],
)
def test_parts_that_do_not_fit_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
