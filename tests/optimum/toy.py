"""A strategy that costs nothing: it counts to four, and its bounds are the better the further."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxsim.evidence import Bound
from jaxsim.network.network import Network
from jaxsim.optimum.parabola import Parabola
from jaxsim.optimum.strategy import Bounds, Budget, Certificate, CertificateError
from jaxsim.problem.problem import Problem

GOAL = 4


class Toy:
    """Bounds for x^2 with X uniform on [-1, 1] and m ReLU neurons, known from the closed form.

    Attributes:
        name: in the registry.
        at_most: steps of one search, as if its budget ended then.
        calls: what searches were given: (m, steps before, number of runs).
        verified: how often a certificate was checked.
    """

    bounds_below = True
    version = 1

    def __init__(self, name: str = "toy", at_most: int = GOAL) -> None:
        self.name, self.at_most = name, at_most
        self.calls: list[tuple[int, int, int]] = []
        self.verified = 0

    def unsupported_reason(self, problem: Problem, network: Network) -> str:
        """Return a reason for all but networks with one hidden layer."""
        return "" if len(network.hidden) == 1 else "it knows one hidden layer only"

    def search(
        self,
        problem: Problem,
        network: Network,
        budget: Budget,
        begin: Certificate | None = None,
        runs: Sequence[np.ndarray] = (),
    ) -> Certificate | None:
        """Count on from where an earlier search stopped."""
        before = 0 if begin is None else int(begin.arrays["steps"])
        self.calls.append((network.hidden[0], before, len(runs)))
        if budget.spent:
            return None
        steps = min(GOAL, before + self.at_most)
        arrays = {"steps": np.array(steps), "m": np.array(network.hidden[0])}
        return Certificate(self.name, arrays, finished=steps == GOAL)

    def verify(self, problem: Problem, network: Network, certificate: Certificate) -> Bounds:
        """Return the bounds of a count."""
        self.verified += 1
        if set(certificate.arrays) != {"steps", "m"}:
            raise CertificateError("it has other arrays")
        steps, m = (int(certificate.arrays[name]) for name in ("steps", "m"))
        if m != network.hidden[0] or not 1 <= steps <= GOAL:
            raise CertificateError("it is of another network")
        lower, upper = Parabola().lower(m), Parabola().lower(max(m - 1, 0))
        return Bounds(
            (Bound(lower * steps / GOAL, reason=f"counted to {steps}"),),
            (Bound(upper * (1 + GOAL - steps), reason=f"counted to {steps}, too"),),
            np.full(network.size, float(steps)),
        )
