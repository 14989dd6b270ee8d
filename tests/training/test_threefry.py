"""The written-out generator draws JAX's own numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.engines.engine import vmap_engine
from jaxsim.network.initializers import INITIALIZERS
from jaxsim.training import keys
from jaxsim.training.threefry import hash_pair, rolled, unrolled
from jaxsim.training.train import make_train
from tests.studies import slow_but, study

KEYS = jax.vmap(jax.random.key)(jnp.arange(5))


def test_published_vectors():
    # Random123's known answers for threefry2x32 with 20 rounds.
    cases = [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ]
    for key, counter, expected in cases:
        words = [jnp.uint32(w) for w in (*key, *counter)]
        assert tuple(map(int, hash_pair(tuple(words[:2]), tuple(words[2:])))) == expected


@pytest.mark.parametrize(
    "draw",
    [
        lambda k: jax.random.uniform(k, (3, 2), jnp.float32),
        lambda k: jax.random.uniform(k, (7,), jnp.float64),
        lambda k: jax.random.normal(k, (3, 5), jnp.float32),
        lambda k: jax.random.randint(k, (11,), 0, 1797),
        lambda k: jax.random.bits(k, (4,), jnp.uint8),
        lambda k: jax.random.permutation(k, jnp.arange(20)),
        lambda k: jax.random.uniform(jax.random.fold_in(k, 12345)),
        lambda k: jax.random.uniform(jax.random.split(k, 3)[2]),
        lambda k: jax.random.normal(jax.random.fold_in(k, jnp.uint32(2**32 - 1)), (2,)),
        lambda k: jax.random.choice(k, 10, (6,), replace=False),
    ],
)
def test_the_same_numbers_as_jax(draw):
    mine = jax.jit(jax.vmap(lambda k: draw(unrolled(k))))(KEYS)
    assert np.array_equal(mine, jax.jit(jax.vmap(draw))(KEYS))


def test_keys_go_there_and_back():
    assert np.array_equal(jax.random.key_data(rolled(unrolled(KEYS))), jax.random.key_data(KEYS))
    assert rolled(unrolled(KEYS)).dtype == KEYS.dtype


LAWS = [name for name in INITIALIZERS if name not in ("constant", "zero", "covering_normal")]


@pytest.mark.parametrize("precision", slow_but(["float32"], ["float32", "float64"]))
@pytest.mark.parametrize("law", slow_but(["uniform"], LAWS))
def test_initializations_are_jaxs_own_draws(law, precision):
    biases = law if law in ("normal", "uniform", "randomized_asymmetric") else "uniform"
    hidden = [3] if law == "uniform" else [5, 3]
    (experiment,) = study(
        network={"hidden": hidden, "weights": law, "biases": biases}, precision=precision
    ).experiments
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    replicates = jnp.arange(7, dtype=jnp.uint32)
    state = vmap_engine(experiment).init(key, replicates, jnp.asarray(0.02, experiment.dtype))
    members = keys.replicate_keys(key, replicates)
    expected = np.asarray(jax.jit(jax.vmap(make_train(experiment).draw))(members))
    assert np.asarray(state.theta).tobytes() == expected.tobytes()
