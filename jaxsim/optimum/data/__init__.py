"""Bounds of inf L for data sets and finitely many weighted points, and for linear models."""

from jaxsim.optimum.data.interpolation import Interpolation
from jaxsim.optimum.data.linear import LinearModel
from jaxsim.optimum.data.margin import Margin
from jaxsim.optimum.data.separable import Separable

__all__ = ["Interpolation", "LinearModel", "Margin", "Separable"]
