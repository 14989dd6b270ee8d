"""Random keys by `fold_in` of indices: who draws what, independent of any order.

    root = key(seed)
    experiment key = fold_in(fold_in(root, word_1), word_2),  the words hash the experiment's text
    replicate key  = fold_in(experiment key, replicate)
    streams of a replicate: fold_in(replicate key, INITIALIZATION), ..., one constant per purpose
    step n of a stream: fold_in(stream, n)
    mini-batches after a resampling: fold_in(fold_in(replicate key, RESAMPLING), checkpoint), where
        the replicate is the place in the family that a clone has come to
    mini-batches that all replicates share: fold_in(root, MINI_BATCHES)

Replicate r of an experiment therefore draws the same numbers whatever else the study holds.
"""

from __future__ import annotations

import hashlib

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.training.threefry import rolled, unrolled

INITIALIZATION, MINI_BATCHES, TRAINING_SET, RESAMPLING = 0, 1, 2, 3
LARGEST_REPLICATE = 2**32 - 1


def identity_words(text: str) -> tuple[int, int]:
    """Return two 32-bit words that identify an experiment by the SHA-256 of its canonical text."""
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")


def root_key(seed: int) -> Array:
    """Return the root key of a study."""
    return jax.random.key(seed, impl="threefry2x32")


def experiment_key(seed: int, words: tuple[int, int]) -> Array:
    """Return the key of an experiment."""
    key = root_key(seed)
    for word in words:
        key = jax.random.fold_in(key, word)
    return key


def replicate_keys(key: Array, replicates: Array) -> Array:
    """Return the keys [width] of the given replicates, uint32 [width]."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, replicates.astype(jnp.uint32))


def mini_batches(key: Array) -> Array:
    """Return the stream of mini-batches of a replicate: fold_in(replicate key, MINI_BATCHES)."""
    if jax.default_backend() != "cpu":
        return jax.random.fold_in(key, MINI_BATCHES)
    # The same key, by a program that a CPU compiles in a third of the time.
    return rolled(jax.random.fold_in(unrolled(key), MINI_BATCHES))


@jax.jit
def fresh_streams(key: Array, replicates: Array, checkpoint: Array) -> Array:
    """Return streams of mini-batches [width] for what was resampled at a checkpoint."""

    def stream(member: Array) -> Array:
        return jax.random.fold_in(jax.random.fold_in(member, RESAMPLING), checkpoint)

    return jax.vmap(stream)(replicate_keys(key, replicates))


def shared_streams(seed: int, width: int) -> Array:
    """Return one stream of mini-batches for all replicates of a study, `width` times."""
    return jnp.broadcast_to(jax.random.fold_in(root_key(seed), MINI_BATCHES), (width,))
