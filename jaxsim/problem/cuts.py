"""Functions on an interval by their polynomials between edges."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jaxsim.problem.polynomials import (
    Polynomial,
)

MOST_PIECES = 512
"""Pieces that are looked for; a function with more counts as incompletely known."""
_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Cut:
    """A function that is polynomials[i] from edges[i] to edges[i + 1]; None if it is none."""

    edges: tuple[float, ...]
    polynomials: tuple[Polynomial | None, ...]
    complete: bool = True


def common(cuts: list[Cut]) -> list[Cut]:
    """Return the same functions on common pieces; too many pieces become one unknown one."""
    ends = cuts[0].edges[0], cuts[0].edges[-1]
    inner = distinct(sorted(t for cut in cuts for t in cut.edges[1:-1]), *ends)
    if len(inner) >= MOST_PIECES:
        return [Cut(ends, (None,), False) for _ in cuts]
    edges = (ends[0], *inner, ends[1])
    middles = [(s + t) / 2 for s, t in pairwise(edges)]
    return [
        Cut(edges, tuple(c.polynomials[_place(c.edges, m)] for m in middles), c.complete)
        for c in cuts
    ]


def _place(edges: tuple[float, ...], x: float) -> int:
    return min(max(bisect_left(edges, x) - 1, 0), len(edges) - 2)


def with_edges(cut: Cut, other: Cut) -> Cut:
    """Return a function cut at another one's edges, too."""
    mine, theirs = common([cut, other])
    return Cut(mine.edges, mine.polynomials, mine.complete and theirs.complete)


def merge_equal(cut: Cut) -> Cut:
    """Return a function without edges between equal polynomials."""
    edges, polynomials = [cut.edges[0]], []
    for high, piece in zip(cut.edges[1:], cut.polynomials, strict=True):
        if polynomials and piece is not None and piece == polynomials[-1]:
            edges[-1] = high
        else:
            edges.append(high)
            polynomials.append(piece)
    return Cut(tuple(edges), tuple(polynomials), cut.complete)


def distinct(points: list[float], low: float, high: float) -> tuple[float, ...]:
    """Return sorted points inside (low, high) that differ by more than rounding."""
    kept: list[float] = []
    for point in points:
        left = kept[-1] if kept else low
        least = 4 * _EPS * abs(point)
        if point - left > least and high - point > least:
            kept.append(float(point) + 0.0)  # no -0.0
    return tuple(kept)
