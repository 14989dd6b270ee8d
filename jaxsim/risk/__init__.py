"""The true risk L(theta) = E[l(N_theta(X), Y)] of a network, with its numerical error.

finite laws, data sets                    exact weighted sum                    `finite`
one input, piecewise linear network       exact quadrature between all kinks    `piecewise_linear`
one input, other networks                 composite quadrature                  `smooth`
normal or spherical inputs, ReLU
    student, ReLU sums, squared loss      closed form                           `gaussian`
everything else                           scrambled Sobol' sequences            `quasi_monte_carlo`
"""

from __future__ import annotations

from dataclasses import replace

from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.network.network import Network
from jaxsim.problem.problem import Problem
from jaxsim.risk.finite import finite_rule
from jaxsim.risk.gaussian import closed_form_rule, exact_form, moments_of
from jaxsim.risk.line import line_of
from jaxsim.risk.piecewise_linear import piecewise_linear_rule
from jaxsim.risk.quasi_monte_carlo import quasi_monte_carlo_rule
from jaxsim.risk.rule import RiskOptions, RiskRule
from jaxsim.risk.smooth import smooth_rule

__all__ = ["RiskOptions", "RiskRule", "make_risk"]


def make_risk(
    problem: Problem,
    network: Network,
    options: RiskOptions | None = None,
    forward_passes: ForwardPasses | None = None,
) -> RiskRule:
    """Return the most precise rule there is for a problem and a network.

    Args:
        problem: law of (X, Y) and loss.
        network: N_theta.
        options: of the rules that are not exact finite sums.
        forward_passes: of a fully-connected network over points; None for the plain ones.
    """
    options = RiskOptions() if options is None else options
    if problem.law.finite is not None:
        return finite_rule(problem, network, forward_passes)
    line = line_of(problem.law)
    moments = moments_of(problem, network)
    if moments is not None:
        return closed_form_rule(problem, network, moments)
    if line is None:
        rule = quasi_monte_carlo_rule(problem, network, options, forward_passes)
        form = exact_form(problem, network)
        if not form:
            return rule
        return replace(rule, description=f"{rule.description}; exact in closed form for {form}")
    activation = network.activation
    if activation is not None and (not network.hidden or activation.piecewise_linear):
        return piecewise_linear_rule(problem, network, options, line, forward_passes)
    return smooth_rule(problem, network, options, line)
