"""The strategies that search for bounds of inf L.

What needs no search (stated values, realizable teachers, the parabola's closed form, the Bayes
risk) is known when a study is loaded, see `optimal_risk`. Everything else is a strategy: one class
in its own file, and a line here.
"""

from __future__ import annotations

from jaxsim.optimum.data import Interpolation, LinearModel, Margin, Separable
from jaxsim.optimum.line import FreeKnots
from jaxsim.optimum.strategy import Strategy

_ALL: tuple[Strategy, ...] = (
    Separable(),
    Interpolation(),
    LinearModel(),
    FreeKnots(),
    Margin(),
)

STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in _ALL}
"""By name, in the order in which they are tried."""
