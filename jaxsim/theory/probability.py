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
        in_training: a lower bound of the probability of an event that implies this one in the
            arithmetic of the training; None where no training is thought of.
    """

    value: float
    error: float
    exact: bool
    method: str
    independent: bool = True
    evidence: Evidence = PROVED
    in_training: float | None = None

    @property
    def lower(self) -> float:
        """A lower bound of the probability, in the arithmetic of the training where there is one.

        Example:
            >>> tie = Probability(1.0, 0.0, True, "a sum that is 0", in_training=0.0)
            >>> tie.value, tie.lower
            (1.0, 0.0)
        """
        lower = max(self.value - self.error, 0.0)
        return lower if self.in_training is None else min(lower, max(self.in_training, 0.0))
