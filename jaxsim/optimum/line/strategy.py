"""The strategy for one input and piecewise linear networks: both ends of the bracket.

The lower end is the best of the bounds for all functions with so many kinks, and for those with the
slope condition of ReLU; the upper end is an explicit network. A certificate holds the partitions on
which the bounds are computed and the network's parameters, no bound itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxsim.network.network import Network
from jaxsim.optimum.line.explicit import excess_at, search_parameters, upper_bound
from jaxsim.optimum.line.masses import line_ends
from jaxsim.optimum.line.nodes import BINARY_LOSSES, RESIDUAL_LOSSES
from jaxsim.optimum.line.other_losses import search_dual, verify_dual
from jaxsim.optimum.line.squared import search_lower, verify_lower
from jaxsim.optimum.strategy import Bounds, Budget, Certificate
from jaxsim.problem.problem import Problem

_UPPER_SHARE = 0.4


class FreeKnots:
    """Bounds of inf L for networks with one input and a piecewise linear activation."""

    name = "free_knots"
    bounds_below = True
    version = 1

    def unsupported_reason(self, problem: Problem, network: Network) -> str:
        """Return why it has nothing to say, one clause; empty if it has."""
        if line_ends(problem) is None:
            return "the input has more than one coordinate"
        activation = network.activation
        if not network.fully_connected or activation is None:
            return "the network is a module of the user's own"
        if network.hidden and not activation.piecewise_linear:
            return (
                f"networks with {activation.name} have no finite number of affine pieces, so that "
                "only the Bayes risk bounds them"
            )
        loss = problem.loss
        if loss.name not in (*RESIDUAL_LOSSES, *BINARY_LOSSES):
            return f"the loss {loss.name} is not known to be convex in one output at a time"
        return ""

    def search(
        self,
        problem: Problem,
        network: Network,
        budget: Budget,
        begin: Certificate | None = None,
        runs: Sequence[np.ndarray] = (),
    ) -> Certificate | None:
        """Return partitions and parameters (see `Strategy.search`)."""
        if self.unsupported_reason(problem, network):
            return None
        arrays = {} if begin is None else dict(begin.arrays)
        if begin is not None and begin.version < self.version:
            arrays.pop("searched", None)
        starts = [r for r in runs if np.shape(r) == (network.size,)]
        complete = True
        if not arrays.get("searched", np.zeros(1))[0] or starts:
            if "theta" in arrays:
                starts.insert(0, arrays["theta"])
            part = budget.share(_UPPER_SHARE)
            theta = search_parameters(problem, network, part, starts)
            if theta is not None:
                arrays["theta"] = theta
            complete = not part.spent
            arrays["searched"] = np.array([int(complete)])
        level = None
        if "theta" in arrays:
            level = excess_at(problem, network, arrays["theta"])
        if problem.loss.name == "squared":
            found_arrays, finished = search_lower(problem, network, level, budget, arrays)
        else:
            found_arrays, finished = search_dual(problem, network, budget, arrays)
        arrays.update(found_arrays)
        return Certificate(self.name, arrays, finished and complete)

    def verify(self, problem: Problem, network: Network, certificate: Certificate) -> Bounds:
        """Return the bounds that a certificate shows, computed anew (see `Strategy.verify`)."""
        arrays = certificate.arrays
        squared = problem.loss.name == "squared"
        lowers = (verify_lower if squared else verify_dual)(problem, network, arrays)
        theta = arrays.get("theta")
        if theta is None:
            return Bounds(lowers)
        theta = np.asarray(theta, np.float64)
        return Bounds(lowers, (upper_bound(problem, network, theta),), theta)
