"""Markov chains whose rare probabilities are known exactly, to try splitting on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Dying:
    """Neurons that die one by one: fails where none is left. Theta_0 has `active` of them, or each
    of `active` with probability `start`.

        P(fails at n) = (1 - start (1 - q)^(n / T))^active
    """

    active: int
    q: float
    checkpoints: int
    start: float = 1.0

    @property
    def hazard(self) -> float:
        return -math.expm1(math.log1p(-self.q) / (self.checkpoints - 1))

    def init(self, count, rng):
        return rng.binomial(self.active, self.start, count)

    def advance(self, states, checkpoint, rng):
        return states - rng.binomial(states, self.hazard)

    def score(self, states, checkpoint):
        return states

    def fails(self, states, checkpoint):
        return states == 0

    def exact(self, checkpoint=None):
        steps = self.checkpoints - 1 if checkpoint is None else checkpoint
        return (1 - self.start * (1 - self.hazard) ** steps) ** self.active


@dataclass(frozen=True)
class BirthDeath:
    """A walk on 0, ..., top that steps down with probability `down`, else up: fails at 0."""

    top: int
    down: float
    checkpoints: int

    def init(self, count, rng):
        return np.full(count, self.top)

    def advance(self, states, checkpoint, rng):
        step = np.where(rng.random(len(states)) < self.down, -1, 1)
        return np.where(states == 0, 0, np.minimum(states + step, self.top))

    def score(self, states, checkpoint):
        return states

    def fails(self, states, checkpoint):
        return states == 0

    def reaching(self):
        """P(fails in the end | state at a checkpoint), [T, top + 1], by the transition matrix."""
        matrix = np.zeros((self.top + 1, self.top + 1))
        matrix[0, 0] = 1
        for a in range(1, self.top + 1):
            matrix[a, a - 1] += self.down
            matrix[a, min(a + 1, self.top)] += 1 - self.down
        h = [np.eye(self.top + 1)[0]]
        for _ in range(self.checkpoints - 1):
            h.append(matrix @ h[-1])
        return np.stack(h[::-1])

    def exact(self):
        return self.reaching()[0, self.top]


@dataclass(frozen=True)
class GaussianWalk:
    """Sums of standard normal steps: fails beyond `level`, and below `below` if that is given."""

    level: float
    checkpoints: int
    below: float = -math.inf
    scale: int = 4
    scores: int = 200

    def init(self, count, rng):
        return np.zeros(count)

    def advance(self, states, checkpoint, rng):
        return states + rng.standard_normal(len(states))

    def score(self, states, checkpoint):
        bins = np.floor(self.scale * states).astype(int) + self.scores // 2
        return np.clip(bins, 0, self.scores - 1)

    def fails(self, states, checkpoint):
        return (states > self.level) | (states < self.below)

    def log_g(self):
        """log P(beyond the level in the end | middle of a score's bin at a checkpoint)."""
        middle = (np.arange(self.scores) - self.scores // 2 + 0.5) / self.scale
        left = np.sqrt(np.maximum(np.arange(self.checkpoints)[::-1], 0.25))
        return stats.norm.logsf((self.level - middle) / left[:, None])

    def exact(self):
        spread = math.sqrt(self.checkpoints - 1)
        return stats.norm.sf(self.level / spread) + stats.norm.cdf(self.below / spread)
