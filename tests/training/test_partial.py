"""Epochs whose last mini-batch is smaller: every row counts once, as a NumPy loop has it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.engines.registry import ENGINES, REFERENCE, unsupported_reason
from jaxsim.errors import InputError
from jaxsim.training import keys
from jaxsim.training.batches import make_batches
from jaxsim.training.train import make_train
from tests.studies import study, table

RATE = 0.05


def experiment(size=7, batch=3, **more):
    problem = {"input": {"law": "uniform", "low": 0.0, "high": 1.0}, "target": "x**2"}
    tree = table(
        problem=problem, network={"hidden": [], "biases": "he_normal"}, steps=6, checkpoints=[1],
        training={"batch_size": batch, "set": {"size": size, "partial": "keep", **more}},
        optimizer={"name": "sgd", "learning_rate": RATE}, precision="float64",
    )  # fmt: skip
    return study(**{k: v for k, v in tree.items() if k != "name"}).experiments[0]


def picked(chosen, steps):
    """Return the (rows that count, x, y) of every step of replicate 0."""
    batches = make_batches(chosen)
    member = jax.random.fold_in(keys.experiment_key(chosen.seed, chosen.key_words), 0)
    carried, key = batches.init(member), jax.random.fold_in(member, keys.MINI_BATCHES)
    shared = batches.shared(keys.root_key(chosen.seed))
    for n in range(steps):
        carried, index = batches.pick(carried, key, jnp.int32(n))
        x, y = batches.table(shared, carried)
        weights = np.asarray(batches.weights(jnp.int32(n)))
        rows = np.asarray(index)[weights == 1]
        yield rows, np.asarray(x)[rows], np.asarray(y)[rows]


def test_every_row_counts_once_in_an_epoch():
    steps = list(picked(experiment(), 6))
    assert [len(rows) for rows, _, _ in steps] == [3, 3, 1, 3, 3, 1]
    for epoch in (steps[:3], steps[3:]):
        assert sorted(np.concatenate([rows for rows, _, _ in epoch])) == list(range(7))


@pytest.mark.parametrize("scope", ["replicate", "study"])
def test_training_is_the_mean_over_the_rows_that_count(scope):
    chosen = experiment(scope=scope)
    train = make_train(chosen)
    member = jax.random.fold_in(keys.experiment_key(chosen.seed, chosen.key_words), 0)
    theta, rate = train.draw(member), jnp.asarray(RATE)
    state = train.start(member, theta, rate)
    shared = train.shared(keys.root_key(chosen.seed))
    state = jax.jit(train.advance)(state, shared, jnp.int32(0), jnp.int32(6), rate)
    w, b = np.asarray(theta)
    for _, x, y in picked(chosen, 6):
        residual = w * x + b - y
        w, b = w - RATE * 2 * (residual * x).mean(), b - RATE * 2 * residual.mean()
    np.testing.assert_allclose(np.asarray(state.theta), [w, b], rtol=1e-12)
    assert state.diverged == -1


@pytest.mark.parametrize("name", [n for n in ENGINES if n != REFERENCE])
def test_engines_that_know_only_whole_mini_batches_say_so(name):
    assert unsupported_reason(name, experiment())


@pytest.mark.parametrize(
    ("training", "part"),
    [
        ({"batch_size": 3, "set": {"size": 6}}, "leave no row unused"),
        ({"batch_size": "full", "set": {"size": 6}}, "leave no row unused"),
        ({"batch_size": 4, "set": {"size": 6, "replacement": True}}, "knows no epochs"),
    ],
)
def test_keeping_what_is_not_left_is_refused(training, part):
    training["set"]["partial"] = "keep"
    with pytest.raises(InputError, match=r'partial = "keep" has no effect') as error:
        study(training=training)
    assert part in str(error.value)
