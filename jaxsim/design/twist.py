"""What splitting is guided by: estimates of the probability of failing in the end.

    h_T(a) = phi(a),    h_j(a) = E h_{j+1}(A),  A ~ a - Bin(a, q_j(a))

for a run with a active neurons in the first layer at checkpoint j: each of them dies before the
next one with probability q_j(a), and a run with a active neurons in the end fails with probability
phi(a). Both come from pilot runs of all strata. A run's share of the particles is best proportional
to how widely its contribution spreads until the next resampling (Neyman's allocation),

    g_j(a)^2 = Var h_{j+1}(A) + kappa h_j(a)^2,

with a little for what resampling itself adds. None of it needs to be right: a wrong model costs
variance and leaves estimates unbiased.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts are imported when they are used

DEFENSIVE = 0.2
"""Share of the particles that follow the law itself, whatever their scores."""
GUARD_SLOPES = np.array([0.125, 0.25, 0.5, 1.0, 2.0])
"""Of the logarithms of what leads the other way, for one more of the score."""
_STEPS = 1024
"""Logarithms of h are multiples of 1 / _STEPS: rounding of a C library does not reach them."""
_RESAMPLING = 0.1
"""kappa."""
_FITS = 10
_PRIOR_DEATHS = 20.0
"""How many deaths would have to be seen before their number at a score means something."""
_MOST_LIKELY = 0.999
_LEAST_SLOPE = np.log(0.5)
_LOWEST = -300.0


@dataclass(frozen=True, eq=False)
class Twist:
    """Functions of an integer score, one for each checkpoint, that particles are resampled by.

    Attributes:
        log_g: logarithms, finite, float64 [C, T, scores].
        shares: of the particles that follow each of the C functions, positive, sum 1, [C].
    """

    log_g: np.ndarray
    shares: np.ndarray

    @property
    def checkpoints(self) -> int:
        """T; at the last one nothing is resampled."""
        return self.log_g.shape[1]

    def at(self, checkpoint: int, scores: np.ndarray) -> np.ndarray:
        """Return log h of scores at a checkpoint, [C, M]; beyond the table, of its last score."""
        return self.log_g[:, checkpoint, np.clip(scores, 0, self.log_g.shape[2] - 1)]

    @property
    def reverse(self) -> Twist:
        """The twist that leads the other way, a guard against scores that lead astray.

        Exponentials of the score, gentle ones to steep ones, next to the law itself: how far the
        other way failures may be is not known, and -log g would overshoot them where g is steep.
        """
        trend = np.sign(self.log_g[:, :, 0] - self.log_g[:, :, -1]).sum(0)
        direction = np.where(trend == 0, 1.0, np.sign(trend))[:, None]
        scores = np.arange(self.log_g.shape[2])
        return make_twist(GUARD_SLOPES[:, None, None] * (direction * scores))

    def as_table(self) -> dict[str, Any]:
        """Return it as lists of numbers, which JSON keeps to the bit."""
        return {"log_g": self.log_g.tolist(), "shares": self.shares.tolist()}

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Twist:
        """Return the twist of `as_table`."""
        return cls(np.array(table["log_g"], np.float64), np.array(table["shares"], np.float64))

    @cached_property
    def text(self) -> str:
        """Hexadecimal digits that identify the tables."""
        parts = str(self.log_g.shape).encode(), self.log_g.tobytes(), self.shares.tobytes()
        return hashlib.sha256(b"".join(parts)).hexdigest()


def make_twist(log_g: np.ndarray, defensive: float = DEFENSIVE) -> Twist:
    """Return the twist of functions h and the law itself.

    Args:
        log_g: float [T, scores] or [C, T, scores]; each of the C takes an equal share.
        defensive: share of the particles that follow the law itself; 0 for none.
    """
    tables = np.asarray(log_g, float).reshape(-1, *np.shape(log_g)[-2:])
    tables = np.maximum(tables, tables.max(2, keepdims=True) + _LOWEST)
    tables = np.round(tables * _STEPS) / _STEPS
    shares = np.full(len(tables), (1 - defensive) / len(tables))
    if defensive > 0:
        tables = np.concatenate([np.zeros((1, *tables.shape[1:])), tables])
        shares = np.concatenate([[defensive], shares])
    return Twist(tables, shares)


class FailureModel(NamedTuple):
    """What pilot runs say of E failures, for every checkpoint and number of active neurons.

    Attributes:
        log_h: log P(fails in the end | active neurons at a checkpoint), [E, T, scores].
        log_g: of what a share of the particles is best proportional to, [E, T, scores].
        deaths: how probably each of a active neurons dies between neighbouring checkpoints,
            [T - 1, scores].
    """

    log_h: np.ndarray
    log_g: np.ndarray
    deaths: np.ndarray

    @property
    def twist(self) -> Twist:
        """What families are resampled by: an equal share for each of the failures."""
        return make_twist(self.log_g)

    @property
    def log_probability(self) -> np.ndarray:
        """Log P(fails in the end | active neurons at initialization), [E, scores]."""
        return self.log_h[:, 0]

    def variance(self) -> np.ndarray:
        """Return (standard deviation / mean)^2 of a family's estimate times its particles.

        By active neurons at initialization, [E, scores], if the model is right and there are many
        particles: sum_j (E g_j(A_j))^2 / h_0^2. For planning only.
        """
        scores = self.log_h.shape[2]
        total, law = np.zeros((len(self.log_h), scores)), np.eye(scores)
        for j, chance in enumerate(self.deaths):
            mean = np.exp(self.log_g[:, j]) @ law.T
            total += np.exp(2 * (np.log(np.maximum(mean, 1e-300)) - self.log_probability))
            law = law @ np.exp(_log_transition(chance))
        return total / (1 - DEFENSIVE) * len(self.log_h)


def fit_model(
    active: np.ndarray, failed: np.ndarray, most: int, weights: np.ndarray | None = None
) -> FailureModel:
    """Return the model that pilot runs suggest.

    Args:
        active: active neurons of the first layer at the checkpoints, int [R, T].
        failed: whether each run fails in the end, for each of the thresholds, bool [E, R].
        most: largest number of active neurons.
        weights: of the runs, positive, [R]; None for equal ones.
    """
    weights = np.ones(len(active)) if weights is None else weights
    deaths = death_probabilities(active, weights, most)
    functions = [
        _functions(log_failure(active[:, -1], row, most, weights), deaths) for row in failed
    ]
    return FailureModel(
        np.stack([h for h, _ in functions]), np.stack([g for _, g in functions]), deaths
    )


def failure_model(log_phi: np.ndarray, deaths: np.ndarray) -> FailureModel:
    """Return the model for a failure whose probabilities are given, E = 1.

    Args:
        log_phi: logarithm of P(fails | active neurons in the end), [scores].
        deaths: of dying between neighbouring checkpoints, [T - 1] or, by active neurons,
            [T - 1, scores].
    """
    deaths = np.broadcast_to(deaths.reshape(len(deaths), -1), (len(deaths), len(log_phi)))
    log_h, log_g = _functions(log_phi, deaths)
    return FailureModel(log_h[None], log_g[None], deaths)


def death_probabilities(active: np.ndarray, weights: np.ndarray, most: int) -> np.ndarray:
    """Return q_j(a) = q_j psi(a), how probably each of a active neurons dies by checkpoint j + 1.

    In (0, 1), [T - 1, most + 1]. Both factors are fitted in turn to the deaths that are seen, by
    checkpoint and by active neurons: few neurons often live longer than many.

    Args:
        active: active neurons at the checkpoints, int [R, T].
        weights: of the runs, [R].
        most: largest number of active neurons.
    """
    before = active[:, :-1]
    died = weights[:, None] * np.maximum(before - active[:, 1:], 0)
    at_risk = weights[:, None] * before
    steps = np.broadcast_to(np.arange(before.shape[1]), before.shape)
    cells = (steps * (most + 1) + before).ravel()
    shape = before.shape[1], most + 1
    deaths = np.bincount(cells, died.ravel(), shape[0] * shape[1]).reshape(shape)
    risk = np.bincount(cells, at_risk.ravel(), shape[0] * shape[1]).reshape(shape)
    by_active, by_step = np.ones(shape[1]), np.ones(shape[0])
    for _ in range(_FITS):
        by_step = (deaths.sum(1) + 0.5) / (risk @ by_active + 1)
        by_active = (deaths.sum(0) + _PRIOR_DEATHS) / (by_step @ risk + _PRIOR_DEATHS)
    return np.clip(by_step[:, None] * by_active, 1e-9, _MOST_LIKELY)


def _functions(log_phi: np.ndarray, deaths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log h_j(a) and log g_j(a) of the checkpoints, [T, len(log_phi)] each.

    Args:
        log_phi: logarithm of P(fails | active neurons in the end).
        deaths: probabilities of dying between neighbouring checkpoints, [T - 1, len(log_phi)].
    """
    h, means, functions = log_phi, [log_phi], [log_phi]
    for j, chance in reversed(list(enumerate(deaths))):
        transition = _log_transition(chance)
        mean = np.minimum(scipy.special.logsumexp(transition + h, axis=1), 0.0)
        if j == len(deaths) - 1:
            # Nothing is resampled after it: what counts is whether a run fails.
            spread = mean + np.log1p(-np.exp(np.minimum(mean, -_RESAMPLING)))
        else:
            apart = np.abs(np.expm1(h - mean[:, None]))
            logs = np.log(np.maximum(apart, 1e-300))
            spread = scipy.special.logsumexp(transition + 2 * logs, axis=1) + 2 * mean
        functions.append(0.5 * np.logaddexp(spread, np.log(_RESAMPLING) + 2 * mean))
        means.append(mean)
        h = mean
    return np.stack(means[::-1]), np.stack(functions[::-1])


