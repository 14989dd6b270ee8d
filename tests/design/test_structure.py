"""Strata of the structural chain: counts and functions of deep networks, against NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.design.strata import stratified_design
from jaxsim.design.stratum import Design
from jaxsim.design.structure import structure_of
from jaxsim.engines.engine import drawing_of
from jaxsim.theory.inactive_counts import InactiveChain
from jaxsim.training.experiment import Experiment
from tests.design.test_conditional import outputs, same_law
from tests.studies import study

HIDDEN = (4, 2, 3)
DRAWS = 20_000


def experiment(**changes) -> Experiment:
    return study(**{"network__hidden": list(HIDDEN)} | changes).experiments[0]


def counts(layers, hidden=HIDDEN) -> np.ndarray:
    """Return the numbers of structurally silent neurons [draw, layer] of (weights, biases)."""
    (w, b), *later = layers[: len(hidden)]
    silent = b + np.abs(w[:, 0]) <= 0
    numbers = [silent.sum(1)]
    for w, b in later:
        silent = ((w <= 0) | silent[:, :, None]).all(1) & (b <= 0)
        numbers.append(silent.sum(1))
    return np.stack(numbers, axis=1)


def simulated(seed: int, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return layers (weights, biases) of n networks, drawn by NumPy."""
    rng = np.random.default_rng(seed)
    sizes = (1, *HIDDEN, 1)
    return [
        (rng.uniform(-1, 1, (n, i, o)), rng.uniform(-1, 1, (n, o)))
        for i, o in itertools.pairwise(sizes)
    ]


def draws(design: Design, number: int, n: int) -> np.ndarray:
    draw = drawing_of(design.strata[number].experiment)
    key = jax.random.key(11 + number)
    return np.asarray(draw(key, jnp.arange(n, dtype=jnp.uint32))[1], float)


@pytest.fixture(scope="module")
def design() -> Design:
    return stratified_design(experiment())


@pytest.fixture(scope="module")
def mixture(design) -> list[np.ndarray]:
    """Draws of every stratum, as many as its weight gives."""
    sizes = np.random.default_rng(0).multinomial(DRAWS, design.weights)
    size = int(sizes.max())
    return [draws(design, k, size)[:n] for k, n in enumerate(sizes)]


def test_weights_are_those_of_the_chain(design):
    base = experiment()
    assert len(design.strata) == HIDDEN[0] + 2
    assert abs(design.weights.sum() - 1) < 1e-14
    assert [s.dead_later for s in design.strata] == [False] * 5 + [True]
    numbers = counts(simulated(1, 1_000_000))
    dead = (numbers[:, 1] == HIDDEN[1]) | (numbers[:, 2] == HIDDEN[2])
    seen = [(~dead & (numbers[:, 0] == k)).mean() for k in range(5)] + [dead.mean()]
    spread = np.sqrt(design.weights / 1e6)
    assert (np.abs(np.array(seen) - design.weights) < 6 * spread + 1e-6).all()
    chain = InactiveChain(
        base.network.layer_specs,
        base.network.activation or pytest.fail("no activation"),
        base.problem.law.support,
    )
    structure = structure_of(base)
    assert structure is not None
    assert structure.later == pytest.approx(chain.dead_later(), rel=1e-12)


def test_counts_of_every_stratum_are_those_of_the_law(design, mixture):
    network = experiment().network
    expected = counts(simulated(2, 400_000))
    dead = (expected[:, 1] == HIDDEN[1]) | (expected[:, 2] == HIDDEN[2])
    for number, theta in enumerate(mixture):
        of_law = expected[dead] if number == 5 else expected[~dead & (expected[:, 0] == number)]
        seen = counts(network.layout.split(theta, axis=1))
        if number == 5:
            assert ((seen[:, 1] == HIDDEN[1]) | (seen[:, 2] == HIDDEN[2])).all()
        else:
            assert (seen[:, 0] == number).all()
            assert (seen[:, 1] < HIDDEN[1]).all()
            assert (seen[:, 2] < HIDDEN[2]).all()
        # The joint law of the three numbers.
        cell = np.array([100, 10, 1])
        for code in np.unique(of_law @ cell):
            share = (of_law @ cell == code).mean()
            noise = np.sqrt(share * (1 / len(seen) + 1 / len(of_law)))
            assert abs((seen @ cell == code).mean() - share) < 5.5 * noise + 3 / len(seen), code


def test_functions_of_the_mixture_are_those_of_the_law(design, mixture):
    network = experiment().network
    x = np.array([[-0.7], [0.2], [0.9]])
    mixed = outputs(network, np.concatenate(mixture), x)
    theta = np.concatenate(
        [a.reshape(DRAWS, -1) for layer in simulated(3, DRAWS) for a in layer], axis=1
    )
    plain = outputs(network, theta, x)
    for a, b in zip(mixed.T, plain.T, strict=True):
        assert same_law(a, b)
    assert same_law(mixed[:, 0] - mixed[:, 1], plain[:, 0] - plain[:, 1])
    assert same_law(mixed[:, 0] * mixed[:, 2], plain[:, 0] * plain[:, 2])
    # With a later layer dead they are constant.
    constant = outputs(network, mixture[5], x)
    assert np.ptp(constant, axis=1).max() == 0


def test_where_the_chain_says_nothing_only_the_first_layer_counts():
    for changes in (
        {"network__activation": "hard_tanh", "network__biases": {"law": "uniform", "bound": 3.0}},
        {"network__activation": {"name": "clipped_relu", "low": -1.0, "high": 0.0}},
        {"network__weights": [{"law": "uniform", "bound": 1.0}, {"law": "orthogonal"},
                              {"law": "orthogonal"}, {"law": "orthogonal"}]},
        {"network__hidden": [20, 200]},
        {"network__hidden": [4]},
    ):  # fmt: skip
        design = stratified_design(experiment(**changes))
        assert {s.dead_later for s in design.strata} == {None}
        assert "later" not in design.strata[0].text


def test_what_never_happens_is_no_stratum():
    # Zero biases in the second layer: with all of the first inactive it is dead for sure.
    zero, uniform = {"law": "zero"}, {"law": "uniform", "bound": 1.0}
    design = stratified_design(
        experiment(network__hidden=[3, 2], network__biases=[uniform, zero, uniform])
    )
    assert [s.least for s in design.strata] == [0, 1, 2, 0]
    assert [s.number for s in design.strata] == [0, 1, 2, 3]
    assert abs(design.weights.sum() - 1) < 1e-14
    assert design.strata[3].dead_later
