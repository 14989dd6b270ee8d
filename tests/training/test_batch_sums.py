"""Sums over a mini-batch that are written out: to the last bit those of XLA's libraries."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from jaxsim.engines.block import start
from jaxsim.engines.engine import vmap_engine
from jaxsim.training import keys
from jaxsim.training.batch_sums import (
    LIBRARY_SUMS,
    add_like_this,
    with_sums_written_out,
)
from jaxsim.training.hyperparameters import with_numbers
from jaxsim.training.train import State, make_train
from tests.studies import slow_but, study

pytestmark = pytest.mark.skipif(not add_like_this(), reason="libraries of other processors")


@pytest.fixture(autouse=True, scope="module")
def _known_order() -> None:
    """XLA chooses its libraries' programs by the processor: not all need add in this order."""
    rows = drawn((LIBRARY_SUMS, 23, 2), np.float32)
    sums = np.asarray(jax.jit(jax.vmap(lambda rows: rows.sum(0)))(rows))
    a, b = drawn((64, 16, 2), np.float32), drawn((64, 16, 3), np.float32)
    products = np.asarray(jax.jit(jax.vmap(outer_products))(a, b))
    if (sums != added(rows, [16, 4])).any() or products[0, 0, 0] != fused(a[0, :, 0], b[0, :, 0]):
        pytest.skip("the libraries of this processor add in another order")


WEIGHTS = [(16, 1, 4), (2, 5, 3), (8, 8, 64), (31, 16, 16), (32, 64, 1)]
ROWS = [(16, 4), (7, 2), (23, 16)]


