"""Strata that fail by proof: exactly those that the theory's lower bound adds up."""

from dataclasses import replace

import numpy as np
import pytest

from jaxsim.design.decided import decided
from jaxsim.design.strata import stratified_design
from jaxsim.design.stratum import plain_design
from jaxsim.evidence import PROVED, Bound, stated
from jaxsim.theory import exceedance_lower_bound
from jaxsim.theory.inactive_counts import InactiveChain
from tests.studies import study

OPTIMUM = Bound(4 / 45 / 9**4)
CONSTANT = Bound(4 / 45)


def levels(m: int) -> Bound:
    """R*(m) of x^2 on [-1, 1] with m ReLU neurons is no less."""
    return Bound(4 / 45 / (m + 1) ** 4)


@pytest.mark.parametrize("hierarchy", [levels, None])
@pytest.mark.parametrize("constant", [CONSTANT, None])
def test_decided_strata_add_up_to_the_lower_bound(hierarchy, constant):
    experiment = study(network__hidden=[8]).experiments[0]
    design = stratified_design(experiment)
    eps = np.array([1e-5, 1e-3, 0.08, 0.5])
    result = decided(design, experiment, eps, OPTIMUM, constant, hierarchy)
    bounds = exceedance_lower_bound(
        eps,
        experiment.network.layer_specs,
        experiment.network.activation or pytest.fail("no activation"),
        experiment.problem.law.support,
        optimum_upper=OPTIMUM,
        best_constant_lower=constant,
        hierarchy=hierarchy,
    )
    assert design.weights @ result.signs == pytest.approx([b.value for b in bounds], rel=1e-9)
    assert result.evidence == (PROVED,) * 4
    if hierarchy is not None and constant is not None:
        assert result.signs.sum(0).tolist() == [7, 3, 1, 0]


def test_decisions_rest_on_what_the_bounds_rest_on():
    experiment = study(network__hidden=[8]).experiments[0]
    design = stratified_design(experiment)
    said = stated("the optimum is 0")
    result = decided(design, experiment, [1e-3, 0.5], Bound(0.0, said), CONSTANT, levels)
    assert result.signs.sum(0).tolist() == [3, 0]
    assert result.evidence == (said, PROVED)
    # Of two reasons the better one counts.
    guess = stated("a table of levels")
    known = decided(
        design, experiment, [0.08], OPTIMUM, CONSTANT, lambda m: Bound(levels(m).value, guess)
    )
    assert known.signs[:, 0].tolist() == [0] * 8 + [1]
    assert known.evidence == (PROVED,)


def test_nothing_is_decided_without_a_reason():
    experiment = study(network__hidden=[8]).experiments[0]
    design = stratified_design(experiment)
    for given in (
        decided(design, experiment, [1e-3], Bound(np.inf), CONSTANT, levels),
        decided(design, experiment, [1e-3], OPTIMUM),
        decided(plain_design(experiment), experiment, [1e-3], OPTIMUM, CONSTANT, levels),
    ):
        assert not given.signs.any()
    # Constants other than 0 need biases in the next layer, but for a network that is constant.
    hard = study(
        network__hidden=[4],
        network__activation="hard_tanh",
        network__biases=[{"law": "uniform", "bound": 3.0}, False],
    ).experiments[0]
    assert hard.network.layer_specs[1].biases is None
    result = decided(stratified_design(hard), hard, [1e-3], OPTIMUM, CONSTANT, levels)
    assert result.signs[:, 0].tolist() == [0, 0, 0, 0, 1]


def test_a_dead_later_layer_decides():
    experiment = study(network__hidden=[8]).experiments[0]
    design = stratified_design(experiment)
    dead = replace(design.strata[0], dead_later=True)
    design = replace(design, strata=(dead, *design.strata[1:]))
    result = decided(design, experiment, [1e-3, 0.2], OPTIMUM, CONSTANT, None)
    assert result.signs[0].tolist() == [1, 0]
    chain = InactiveChain(
        experiment.network.layer_specs,
        experiment.network.activation or pytest.fail("no activation"),
        experiment.problem.law.support,
    )
    assert chain.exact
