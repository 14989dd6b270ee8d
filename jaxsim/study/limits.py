"""How large what a study asks for may be, checked before anything of that size is allocated."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from jaxsim.errors import InputError

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