def drawn(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return numbers with zeros of both signs among them, as ReLU makes them."""
    rng = np.random.default_rng(sum(shape))
    numbers = rng.normal(size=shape) * (rng.random((*shape[:-1], 1)) > 0.3)
    return numbers.astype(dtype)


def outer_products(a: Array, b: Array) -> Array:
    return jax.lax.dot_general(a, b, (((0,), (0,)), ((), ())))


def blocks(
    function: Callable[..., Array], of_all: Sequence[tuple[np.ndarray, ...]]
) -> tuple[list[Array], list[Array]]:
    """Return what libraries and the program make of several blocks."""

    def libraries(of_all: Any) -> list[Array]:
        return [jax.vmap(function)(*arrays) for arrays in of_all]

    def written_out(n: int, of_all: Any) -> list[Array]:
        def one(*arrays: Array) -> Array:
            return with_sums_written_out(function, jnp.asarray(n), *arrays)

        return [jax.vmap(one)(*arrays) for arrays in of_all]

    text = str(jax.jit(written_out).lower(0, of_all).as_text())
    assert text.count("stablehlo.case") == len(of_all)
    return jax.jit(libraries)(of_all), jax.jit(written_out)(0, of_all)


@pytest.mark.parametrize("width", slow_but([64], [1, 7, 64, 256]))
def test_gradients_of_weights_have_the_bits_of_the_library(width):
    single = np.float32
    of_all = [(drawn((width, k, m), single), drawn((width, k, n), single)) for k, m, n in WEIGHTS]
    for plain, written_out in zip(*blocks(outer_products, of_all), strict=True):
        assert np.asarray(plain).tobytes() == np.asarray(written_out).tobytes()


def test_readouts_have_the_bits_of_the_library():
    shapes = [(k, m) for k, m in ((32, 2), (3, 5), (16, 7))]
    of_all = [(drawn((64, k, m), np.float32), drawn((64, m, 1), np.float32)) for k, m in shapes]
    for plain, written_out in zip(*blocks(jnp.matmul, of_all), strict=True):
        assert np.asarray(plain).tobytes() == np.asarray(written_out).tobytes()


def test_sums_of_rows_have_the_bits_of_the_library_and_its_order():
    # As many numbers as XLA has a library add.
    of_all = [
        (drawn((-(-LIBRARY_SUMS // (k * n)), k, n), dtype),)
        for dtype in (np.float32, np.float64)
        for k, n in ROWS
    ]
    sums = blocks(lambda rows: rows.sum(0), of_all)
    for (rows,), plain, written_out in zip(of_all, *sums, strict=True):
        assert np.asarray(plain).tobytes() == np.asarray(written_out).tobytes()
        np.testing.assert_array_equal(written_out, added(rows, [16, 4]))


def added(rows: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return the sums over the middle axis, as many rows at a time as `sizes` say."""
    total = np.zeros_like(rows[:, 0])
    for begin in range(0, rows.shape[1], sizes[0] if sizes else 1):
        few = rows[:, begin : begin + sizes[0]] if sizes else rows
        total = total + (added(few, sizes[1:]) if sizes else rows[:, begin])
    return total


def test_products_are_added_with_one_rounding_each():
    a, b = drawn((1, 5, 2), np.float32), drawn((1, 5, 3), np.float32)
    ((_,), (sums,)) = blocks(outer_products, [(a, b)])
    for i in range(2):
        for j in range(3):
            assert float(sums[0, i, j]) == fused(a[0, :, i], b[0, :, j])


def fused(a: np.ndarray, b: np.ndarray) -> np.float32:
    """Return the sum of products, each added with one rounding."""
    total = np.float32(0)
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        total = np.float32(float(Fraction(x) * Fraction(y) + Fraction(float(total))))
    return total


@pytest.mark.parametrize(
    ("function", "shapes", "dtype"),
    [
        (outer_products, [(8, 16, 4), (16, 4)], np.float32),  # a mini-batch that all members share
        (outer_products, [(8, 16, 4), (8, 16, 4)], np.float64),
        (outer_products, [(8, 16, 1), (8, 16, 9)], np.float32),
        (outer_products, [(8, 33, 2), (8, 33, 4)], np.float32),
        (jnp.matmul, [(8, 16, 8), (8, 8, 1)], np.float32),
        (lambda rows: rows.sum(0), [(8, 16, 4)], np.float32),  # few numbers: XLA adds them itself
        (lambda rows: rows.sum(0), [(8, 16, 600)], np.float32),  # what follows is added, too
    ],
)
def test_what_is_added_in_another_order_is_left_alone(function, shapes, dtype):
    arrays = [drawn(shape, dtype) for shape in shapes]
    axes = [0 if len(shape) == 3 else None for shape in shapes]

    def one(*arrays: Array) -> Any:
        return with_sums_written_out(function, jnp.asarray(0), *arrays)

    assert "case" not in jax.jit(jax.vmap(one, in_axes=axes)).lower(*arrays).as_text()


METHODS = ["sgd", "adam", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adamax"]
METHODS += ["nadam", "nadamax", "amsgrad"]


SHARED = {"size": 16, "scope": "study"}
TRAININGS: list[Any] = [(method, [4], 256, None) for method in METHODS]
TRAININGS += [(method, [8, 3], 64, None) for method in METHODS]
TRAININGS += [("sgd", [4], 1024, None), ("adam", [9, 4], 64, SHARED)]


@pytest.mark.parametrize("training", slow_but(TRAININGS[:1], TRAININGS))
def test_steps_written_for_cpus_have_the_bits_of_plain_ones(training):
    method, hidden, width, chosen = training
    batches = {"batch_size": 16, **({"set": chosen} if chosen else {})}
    optimizer = {"name": method, "learning_rate": 0.02}
    (experiment,) = study(optimizer=optimizer, network__hidden=hidden, training=batches).experiments
    engine = vmap_engine(experiment)
    plain = jax.vmap(make_train(experiment).advance, in_axes=(0, None, None, None, None))

    def end(advance: Callable[..., State], rate: Any) -> list[np.ndarray]:
        state = start(engine, experiment, 0, width)
        shared = engine.shared(keys.root_key(experiment.seed))
        for first, stop in ((0, 1), (1, 40)):
            state = advance(state, shared, np.int32(first), np.int32(stop), rate)
        return list(map(np.asarray, jax.tree.leaves(state._replace(key=()))))

    ends = end(engine.advance, 0.02), end(jax.jit(plain), with_numbers(experiment, 0.02))
    for one, other in zip(*ends, strict=True):
        assert one.tobytes() == other.tobytes()
