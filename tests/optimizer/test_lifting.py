"""Numbers of optimizers as data: none is built in, and none changes a bit by being lifted out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.optimizer import optimizer
from jaxsim.optimizer.lifting import Lifted
from jaxsim.optimizer.methods import METHODS, VARIANTS
from jaxsim.optimizer.optimizers import Optimizer
from jaxsim.optimizer.others import BUILT_IN, others
from jaxsim.optimizer.schedules import SCHEDULES

SCHEDULE_TABLES: dict[str, dict[str, Any]] = {
    "constant": {"value": 0.013},
    "cosine_decay": {"init_value": 0.013, "decay_steps": 37, "alpha": 0.1, "exponent": 1.3},
    "exponential_decay": {
        "init_value": 0.013, "transition_steps": 7, "decay_rate": 0.93, "transition_begin": 3,
        "end_value": 1e-3,
    },
    "polynomial": {
        "init_value": 0.013, "end_value": 0.001, "power": 1.7, "transition_steps": 31,
    },
    "linear": {
        "init_value": 0.013, "end_value": 0.001, "transition_steps": 31, "transition_begin": 3,
    },
    "piecewise_constant": {
        "init_value": 0.013, "boundaries": [7, 13, 29], "scales": [0.7, 0.3, 0.9],
    },
    "piecewise_interpolate": {
        "interpolate_type": "cosine", "init_value": 0.013, "boundaries": [7, 13, 29],
        "scales": [0.7, 0.3, 0.9],
    },
    "power": {"init_value": 0.013, "exponent": 0.7},
    "warmup_cosine_decay": {
        "init_value": 0.0, "peak_value": 0.013, "warmup_steps": 7, "decay_steps": 31,
        "end_value": 3e-4, "exponent": 1.4,
    },
    "warmup_exponential_decay": {
        "init_value": 0.0, "peak_value": 0.013, "warmup_steps": 7, "transition_steps": 5,
        "decay_rate": 0.9, "end_value": 0.001, "transition_begin": 2,
    },
    "warmup_constant": {"init_value": 0.001, "peak_value": 0.013, "warmup_steps": 7},
    "cosine_onecycle": {"transition_steps": 37, "peak_value": 0.013, "pct_start": 0.4},
    "linear_onecycle": {"transition_steps": 37, "peak_value": 0.013, "pct_start": 0.4},
    "sgdr": {
        "peak_values": [0.013, 0.007], "warmup_steps": [3, 4], "decay_steps": [11, 17],
        "init_value": 0.001, "end_value": 1e-4,
    },
}  # fmt: skip
OTHER_VALUES = {
    "decay_steps": 41, "transition_steps": 53, "warmup_steps": 5, "boundaries": [5, 11, 31],
    "scales": [0.6, 0.5, 0.8], "peak_values": [0.02, 0.009], "pct_start": 0.45,
    "transition_begin": 5,
}  # fmt: skip


def lifted(made: Optimizer, precision: str = "float32") -> Lifted:
    return made.lifted(jax.ShapeDtypeStruct((3,), precision), precision)


def bits(thing: Lifted) -> list[bytes]:
    return [number.tobytes() for number in thing.numbers]


def test_every_schedule_is_looked_at():
    assert set(SCHEDULE_TABLES) == set(SCHEDULES)


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        pytest.param(n, v, marks=[] if v == "optax" else pytest.mark.slow)
        for n in METHODS
        for v in VARIANTS[n]
    ],
)
def test_no_number_of_a_method_is_built_in(name, variant):
    table = {"name": name, "variant": variant, "learning_rate": 0.01}
    made = optimizer(table)
    base = lifted(made)
    for key, value in made.hyperparameters.items():
        if isinstance(value, bool) or (name, key) == ("rmsprop", "momentum"):
            continue
        other = lifted(optimizer({**table, key: 0.8125}))
        assert other.text == base.text, key
        assert bits(other) != bits(base), key


def test_momentum_of_rmsprop_is_data_wherever_it_has_an_effect():
    none, some, more = (
        lifted(optimizer({"name": "rmsprop", "learning_rate": 0.01, "momentum": m}))
        for m in (0.0, 0.5, 0.9)
    )
    assert none.text != some.text == more.text
    assert bits(some) != bits(more)


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_number_of_a_schedule_is_built_in(name):
    table = {"schedule": name, **SCHEDULE_TABLES[name]}
    base = lifted(optimizer({"name": "sgd", "learning_rate": table}))
    for key, value in SCHEDULE_TABLES[name].items():
        if isinstance(value, str):
            continue
        cycles = name == "sgdr" and key.endswith("steps")
        changed = [v + 1 for v in value] if cycles else OTHER_VALUES.get(key, 0.0171)
        found = lifted(optimizer({"name": "sgd", "learning_rate": {**table, key: changed}}))
        assert found.text == base.text, key
        assert bits(found) != bits(base), key


@pytest.mark.parametrize("name", sorted(others()))
@pytest.mark.slow
def test_optimizers_that_differ_in_a_number_differ_in_structure_or_data(name):
    table = {"name": name, "learning_rate": 0.01}
    made = optimizer(table)
    parameters = {"w": jax.ShapeDtypeStruct((3, 2), "float32")}
    base = made.lifted(parameters, "float32")
    for key, value in made.hyperparameters.items():
        if isinstance(value, float) and value != 0:
            other = optimizer({**table, key: value * 0.875}).lifted(parameters, "float32")
            assert (other.text, bits(other)) != (base.text, bits(base)), key


def test_optimizers_whose_last_bits_would_change_keep_their_numbers():
    for name in BUILT_IN:
        made = optimizer({"name": name, "learning_rate": 0.01})
        assert made.lifted({"w": jax.ShapeDtypeStruct((3, 2), "float32")}, "float32").numbers == ()


def test_powers_that_xla_computes_otherwise_are_structures_of_their_own():
    rate = {"schedule": "cosine_decay", "init_value": 0.01, "decay_steps": 9}
    texts = [
        lifted(optimizer({"name": "sgd", "learning_rate": {**rate, "exponent": e}})).text
        for e in (0.7, 1.3, 0.5, 2.0)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def run(transformation: Any, rate: Any, numbers: Any, dtype: str) -> list[bytes]:
    """Return the bits of parameters and state after some steps of several members."""
    rng = np.random.default_rng(1)
    start = rng.normal(size=(3, 33)).astype(dtype)
    gradients = rng.normal(size=(40, 3, 33)).astype(dtype)

    def one(theta: Any, gradients: Any, rate: Any, numbers: Any) -> Any:
        method = transformation(rate, numbers)

        def step(n: Any, carry: Any) -> Any:
            theta, state = carry
            movement, state = method.update(gradients[n], state, theta)
            return theta + movement.astype(dtype), state

        return jax.lax.fori_loop(0, 40, step, (theta, method.init(theta)))

    every = jax.jit(jax.vmap(one, in_axes=(0, 1, None, None)))
    ends = every(start, gradients, rate, numbers)
    return [np.asarray(a).tobytes() for a in jax.tree.leaves(ends)]


ADAM = {"name": "adam", "b1": 0.83, "b2": 0.97}
TABLES = [
    {**ADAM, "learning_rate": {"schedule": "sgdr", **SCHEDULE_TABLES["sgdr"]}},
    {"name": "nadamax", "learning_rate": 0.01},
    {"name": "nesterov", "variant": "paper", "learning_rate": 0.01},
    *(
        {"name": name, "variant": variant, "learning_rate": 0.01}
        for name in METHODS
        for variant in VARIANTS[name]
    ),
    *({**ADAM, "learning_rate": {"schedule": k, **v}} for k, v in SCHEDULE_TABLES.items()),
]
QUICK = 3


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(table, marks=[] if place < QUICK else pytest.mark.slow)
        for place, table in enumerate(TABLES)
    ],
    ids=lambda t: f"{t['name']}-{t.get('variant', t['learning_rate'])}"[:40],
)
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_numbers_as_data_give_the_bits_of_numbers_built_in(table, dtype):
    made = optimizer(table, precision=dtype)
    thing = lifted(made, dtype)
    fixed = None if made.traced_learning_rate else made.learning_rate
    rate = jnp.asarray(made.learning_rate if fixed is None else 0.0, dtype)
    own = run(lambda rate, _: made.make(rate if fixed is None else fixed), rate, (), dtype)
    assert run(thing.transformation, rate, thing.numbers, dtype) == own
