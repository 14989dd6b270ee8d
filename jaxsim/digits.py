"""Estimates with as many digits as their intervals support, ends rounded outward."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal


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
    ends = rounded(lower, 2, ROUND_FLOOR), rounded(upper, 2, ROUND_CEILING)
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


def _outward(value: float, d: int, side: int) -> float:
    """Round to d decimals, down (side = -1) or up (side = 1); a hair inside, 0.25 stays 0.25."""
    if not math.isfinite(value):
        return value
    scaled = value * 10.0**d
    hair = 1e-9 * max(abs(scaled), 1e-3)
    return (math.ceil(scaled - hair) if side > 0 else math.floor(scaled + hair)) / 10.0**d


def rounded(value: float, digits: int, rounding: str) -> float:
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
