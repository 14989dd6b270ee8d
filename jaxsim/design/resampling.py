"""Splitting at fixed times: a family of particles that is resampled by its scores, with weights.

At checkpoint j a particle with weight w and integer score a is kept, dropped or cloned. It has on
average M rho children, each of weight w / (M rho), where for positive functions g_c

    rho_i = sum_c s_c  w_i g_c(a_i) / sum_l w_l g_c(a_l),        sum_c s_c = 1.

Whatever the functions are, (1/M) sum_i w_i f(particle i) at a checkpoint, with the weights from
before its resampling, has the mean E f(Theta_n): g decides the variance alone (a Feynman-Kac model,
Del Moral 2004; splitting at fixed times, Garvels 2000; unbiased, Brehier et al., AAP 26:3559). One
of the functions is constant, so that a share of the particles follows the law itself and no weight
exceeds the mean weight divided by that share.

Particles of a family depend on each other: the family is what is independent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxsim.design.twist import Twist

_UNCHANGED = 1e-9
"""Particles whose mean numbers of children are this close to 1 are left alone."""


class History(NamedTuple):
    """What the scores of a family make of it, up to the last checkpoint that they are known at.

    Attributes:
        weights: before the resampling of each checkpoint, float64 [M, T].
        ancestors: at each checkpoint, int32 [M], or None where nothing is resampled.
    """

    weights: np.ndarray
    ancestors: tuple[np.ndarray | None, ...]

    @property
    def roots(self) -> np.ndarray:
        """Which particle of the beginning each of the last checkpoint descends from, int [M]."""
        roots = np.arange(len(self.weights))
        for parents in self.ancestors[:-1]:
            roots = roots if parents is None else roots[parents]
        return roots


def history(scores: np.ndarray, twist: Twist, words: Sequence[int]) -> History:
    """Return weights and ancestors of a family, a pure function of its scores.

    Args:
        scores: before the resampling of each checkpoint so far, int [M, T].
        twist: the functions g.
        words: what the family's random numbers derive from.
    """
    count, checkpoints = scores.shape
    weights, parents = np.ones((count, checkpoints)), []
    current = np.ones(count)
    for j in range(checkpoints):
        weights[:, j] = current
        ancestors, current = resampled(current, scores[:, j], twist, j, uniform((*words, j)))
        parents.append(ancestors)
    return History(weights, tuple(parents))


def resampled(
    weights: np.ndarray, scores: np.ndarray, twist: Twist, checkpoint: int, offset: float
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return (ancestors [M] int32, their children's weights [M]) by systematic resampling.

    Args:
        weights: positive, [M].
        scores: integers, [M].
        twist: the functions g.
        checkpoint: j; at the last one of the twist, and after it, nothing is resampled.
        offset: uniform on [0, 1).
    """
    count = len(weights)
    if checkpoint >= twist.checkpoints - 1:
        return None, weights
    children = count * _shares(weights, twist.at(checkpoint, scores), twist.shares)
    if np.abs(children - 1).max() <= _UNCHANGED:
        return None, weights
    # Neighbours in score stand together, so that every score has almost its mean number.
    order = np.argsort(scores, kind="stable")
    ends = np.cumsum(children[order])
    places = np.searchsorted(ends, (offset + np.arange(count)) * (ends[-1] / count), side="right")
    ancestors = order[np.minimum(places, count - 1)]
    return ancestors.astype(np.int32), weights[ancestors] / children[ancestors]


def _shares(weights: np.ndarray, log_g: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return rho [M] of log g [C, M] and shares [C]."""
    logs = np.log(weights) + log_g
    values = np.exp(logs - logs.max(1, keepdims=True))
    return shares @ (values / values.sum(1, keepdims=True))


def uniform(words: Sequence[int]) -> float:
    """Return a number in [0, 1) of 53 bits that derives from the words alone."""
    digest = hashlib.sha256(",".join(str(int(word)) for word in words).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


class Process(Protocol):
    """A Markov chain that splitting can be tried on; states are arrays that lead with particles."""

    @property
    def checkpoints(self) -> int:
        """T, of which the first is the beginning and the last the end."""
        ...

    def init(self, count: int, rng: np.random.Generator) -> Any:
        """Return the states of `count` particles at checkpoint 0."""
        ...

    def advance(self, states: Any, checkpoint: int, rng: np.random.Generator) -> Any:
        """Return the states at a checkpoint from those at the one before it."""
        ...

    def score(self, states: Any, checkpoint: int) -> np.ndarray:
        """Return integer scores from 0 on, [M]."""
        ...

    def fails(self, states: Any, checkpoint: int) -> np.ndarray:
        """Return which particles are in the event whose probability is asked for, bool [M]."""
        ...


class Family(NamedTuple):
    """M particles at the T checkpoints, before the resampling of each.

    Attributes:
        weights: float64 [M, T].
        scores: int [M, T].
        fails: bool [M, T].
        roots: of the last checkpoint's particles, int [M].
    """

    weights: np.ndarray
    scores: np.ndarray
    fails: np.ndarray
    roots: np.ndarray

    @property
    def estimates(self) -> np.ndarray:
        """Unbiased estimates of the probabilities of failing at the checkpoints, [T]."""
        return (self.weights * self.fails).mean(0)


def run_family(process: Process, twist: Twist, words: Sequence[int], count: int) -> Family:
    """Return one family of a process.

    Args:
        process: what is simulated.
        twist: the functions g, a table of scores at the process's checkpoints.
        words: non-negative integers that all random numbers of the family derive from.
        count: particles M.
    """

    def rng(checkpoint: int) -> np.random.Generator:
        return np.random.default_rng((*words, checkpoint))

    states = process.init(count, rng(0))
    weights = np.ones(count)
    roots, seen = np.arange(count), []
    for j in range(process.checkpoints):
        if j:
            states = process.advance(states, j, rng(j))
        scores = np.asarray(process.score(states, j))
        seen.append((weights, scores, np.asarray(process.fails(states, j))))
        ancestors, weights = resampled(weights, scores, twist, j, uniform((*words, j)))
        if ancestors is not None:
            states, roots = states[ancestors], roots[ancestors]
    columns = [np.stack(column, axis=1) for column in zip(*seen, strict=True)]
    return Family(columns[0], columns[1], columns[2], roots)
