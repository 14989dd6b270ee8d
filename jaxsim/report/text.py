"""Numbers as a person would write them: no more digits than the sampling supports."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR
from typing import TYPE_CHECKING

from jaxsim.digits import interval_text, rounded

if TYPE_CHECKING:  # words alone need no statistics: half a second of imports
    from jaxsim.estimation import Estimate

UNRESOLVED = "unresolved"
"""In place of an estimate that is less than what is unresolved."""
MOST_DRAWN = 100
"""Experiments in figures: of more, with a panel each, no image format holds them all."""


def estimate_text(one: Estimate) -> tuple[str, str, str]:
    """Return the texts of an estimate and its interval; "0.62-0.71" if runs are undecided.

    Where more is unresolved than known the estimate is no answer, and is not shown as one.
    """
    most = one.estimate_upper if one.undecided else one.estimate
    small = one.design != "plain"
    return value_text(one.estimate, most, one.lower, one.upper, small, one.open)


def value_text(
    estimate: float, most: float, lower: float, upper: float, small: bool, unresolved: bool
) -> tuple[str, str, str]:
    """Return the texts of a probability and of the ends of what holds it.

    Args:
        estimate: if all undecided runs succeed.
        most: if all of them fail.
        lower: end.
        upper: end.
        small: whether numbers far below the width are shown as they are, and not as 0.
        unresolved: whether more is unresolved than known, so that the estimate is no answer.

    Example:
        >>> value_text(0.62, 0.71, 0.6, 0.75, False, False)
        ('0.620-0.710', '0.600', '0.750')
    """
    middle, low, high = interval_text(estimate, lower, upper, small)
    if most > estimate:
        middle += f"-{interval_text(most, lower, upper, small)[0]}"
    return UNRESOLVED if unresolved else middle, low, high


def restarts_text(one: Estimate) -> str:
    """Return how many runs are enough, with the range that belongs to the interval.

    Example: "5 runs (4 to 7)", "no number known (at least 300)".
    """
    low, high = one.restarts_lower, one.restarts_upper
    count = "no number known" if one.restarts is None else counted(one.restarts, "run")
    if low is None:
        return count
    return f"{count} ({f'at least {low:,}' if high is None else f'{low:,} to {high:,}'})"


def lower_text(value: float) -> str:
    """Return a lower bound with three digits, rounded down.

    Example:
        >>> lower_text(0.26171875), lower_text(0.0), lower_text(1.0), lower_text(8.9996e-308)
        ('0.261', '0', '1', '8.99e-308')
    """
    if value <= 0 or value >= 1:
        return "0" if value <= 0 else "1"
    return f"{rounded(value, 3, ROUND_FLOOR):.3g}"


def optimum_text(lower: float, upper: float) -> str:
    """Return the bracket of the optimal risk, six digits, rounded outward.

    Example:
        >>> optimum_text(0.0010973949, 0.00109739509), optimum_text(0.25, 0.25 + 1e-16)
        ('[0.00109739, 0.0010974]', '0.25')
    """
    ends = down(lower), up(upper)
    if upper == lower or ends[0] == ends[1]:
        return f"{lower:.6g}"
    return f"[{ends[0]}, {ends[1]}]"


def down(value: float, digits: int = 6) -> str:
    """Return a lower bound with some significant digits, rounded down.

    Example:
        >>> down(0.0010973949), up(0.0010973949), down(0.25), down(2 / 3, 3)
        ('0.00109739', '0.0010974', '0.25', '0.666')
    """
    return f"{rounded(value, digits, ROUND_FLOOR):.{digits}g}"


def up(value: float, digits: int = 6) -> str:
    """Return an upper bound with some significant digits, rounded up."""
    return f"{rounded(value, digits, ROUND_CEILING):.{digits}g}"


def number(value: float) -> str:
    """Return a number that the user chose, with the digits it has.

    Example:
        >>> number(0.05), number(0.123456789), number(1e-05)
        ('0.05', '0.123456789', '1e-05')
    """
    return f"{value:.12g}"


def duration(seconds: float) -> str:
    """Return a time span in the units a person would choose.

    Example:
        >>> duration(42.3), duration(600), duration(7500)
        ('42 s', '10 min', '2 h 5 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60:,} h {minutes % 60} min"


def size(number: float) -> str:
    """Return a number of bytes in binary units.

    Example:
        >>> size(2048), size(3 * 2**30)
        ('2.0 KiB', '3.0 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "step"), counted(2000, "step")
        ('1 step', '2,000 steps')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def joined(words: list[str]) -> str:
    """Return words joined as in a sentence.

    Example:
        >>> joined(["sgd", "adam", "nadam"])
        'sgd, adam and nadam'
        >>> joined(["sgd, 0.1", "sgd, 0.2"])
        'sgd, 0.1; sgd, 0.2'
    """
    if any("," in word or " and " in word for word in words):
        return "; ".join(words)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
