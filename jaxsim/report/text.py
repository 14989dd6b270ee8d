"""Numbers as a person would write them: no more digits than the sampling supports."""

from __future__ import annotations

import math


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


def interval_text(estimate: float, lower: float, upper: float) -> tuple[str, str, str]:
    """Return the texts of an estimate and of its interval's ends, which are rounded outward.

    Example:
        >>> interval_text(0.98, 0.97361, 0.99034)
        ('0.9800', '0.9736', '0.9904')
        >>> interval_text(-0.05, -0.1234, 0.0201)
        ('-0.050', '-0.124', '0.021')
    """
    if max(abs(lower), abs(upper)) < 1e-3:
        return f"{estimate:.2g}", _significant(lower, -1), _significant(upper, 1)
    d = min(decimals((upper - lower) / 2), 6)
    return _fixed(estimate, d), _fixed(_outward(lower, d, -1), d), _fixed(_outward(upper, d, 1), d)


def _outward(value: float, d: int, side: int) -> float:
    """Round to d decimals, down (side = -1) or up (side = 1); a hair inside, 0.25 stays 0.25."""
    if not math.isfinite(value):
        return value
    scaled = value * 10.0**d
    hair = 1e-9 * max(abs(scaled), 1e-3)
    return (math.ceil(scaled - hair) if side > 0 else math.floor(scaled + hair)) / 10.0**d


def _significant(value: float, side: int) -> str:
    """Return two significant digits, rounded down (side = -1) or up (side = 1)."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.2g}"
    return f"{_outward(value, 1 - math.floor(math.log10(abs(value))), side):.2g}"


def lower_text(value: float) -> str:
    """Return a lower bound with three digits, rounded down.

    Example:
        >>> lower_text(0.26171875), lower_text(0.0), lower_text(1.0)
        ('0.261', '0', '1')
    """
    if value <= 0 or value >= 1:
        return "0" if value <= 0 else "1"
    # A hair above, so that 0.25 is not cut to 0.249; far less than the third digit.
    scale = 10.0 ** (2 - math.floor(math.log10(value)))
    return f"{math.floor(value * scale * (1 + 1e-12)) / scale:.3g}"


def optimum_text(lower: float, upper: float) -> str:
    """Return the bracket of the optimal risk."""
    return f"{lower:.6g}" if upper == lower else f"[{lower:.6g}, {upper:.6g}]"


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


def joined(words: list[str]) -> str:
    """Return words joined as in a sentence.

    Example:
        >>> joined(["sgd", "adam", "nadam"])
        'sgd, adam and nadam'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