def _log_transition(chance: np.ndarray) -> np.ndarray:
    """Return log P(b active neurons left | a), [scores, scores], by the chance of each of a."""
    a, b = np.arange(len(chance))[:, None], np.arange(len(chance))
    return np.where(b <= a, scipy.stats.binom.logpmf(a - b, a, chance[:, None]), -np.inf)


def log_failure(
    active: np.ndarray, failed: np.ndarray, most: int, weights: np.ndarray
) -> np.ndarray:
    """Return the logarithm of P(fails | active neurons in the end), non-increasing, [most + 1].

    Beyond the last number with failures it goes on along the steepest line that the runs without
    failures permit, but falls by a factor of two at least.
    """
    runs = np.bincount(active, weights, most + 1)[: most + 1]
    failures = np.bincount(active, weights * failed, most + 1)[: most + 1]
    seen = np.flatnonzero(failures > 0)
    last = int(seen[-1]) if len(seen) else 0
    share = np.where(runs > 0, (failures + 0.5) / (runs + 1), np.nan)[: last + 1]
    share[0] = share[0] if runs[0] > 0 else 1.0
    known = np.flatnonzero(np.isfinite(share))
    logs = np.empty(most + 1)
    logs[: last + 1] = _decreasing(np.interp(np.arange(last + 1), known, np.log(share[known])))
    slopes = [_LEAST_SLOPE]
    if last:
        slopes.append((logs[last] - logs[0]) / last)
    beyond = np.arange(last + 1, most + 1)
    sampled = beyond[runs[beyond] > 0]
    slopes += list((np.log(0.5 / (runs[sampled] + 1)) - logs[last]) / (sampled - last))
    logs[last + 1 :] = logs[last] + min(slopes) * (beyond - last)
    return np.clip(logs, _LOWEST, 0.0)


def _decreasing(values: np.ndarray) -> np.ndarray:
    """Return the values, each at most the one before it."""
    return np.minimum.accumulate(values)
