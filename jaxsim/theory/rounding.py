"""What rounding in training can do to the event that a neuron is inactive.

The pre-activation w.x + b is computed in the training precision, from weights, biases and inputs
that were rounded to it, in any order of summation. At every x it is wrong by at most

    relative (sum_j |w_j x_j| + |b|) + absolute,     relative = (d + 4 + draws) eps,

half of which is rounding in training and the rest covers its own evaluation here (Higham 2002,
section 3.1); `absolute` covers results too small to be represented. A probability is provable for a
training only as that of the event with this margin,

    b + w.x + relative (sum_j |w_j x_j| + |b|) + absolute <= c   for all x,

or where no rounding matters: a sum of terms none of which is positive is not positive in any
arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxsim import runtime
from jaxsim.problem.support import Box, Points, Support


@dataclass(frozen=True)
class Rounding:
    """The margin of a pre-activation in training.

    Attributes:
        relative: error of w.x + b in units of sum_j |w_j x_j| + |b|.
        absolute: error of results near the smallest number of the precision.
        unit: relative error of a breakpoint of the activation.
        representable: False if some inputs are so small that they are rounded to 0, for which the
            relative margin says nothing.
        whole: whether the largest margin on the support holds at every point of it, and not each
            point's own.
    """

    relative: float = 0.0
    absolute: float = 0.0
    unit: float = 0.0
    representable: bool = True
    whole: bool = False

    @property
    def exact(self) -> bool:
        """Whether this is the arithmetic of real numbers."""
        return self.relative == 0

    def end(self, c: float) -> float:
        """Return a number that c is certainly not below, after rounding c."""
        return c if c == 0 or self.exact or np.isinf(c) else c - self.unit * abs(c) - self.absolute

    def largest(self, value: float) -> float:
        """Return a bound of a computed value."""
        return value + self.relative * abs(value)

    def supremum(self, terms: np.ndarray) -> np.ndarray:
        """Return sup of w_j x_j with its margin, from its values at the ends of x_j, [2, ...]."""
        sizes = np.abs(terms)
        return (terms + self.relative * (sizes.max(0) if self.whole else sizes)).max(0)


EXACT = Rounding()


def training_rounding(support: Support, precision: str) -> Rounding:
    """Return the margin of first-layer pre-activations on a support.

    Args:
        support: of the input law.
        precision: of the training, "float32" or "float64".

    Example:
        >>> support = Box((-1.0,), (1.0,))
        >>> training_rounding(support, "float32").relative / 2**-23
        5.5
    """
    dtype = jnp.dtype(precision)
    unit = runtime.product_precision(dtype)
    tiny = float(jnp.finfo(dtype).tiny)
    d = support.dimension
    extent = np.asarray(support.extent(), float)
    ends = np.zeros(0)
    if isinstance(support, Box):
        ends = np.abs([support.low, support.high])
    elif isinstance(support, Points):
        ends = np.abs(support.points)
    return Rounding(
        relative=(d + 4 + support.draw_units) * unit,
        absolute=tiny * (d + 2 + float(extent[np.isfinite(extent)].sum())),
        unit=unit,
        representable=not bool(((ends > 0) & (ends < tiny)).any()),
    )
