"""Bits do not depend on what the process compiled before."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

from jaxsim.engines import engine as engines
from jaxsim.engines import lanes
from jaxsim.engines.block import run_block
from jaxsim.engines.engine import vmap_engine
from jaxsim.training.experiment import Experiment
from tests.studies import slow_but, study

TWO_INPUTS = {
    "problem__input": {"law": "uniform", "dimension": 2},
    "problem__target": "x1 * x2 + where(x1 > 0.9, 1, 0)",
    "problem__risk": {"points": 16, "replicates": 2},
}
POPULATION = {**TWO_INPUTS, "training": {"batch_size": "population"}}
POINTS = {"law": "points", "points": [[0.0], [0.5], [1.0]]}

SCHEDULED = {
    "name": "adam",
    "b2": 0.9,
    "learning_rate": {
        "schedule": "warmup_cosine_decay",
        "init_value": 0.001,
        "peak_value": 0.03,
        "warmup_steps": 1,
        "decay_steps": 7,
    },
}

CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (POPULATION, {"seed": 4}),
    (POPULATION, {"problem__risk": {"points": 32, "replicates": 2}}),
    (POPULATION, {"problem__target": "x1 * x2"}),
    (POPULATION, {"problem__loss": "absolute"}),
    (POPULATION, {"problem__input": {"law": "uniform", "low": 0.0, "dimension": 2}}),
    (TWO_INPUTS, {"seed": 4}),
    ({}, {"problem__noise": {"law": "normal", "std": 0.1}}),
    ({}, {"problem__input": POINTS}),
    ({"problem__input": POINTS}, {"problem__input": {**POINTS, "weights": [1.0, 2.0, 3.0]}}),
    ({}, {"problem__target": {"teacher": {"hidden": [2]}, "seed": 1}}),
    (
        {"problem__target": {"teacher": {"hidden": [2]}, "seed": 1}},
        {"problem__target": {"teacher": {"hidden": [2]}, "seed": 2}},
    ),
    ({}, {"network__activation": "leaky_relu"}),
    ({}, {"network__freeze": ["layer1.weights"]}),
    ({}, {"network__parametrization": "ntk"}),
    ({}, {"optimizer__b2": 0.9}),
    ({"optimizer": SCHEDULED}, {"optimizer__learning_rate__peak_value": 0.02}),
    ({"optimizer": SCHEDULED}, {"optimizer__learning_rate__warmup_steps": 2}),
    ({}, {"network__weights": {"law": "normal", "std": 0.5}}),
    ({}, {"network__biases": {"law": "constant", "value": 0.5}}),
    ({}, {"optimizer": {"name": "adam", "learning_rate": 0.03}}),
    ({}, {"training__set": {"size": 8, "scope": "study"}}),
    ({}, {"precision": "float64"}),
]


def forget() -> None:
    """Drop every compiled function that a text names."""
    for cached in (engines.drawing, engines.training, engines.certifying, engines.evaluation):
        cached.cache_clear()
    lanes._training.cache_clear()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget()
    yield
    forget()


def bits(experiment: Experiment) -> list[bytes]:
    records = run_block(vmap_engine(experiment), experiment, 0, 2)
    return [np.ascontiguousarray(a).tobytes() for a in jax.tree.leaves(records)]


@pytest.mark.parametrize("pair", slow_but(CHANGES[:1], CHANGES))
def test_a_study_has_its_own_bits_after_one_that_differs_in_one_field(pair):
    base, change = pair
    small = {"steps": 2, "checkpoints": [1], "network__hidden": [2]}
    one = study(**{**small, **base}).experiments[0]
    other = study(**{**small, **base, **change}).experiments[0]
    first, second_after = bits(one), bits(other)
    forget()
    second, first_after = bits(other), bits(one)
    assert first == first_after
    assert second == second_after
    assert first != second
