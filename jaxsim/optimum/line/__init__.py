"""One input and a piecewise linear network: certified brackets of the optimal risk."""

from jaxsim.optimum.line.strategy import FreeKnots

__all__ = ["FreeKnots"]
