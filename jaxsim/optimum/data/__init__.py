"""Bounds of inf L for data sets and finitely many weighted points, and for linear models."""

from jaxsim.optimum.data.linear import LinearModel
from jaxsim.optimum.data.separable import Separable

__all__ = ["LinearModel", "Separable"]
