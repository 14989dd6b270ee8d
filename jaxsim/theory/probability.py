"""A probability known without training: its value, how wrong it can be and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from jaxsim.evidence import PROVED, Evidence


@dataclass(frozen=True)
class Probability:
    """A probability with a bound on its error.

    Attributes:
        value: the probability, or a lower bound of it where `exact` is False.
        error: bound on the numerical error of `value`.
        exact: whether `value` is the probability itself up to `error`.
        method: how it is known, in words.
        independent: whether the neurons of the layer are independent of each other.
        evidence: what `lower` rests on as a lower bound of the probability.
    """

    value: float
    error: float
    exact: bool
    method: str
    independent: bool = True
    evidence: Evidence = PROVED

    @property
    def lower(self) -> float:
        """A lower bound of the probability."""
        return max(self.value - self.error, 0.0)
