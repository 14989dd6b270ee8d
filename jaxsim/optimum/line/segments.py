"""The least squares of every run of neighbouring masses, without cancellation.

Appending a mass to a run needs additions of numbers that are not negative only (Chan, Golub and
LeVeque 1983, "Algorithms for computing the sample variance", for lines in place of means):

    c += c' + S S' / (S + S') (b - b')^2,   b = (S b + S' b') / (S + S'),   S += S'
    dx = x' - x,  g = w w' / (w + w'),  e = f' - f - b dx
    c += g e^2 S / (S + g dx^2),   S += g dx^2,   b += g dx e / S
    x += w' / (w + w') dx,   f += w' / (w + w') (f' - f),   w += w'

Prefix sums of moments would lose all digits of short runs. With several outputs the costs add.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxsim.optimum.line.masses import Masses


@dataclass(frozen=True)
class Segments:
    """Moments of the masses s, ..., e - 1 for all s <= e.

    Attributes:
        cost: of the best lines, all outputs together [n + 1, n + 1]; 0 for e <= s.
        weight: [n + 1, n + 1], as the following ones; empty unless asked for.
        x: means.
        spread: S.
        f: means of the target, of the first output.
        slope: b, of the first output.
    """

    cost: np.ndarray
    weight: np.ndarray
    x: np.ndarray
    spread: np.ndarray
    f: np.ndarray
    slope: np.ndarray


def segment_costs(masses: Masses) -> np.ndarray:
    """Return the costs of the best lines of all runs [n + 1, n + 1]; 0 for empty ones."""
    return np.sum([_one_output(masses, o, False).cost for o in range(masses.f.shape[1])], axis=0)


def segments(masses: Masses) -> Segments:
    """Return all moments of all runs of a problem with one output."""
    assert masses.f.shape[1] == 1
    return _one_output(masses, 0, True)


def _one_output(masses: Masses, output: int, everything: bool) -> Segments:
    n = len(masses.weight)
    cost = np.zeros((n + 1, n + 1))
    kept = [np.zeros((n + 1, n + 1)) for _ in range(5)] if everything else [np.zeros((0, 0))] * 5
    w, x, spread, f, b, c = (np.zeros(n) for _ in range(6))
    for j in range(n):
        state = (
            masses.weight[j], masses.x[j], masses.spread[j],
            masses.f[j, output], masses.slope[j, output], masses.cost[j, output],
        )  # fmt: skip
        part = slice(0, j)
        w[part], x[part], spread[part], f[part], b[part], c[part] = appended(
            (w[part], x[part], spread[part], f[part], b[part], c[part]), state
        )
        w[j], x[j], spread[j], f[j], b[j], c[j] = state
        cost[: j + 1, j + 1] = c[: j + 1]
        if everything:
            for matrix, row in zip(kept, (w, x, spread, f, b), strict=True):
                matrix[: j + 1, j + 1] = row[: j + 1]
    assert np.isfinite(cost).all()
    return Segments(cost, *kept)


def appended(one: tuple, other: tuple) -> tuple:
    """Return the moments (w, x, S, f, b, c) of two runs together."""
    w, x, spread, f, b, c = one
    w2, x2, spread2, f2, b2, c2 = other
    both = spread + spread2
    safe = np.where(both > 0, both, 1.0)
    c = c + c2 + spread * spread2 / safe * (b - b2) ** 2
    b = (spread * b + spread2 * b2) / safe
    dx, total = x2 - x, w + w2
    share = w2 / np.where(total > 0, total, 1.0)
    df, e = f2 - f, f2 - f - b * dx
    gain = w * share * dx**2
    spread = both + gain
    safe = np.where(spread > 0, spread, 1.0)
    c = c + w * share * e**2 * np.where(spread > 0, both / safe, 1.0)
    b = b + w * share * dx * e / safe
    return total, x + share * dx, spread, f + share * df, b, c
