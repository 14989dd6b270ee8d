"""Which rows of a data set are held out: a share of them, or a file of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from jaxsim.errors import InputError
from jaxsim.registry import check_parameters

MOST_CLASSES = 50
"""Whole numbers with at most so many different values are classes unless the task is stated."""


@dataclass(frozen=True)
class Share:
    """A share of the rows that is held out, the same for equal seeds.

    Attributes:
        fraction: of the rows, rounded to whole ones.
        seed: of the choice.
        stratified: whether each class has its share of them.
    """

    fraction: float
    seed: int = 0
    stratified: bool = False


def _share(
    fraction: float,
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0,
    stratified: bool = False,
) -> Share:
    """Return a share of the rows."""
    if not 0 < fraction < 1:
        raise InputError(f"fraction = {fraction} is not accepted: it should be between 0 and 1")
    return Share(fraction, seed, stratified)


def _own_rows(path: str) -> Path:
    """Return a file whose rows are held out."""
    return Path(path)


Held = Share | Path


def held_rows(table: dict[str, Any], key: str, base: Path | None) -> Held:
    """Return what is held out.

    Raises:
        InputError: for a table that says something else.
    """
    factory = _own_rows if "path" in table else _share
    checked = check_parameters(factory, table, key, "path" if "path" in table else "fraction")
    try:
        value = factory(**checked)
    except InputError as error:
        raise error.at(key) from None
    return base / value if isinstance(value, Path) and base is not None else value


def appended_rows(name: str, first: str, y: np.ndarray, more: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the rows of a second file after those of the first.

    Raises:
        InputError: if there are none, or their labels are of another kind.
    """
    if not count:
        raise InputError(f"test: {name} has no rows; accepted: at least one")
    if (y.dtype.kind == "U") != (more.dtype.kind == "U") or y.shape[1:] != more.shape[1:]:
        raise InputError(f"test: the labels of {name} are of another kind than those of {first}")
    return np.arange(len(y), len(y) + count)


Rows = tuple[str, np.ndarray, np.ndarray]


def repeated_rows(trained: Rows, held: Rows) -> list[str]:
    """Return a sentence if most rows of a second file are rows of the first.

    Args:
        trained: name of the file, inputs [n, d] and labels [n].
        held: the same of the second one.
    """
    (name, x, y), (own, more_x, more_y) = trained, held
    seen = {(row.tobytes(), str(label)) for row, label in zip(x, y, strict=False)}
    again = [(row.tobytes(), str(label)) for row, label in zip(more_x, more_y, strict=False)]
    count = sum(row in seen for row in again)
    if 2 * count <= len(again):
        return []
    return [
        f"{count:,} of the {len(again):,} rows of {own} are rows of {name}, too: trainings see them"
    ]


def chosen_rows(
    name: str, y: np.ndarray, held: Share | None, task: str = "auto"
) -> np.ndarray | None:
    """Return which rows are held out, ascending.

    Of a stratified share every class keeps a row for training, where there are enough of them.

    Args:
        name: of the data set.
        y: labels of all rows.
        held: what is held out.
        task: "classes" or "regression"; "auto" looks at the labels.

    Raises:
        InputError: if these are none or all, or if there are no classes to stratify by.
    """
    if held is None:
        return None
    # Raw bits of PCG64, whose stream NumPy keeps, so that a seed means the same rows for ever.
    order = np.argsort(np.random.PCG64(held.seed).random_raw(len(y)), kind="stable")
    count = math.floor(held.fraction * len(y) + 0.5)
    if not 0 < count < len(y):
        raise InputError(
            f"test.fraction = {held.fraction} of the {len(y):,} rows of {name} leaves "
            f"{'no row for the test' if not count else 'no row for training'}; accepted: a "
            "fraction that leaves rows for both"
        )
    if not held.stratified:
        return np.sort(order[:count])
    if task == "regression" or (task == "auto" and not looks_like_classes(y)) or y.ndim != 1:
        raise InputError(
            f"test.stratified = true is not accepted for {name}, whose labels are no classes"
        )
    labels, sizes = np.unique(y, return_inverse=True, return_counts=True)[1:]
    # Largest remainders: whole rows of each class, together as many as asked for.
    shares = count * sizes / len(y)
    each = np.floor(shares).astype(int)
    while each.sum() < count:
        spare = each < sizes - 1 if (each < sizes - 1).any() else each < sizes
        each[np.argmax(np.where(spare, shares - each, -np.inf))] += 1
    rank = np.empty(len(y), int)
    for label in range(len(sizes)):
        mine = order[labels[order] == label]
        rank[mine] = np.arange(len(mine))
    return np.flatnonzero(rank < each[labels])


def looks_like_classes(y: np.ndarray) -> bool:
    """Return whether labels are texts, truth values, or whole numbers with few different values."""
    if y.ndim != 1:
        return False
    if y.dtype.kind in "Ub":
        return True
    return bool((y == np.round(y)).all()) and len(np.unique(y)) <= min(MOST_CLASSES, len(y) - 1)
