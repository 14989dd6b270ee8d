"""How large what a study asks for may be, checked before anything of that size is allocated."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from jaxsim.errors import InputError
from jaxsim.problem.problem import Problem
from jaxsim.problem.support import Box
from jaxsim.problem.targets import LabelTarget

LARGEST = 2**28
"""Numbers of one member or one table: 2 GiB in float64."""
MOST_SHARDS = 1_000_000
"""Files of one experiment."""


def require_parameters(hidden: Sequence[int], inputs: int, outputs: int, key: str) -> None:
    """Check the number of parameters of a fully-connected network.

    Raises:
        InputError: if there are too many.
    """
    widths = [inputs, *hidden, outputs]
    count = sum((a + 1) * b for a, b in itertools.pairwise(widths))
    require_count(count, "parameters", f"{key} = {list(hidden)}")


def require_count(count: int, what: str, said: str) -> None:
    """Check a number of numbers.

    Raises:
        InputError: if it is too large.
    """
    if count > LARGEST:
        raise InputError(f"{said} gives {count:,} {what}; accepted: up to {LARGEST:,}")


def require_samples(
    batch: int, size: int | None, inputs: int, hidden: Sequence[int], outputs: int
) -> None:
    """Check what a mini-batch and a training set of one member hold.

    Raises:
        InputError: if it is too much.
    """
    units = inputs + sum(hidden) + outputs
    require_count(batch * units, "numbers a step", f"training.batch_size = {batch}")
    if size is not None:
        require_count(
            size * (inputs + outputs), "numbers a replicate", f"training.set.size = {size}"
        )


def require_points(points: int, replicates: int, dimension: int) -> None:
    """Check the number of points of quasi-Monte Carlo risks.

    Raises:
        InputError: if there are too many.
    """
    rounded = 1 << (points - 1).bit_length()
    require_count(
        rounded * replicates * dimension,
        "numbers",
        f"problem.risk.points = {points} with {replicates} replicates in {dimension} dimensions",
    )


def require_range(problem: Problem, precision: str) -> None:
    """Check that the precision of the training holds the inputs and the labels of data.

    Raises:
        InputError: if it would make some of them infinite.
    """
    largest = float(np.finfo(precision).max)
    sets = {}
    if problem.law.finite is not None:
        sets["inputs"] = problem.law.finite[0]
    elif isinstance(problem.law.support, Box):
        sets["inputs"] = np.array([problem.law.support.low, problem.law.support.high])
    if isinstance(problem.target, LabelTarget) and problem.target.classes is None:
        sets["labels"] = problem.target.labels
    for what, values in sets.items():
        size = float(np.abs(values).max(initial=0.0))
        if size > largest:
            raise InputError(
                f"problem: {what} as large as {size:.4g} are infinite in {precision}; accepted: "
                f"up to {largest:.3g}, by scaling, or precision = 'float64'"
            )
