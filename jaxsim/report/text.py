"""Numbers as a person would write them: no more digits than the sampling supports."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # words alone need no statistics: half a second of imports
    from jaxsim.estimation import Estimate

UNRESOLVED = "unresolved"
"""In place of an estimate that is less than what is unresolved."""
MOST_DRAWN = 100
"""Experiments in figures: of more, with a panel each, no image format holds them all."""


def decimals(half_width: float) -> int:
    """Return the decimals that show two digits of an interval's half width."""
    if not half_width > 0 or not math.isfinite(half_width):
        return 3
    return max(2, min(1 - math.floor(math.log10(half_width)), 12))


def probability(estimate: float, lower: float, upper: float) -> str:
    """Return "p (lower to upper)" with the digits that the interval supports.

    Example:
        >>> probability(0.3123456, 0.2841, 0.3417)
        '0.312 (0.284 to 0.342)'
        >>> probability(0.0, 0.0, 3.7e-7)
        '0 (0 to 3.7e-07)'
    """
    return "{} ({} to {})".format(*interval_text(estimate, lower, upper))


def interval_text(
    estimate: float, lower: float, upper: float, small: bool = False
) -> tuple[str, str, str]:
    """Return the texts of an estimate and of its interval's ends, which are rounded outward.

    Args:
        estimate: between the ends.
        lower: end.
        upper: end.
        small: whether numbers far below the width are shown as they are, and not as 0.

    Example:
        >>> interval_text(0.98, 0.97361, 0.99034)
        ('0.9800', '0.9736', '0.9904')
        >>> interval_text(-0.05, -0.1234, 0.0201)
        ('-0.050', '-0.124', '0.021')
        >>> interval_text(1.23e-12, 9.87e-13, 0.004, small=True)
        ('1.2e-12', '9.8e-13', '0.0040')
    """
    ends = _rounded(lower, 2, ROUND_FLOOR), _rounded(upper, 2, ROUND_CEILING)
    significant = f"{estimate:.2g}", f"{ends[0]:.2g}", f"{ends[1]:.2g}"
    if max(abs(lower), abs(upper)) < 1e-3:
        return significant
    d = min(decimals((upper - lower) / 2), 6)
    fixed = (
        _fixed(estimate, d),
        _fixed(_outward(lower, d, -1), d),
        _fixed(_outward(upper, d, 1), d),
    )
    if not small:
        return fixed
    values = zip((estimate, lower, upper), significant, fixed, strict=True)
    first, second, third = (s if 0 < abs(v) < 10.0 ** (1 - d) else f for v, s, f in values)
    return first, second, third


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


def _outward(value: float, d: int, side: int) -> float:
    """Round to d decimals, down (side = -1) or up (side = 1); a hair inside, 0.25 stays 0.25."""
    if not math.isfinite(value):
        return value
    scaled = value * 10.0**d
    hair = 1e-9 * max(abs(scaled), 1e-3)
    return (math.ceil(scaled - hair) if side > 0 else math.floor(scaled + hair)) / 10.0**d


def lower_text(value: float) -> str:
    """Return a lower bound with three digits, rounded down.

    Example:
        >>> lower_text(0.26171875), lower_text(0.0), lower_text(1.0), lower_text(8.9996e-308)
        ('0.261', '0', '1', '8.99e-308')
    """
    if value <= 0 or value >= 1:
        return "0" if value <= 0 else "1"
    return f"{_rounded(value, 3, ROUND_FLOOR):.3g}"


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
    return f"{_rounded(value, digits, ROUND_FLOOR):.{digits}g}"


def up(value: float, digits: int = 6) -> str:
    """Return an upper bound with some significant digits, rounded up."""
    return f"{_rounded(value, digits, ROUND_CEILING):.{digits}g}"


def number(value: float) -> str:
    """Return a number that the user chose, with the digits it has.

    Example:
        >>> number(0.05), number(0.123456789), number(1e-05)
        ('0.05', '0.123456789', '1e-05')
    """
    return f"{value:.12g}"


def _rounded(value: float, digits: int, rounding: str) -> float:
    """Round to significant digits in a direction; 0.25, stored a hair off, stays 0.25."""
    if value == 0 or not math.isfinite(value):
        return value
    value = float(value)
    near = float(f"{value:.12g}")
    if abs(near - value) <= 1e-12 * abs(value):
        value = near
    return float(Context(prec=digits, rounding=rounding).create_decimal(Decimal(repr(value))))


def _fixed(value: float, d: int) -> str:
    return str(int(value)) if value in (0.0, 1.0) else f"{value:.{d}f}"


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
