"""Laws of a single input variable, as the rules for one dimension want them."""

from __future__ import annotations

import numpy as np
from jax.scipy.stats import norm

from jaxsim.problem.input_laws import InputLaw
from jaxsim.risk.integral import Line

NORMAL_REACH = 13.0
"""Standard deviations beyond which a normal input is ignored: a mass of 1e-38."""


def line_of(law: InputLaw) -> Line | None:
    """Return the law of a single input with a density, None for other laws."""
    if law.density_1d is None:
        return None
    kind, first, second = law.density_1d
    if kind == "uniform":
        return Line(first, second, None, ())
    mean, std = first, second
    units = np.arange(-NORMAL_REACH, NORMAL_REACH + 0.5)
    edges = tuple(float(mean + std * k) for k in units)
    return Line(edges[0], edges[-1], lambda x: norm.pdf(x, mean, std), edges[1:-1])
