"""The best multipliers of some paths: a maximum of the least of concave quadratic functions.

A region's bound is the least sum over its paths, of which some are known: the maximum over
multipliers z of

    min over known paths p of q_p(z) = C_p + 2 g_p . z - z . H_p z

is above the best bound of the region, and where it is attained is the next place to look (Kelley's
method of cutting planes, with parabolas in place of planes). By duality it is the least over
weights of paths of the maximum of the weighted sum, which has a closed form. Two paths of large
weight show where the region should be split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxsim.optimum.line.path_program import Path

_STEPS = 40
_CLOSE = 5e-3
_RIDGE = 1e-13


class Best(NamedTuple):
    """The best multipliers for some paths.

    Attributes:
        z: multipliers of knots, and of the slopes [N + 1].
        top: the least q there is at most this.
        weights: of the paths.
    """

    z: np.ndarray
    top: float
    weights: np.ndarray


def best_of_slopes(paths: Sequence[Path]) -> Best:
    """Return the best multiplier of the slopes alone."""
    size = len(paths[0].linear)
    z, weights = np.zeros(size), np.zeros(len(paths))
    constant = np.array([p.constant for p in paths])
    linear = np.array([p.linear[-1] for p in paths])
    square = np.array([p.square[-1, -1] for p in paths])
    loose = [i for i, p in enumerate(paths) if p.loose]
    if loose:
        weights[loose[-1]] += 0.5
        weights[constant.argmin()] += 0.5
        return Best(z, float(constant.min()), weights)
    # The maximum is a vertex, or where two parabolas meet.
    with np.errstate(all="ignore"):
        a = square[:, None] - square
        b = linear[:, None] - linear
        c = constant[:, None] - constant
        root = np.sqrt(b**2 + a * c)
        far = b + np.where(b < 0, -root, root)
        candidates = np.concatenate([[0.0], linear / square, (far / a).ravel(), (-c / far).ravel()])
    candidates = candidates[np.isfinite(candidates)]
    values = constant[:, None] + 2 * linear[:, None] * candidates - square[:, None] * candidates**2
    best = int(values.min(0).argmax())
    z[-1] = candidates[best]
    value = values[:, best]
    rises = linear - square * z[-1] > 0
    order = np.argsort(value, kind="stable")
    lowest = order[0]
    other = next((i for i in order if rises[i] != rises[lowest]), lowest)
    weights[lowest] += 0.5
    weights[other if value[other] - value[lowest] <= 1e-6 * abs(value[lowest]) else lowest] += 0.5
    return Best(z, float(value[lowest]), weights)


def best_of_all(paths: Sequence[Path]) -> Best:
    """Return about the best multipliers, by multiplicative changes of the paths' weights."""
    size = len(paths[0].linear)
    basis = _basis(paths, size)
    constant = np.array([p.constant for p in paths])
    weights = np.full(len(paths), 1 / len(paths))
    best = Best(np.zeros(size), float(constant.min()), weights)
    if not basis.shape[1]:
        return best
    linear = np.stack([p.linear @ basis for p in paths])
    square = np.stack([basis.T @ p.square @ basis for p in paths])
    top, least, rate = np.inf, -np.inf, 1.0
    for step in range(1, _STEPS + 1):
        together = np.tensordot(weights, square, 1)
        together += np.eye(basis.shape[1]) * (_RIDGE * np.trace(together) + 1e-300)
        right = weights @ linear
        y = np.linalg.solve(together, right)
        values = constant + 2 * linear @ y - np.einsum("i,pij,j->p", y, square, y)
        top = min(top, float(constant @ weights + right @ y))
        if values.min() > least:
            least = float(values.min())
            best = Best(basis @ y, top, weights)
        if len(paths) == 1 or top - least <= _CLOSE * abs(top):
            break
        weights = weights * np.exp(-rate * (values - values.min()) / np.ptp(values))
        weights = weights / weights.sum()
        if step % 10 == 0:
            rate *= 0.7
    return best._replace(top=top)


def _basis(paths: Sequence[Path], size: int) -> np.ndarray:
    """Return zeros and ones [N + 1, n] whose columns are multipliers that change together."""
    group = list(range(size))
    for one, other in (pair for path in paths for pair in path.tied):
        old, new = group[other], group[one]
        group = [new if g == old else g for g in group]
    weak = {group[i] for path in paths for i in path.weak}
    kept = [g for g in dict.fromkeys(group) if g not in weak]
    return (np.array(group)[:, None] == np.array(kept, int)).astype(float)
