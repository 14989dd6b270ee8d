"""Targets f of Y = f(X) + noise: formulas, functions of your own, labels.

A teacher network is one too (`jaxsim.risk.teacher`): whatever satisfies `Target` is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.errors import InputError
from jaxsim.problem.expression import Expression
from jaxsim.problem.piecewise import Pieces, analyze

UNKNOWN = Pieces((), None, False, None)
"""The pieces of a function of which nothing is known."""


class Target(Protocol):
    """What every target offers."""

    @property
    def outputs(self) -> int:
        """Outputs of y, or the number of classes."""
        ...

    def __call__(self, x: Array) -> Array:
        """Return y [batch, outputs] at x [batch, d], in the dtype of x."""
        ...

    def pieces(self, low: float, high: float) -> Pieces:
        """Return what is known of where on [low, high] a target of one variable is smooth."""
        ...


@dataclass(frozen=True)
class ExpressionTarget:
    """The target that formulas describe.

    Attributes:
        expression: of as many variables as the input has.
    """

    expression: Expression

    @property
    def outputs(self) -> int:
        """Outputs of y."""
        return self.expression.outputs

    def __call__(self, x: Array) -> Array:
        """Return y [batch, outputs] at x [batch, d], in the dtype of x."""
        return self.expression(x)

    def pieces(self, low: float, high: float) -> Pieces:
        """Return where on [low, high] the target of a single variable is smooth."""
        return _analyzed(self.expression, low, high)


@lru_cache(maxsize=64)
def _analyzed(expression: Expression, low: float, high: float) -> Pieces:
    return analyze(expression, low, high)


@dataclass(frozen=True)
class FunctionTarget:
    """A target of your own: a pure JAX function x [batch, d] -> y [batch, outputs] or [batch].

    Attributes:
        function: as described.
        outputs: of y; [batch] is accepted for one output.
    """

    function: Callable[..., Any]
    outputs: int = 1

    def __post_init__(self) -> None:
        """Check the number of outputs."""
        if self.outputs < 1:
            raise InputError(f"outputs = {self.outputs} is not accepted: it should be >= 1")

    def __call__(self, x: Array) -> Array:
        """Return y [batch, outputs] at x [batch, d], in the dtype of x.

        Raises:
            InputError: if the function returns another shape.
        """
        y = jnp.asarray(self.function(x))
        if self.outputs == 1 and y.shape == x.shape[:1]:
            y = y[:, None]
        wanted = (x.shape[0], self.outputs)
        if y.shape != wanted:
            raise InputError(
                f"problem.target.function maps inputs of shape {x.shape} to {y.shape}; accepted: "
                f"{wanted}"
            )
        return y.astype(x.dtype)

    def pieces(self, low: float, high: float) -> Pieces:
        """Return that nothing is known of where it is smooth."""
        return UNKNOWN


@dataclass(frozen=True, eq=False)
class LabelTarget:
    """Labels of the points of an input law with finitely many points.

    Attributes:
        labels: floats [n, outputs], or classes 0, 1, ... as integers [n].
        classes: number of classes; None for values.

    Raises:
        InputError: for labels of another shape or outside the classes.
    """

    labels: np.ndarray
    classes: int | None = None

    def __post_init__(self) -> None:
        """Check shape and range; values become float64."""
        labels = np.asarray(self.labels)
        if self.classes is None:
            labels = labels.astype(np.float64)
            labels = labels[:, None] if labels.ndim == 1 else labels
            if labels.ndim != 2 or not np.isfinite(labels).all():
                raise InputError("labels should be finite numbers of shape [n, outputs]")
        else:
            inside = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)
            if not inside or not ((labels >= 0) & (labels < self.classes)).all():
                raise InputError(f"labels should be integers [n] from 0 to {self.classes - 1}")
            labels = labels.astype(np.int32)
        object.__setattr__(self, "labels", labels)

    @property
    def outputs(self) -> int:
        """Outputs of y, or the number of classes."""
        return self.labels.shape[1] if self.classes is None else self.classes

    def at(self, index: Array) -> Array:
        """Return the labels of the points with indices [batch]."""
        return jnp.asarray(self.labels)[index]

    def __call__(self, x: Array) -> Array:
        """Refuse: labels belong to points, not to arbitrary inputs.

        Raises:
            InputError: always.
        """
        raise InputError("labels are known at the given points only, not at arbitrary inputs")

    def pieces(self, low: float, high: float) -> Pieces:
        """Return that nothing is known between the points."""
        return UNKNOWN
