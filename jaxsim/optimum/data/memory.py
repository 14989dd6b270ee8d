"""Results of finished searches that depend on the points only, not on the network's widths.

All networks of a hierarchy, and of a grid over widths, share them; they live as long as the
problem.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar
from weakref import WeakKeyDictionary

from jaxsim.problem.problem import Problem

T = TypeVar("T")

_FOUND: WeakKeyDictionary[Problem, dict[Hashable, object]] = WeakKeyDictionary()


def remembered(
    problem: Problem, key: Hashable, search: Callable[[], tuple[T, bool]]
) -> tuple[T, bool]:
    """Return (result, whether the search is over), searching only what was not finished before.

    Args:
        problem: whose points the result depends on.
        key: of the result among those of the problem.
        search: returns the same.
    """
    kept = _FOUND.setdefault(problem, {})
    if key not in kept:
        value, over = search()
        if not over:
            return value, False
        kept[key] = value
    return kept[key], True  # pyright: ignore[reportReturnType]  # what was kept under this key
