"""What a risk rule is: the true risk L(theta) = E[l(N_theta(X), Y)] with its numerical error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jax import Array

from jaxsim.errors import InputError
from jaxsim.evidence import Evidence


@dataclass(frozen=True)
class RiskOptions:
    """How the true risk is computed where it is not an exact finite sum.

    Attributes:
        pieces: capacity for the linear pieces of one-dimensional networks; None for the exact worst
            case where that is small, else twice the number of kinks of all neurons together
            (at least 64).
        nodes: quadrature nodes per piece; None for as many as the degree of the integrand asks
            for. Rules that are not exact round up to a multiple of 15.
        points: quasi-Monte Carlo points per scrambling, rounded up to a power of two.
        replicates: independent scramblings, from whose spread the error is computed.
        confidence: level of the quasi-Monte Carlo error.
        seed: of the scramblings.
    """

    pieces: int | None = None
    nodes: int | None = None
    points: int = 1024
    replicates: int = 16
    confidence: float = 1 - 1e-6
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no rule can work with."""
        for key, least in (("pieces", 1), ("nodes", 1), ("points", 1), ("replicates", 2)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise InputError(f"risk.{key} = {value} is not accepted: it should be >= {least}")
        if not 0 < self.confidence < 1:
            raise InputError(
                f"risk.confidence = {self.confidence} is not accepted: it should be in (0, 1)"
            )


@dataclass(frozen=True)
class RiskRule:
    """The true risk of a network as pure functions of theta [P].

    Attributes:
        evaluate: theta (float64) -> (value, error), float64 scalars; |value - L(theta)| <= error,
            as far as `evidence` goes. An infinite error says that the rule does not know.
        population_loss: theta -> L(theta) in theta's own dtype, differentiable: nodes and kinks
            are constants to the derivative, so that it is the gradient of the true risk.
        exact: whether the only error is that of floating-point rounding.
        evidence: of the error: proved if it is a bound on the accumulated rounding, estimated if
            quadrature or sampling has a part in it.
        description: one sentence for reports.
    """

    evaluate: Callable[[Array], tuple[Array, Array]]
    population_loss: Callable[[Array], Array]
    exact: bool
    evidence: Evidence
    description: str
