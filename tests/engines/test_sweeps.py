"""Sweeps over numbers compile one program per structure, with the bits of each study alone."""

import re
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.engines import engine as engines
from jaxsim.engines import lanes
from jaxsim.engines.block import run_block
from jaxsim.engines.engine import vmap_engine
from jaxsim.engines.lanes import in_lanes
from jaxsim.engines.native import library
from jaxsim.engines.native.engine import _source, steps_in
from jaxsim.engines.unrolled import unrolled_steps
from jaxsim.network.forward_passes import plain_forward_passes
from jaxsim.report.plan import programs_of
from jaxsim.training.hyperparameters import drawing_key, numbers_of, program_key
from jaxsim.training.train import make_train
from tests.studies import study

RATE = {
    "schedule": "warmup_cosine_decay",
    "init_value": 0.0,
    "peak_value": 0.02,
    "warmup_steps": 2,
    "decay_steps": 11,
}
SWEEP: dict[str, Any] = {
    "optimizer": {"name": "adam", "b2": 0.99, "learning_rate": RATE},
    "steps": 12,
    "checkpoints": [5],
    "grid": {
        "optimizer.b2": [0.9, 0.999],
        "optimizer.learning_rate.peak_value": [0.01, 0.03],
        "network.weights.bound": [0.5, 1.0],
    },
}


def test_a_sweep_has_one_program_one_draw_and_other_numbers():
    experiments = study(**SWEEP).experiments
    assert len(experiments) == 8
    assert len({program_key(e) for e in experiments}) == 1
    assert len({drawing_key(e) for e in experiments}) == 1
    assert len({e.initialization_key for e in experiments}) == 2
    numbers = {b"".join(n.tobytes() for n in numbers_of(e)) for e in experiments}
    assert len(numbers) == 4
    assert len({e.network.scales for e in experiments}) == 2
    assert programs_of(study(**SWEEP)) == 1


def test_an_optimizer_of_another_structure_has_another_program():
    grid = {"optimizer.name": ["adam", "adamax"], "optimizer.b2": [0.9, 0.99]}
    assert programs_of(study(**{**SWEEP, "grid": grid})) == 2


def test_a_whole_sweep_compiles_once_and_each_has_the_bits_of_alone():
    experiments = study(**SWEEP).experiments
    engines.training.cache_clear()
    engines.drawing.cache_clear()
    ends = [run_block(vmap_engine(e), e, 0, 16).risk.tobytes() for e in experiments]
    assert len(set(ends)) == len(ends)
    assert engines.training.cache_info().currsize == 1
    assert engines.drawing.cache_info().currsize == 1
    advance: Any = vmap_engine(experiments[0]).advance
    assert advance._cache_size() == 1
    for cached in (engines.training, engines.drawing, engines.certifying):
        cached.cache_clear()
    assert (
        run_block(vmap_engine(experiments[-1]), experiments[-1], 0, 16).risk.tobytes() == ends[-1]
    )


def test_numbers_given_to_a_compiled_training_are_those_built_into_a_single_one():
    *_, experiment = study(**SWEEP).experiments
    train = make_train(experiment)
    key, rate = jax.random.key(5), jnp.zeros((), experiment.dtype)
    theta = train.draw(key)

    def end(rate: Any) -> np.ndarray:
        state = train.start(key, theta, rate)
        return np.asarray(jax.jit(train.advance)(state, (), 0, 12, rate).theta)

    assert end(rate).tobytes() == end((rate, *numbers_of(experiment))).tobytes()


def test_the_program_is_the_same_whichever_of_a_sweep_comes_first():
    """So that processes that share a compilation cache find each other's."""
    first, *_, last = study(**SWEEP).experiments
    texts = []
    for experiment in (first, last):
        engines.training.cache_clear()
        engines.drawing.cache_clear()
        engine: Any = vmap_engine(experiment)
        rate, members = jnp.zeros((), experiment.dtype), jnp.arange(16, dtype=jnp.uint32)
        state = jax.eval_shape(engine.init, jax.random.key(0), members, rate)
        texts.append(engine.advance.lower(state, (), np.int32(0), np.int32(9), rate).as_text())
    assert texts[0] == texts[1]


@pytest.mark.skipif(library.compiler() is None, reason="no C compiler")
def test_the_c_program_of_a_sweep_holds_none_of_its_numbers():
    first, *_, last = study(**SWEEP).experiments
    sources = []
    for experiment in (first, last):
        _source.cache_clear()
        source = _source(engines.ByText(experiment, program_key(experiment)), 16, library.target())
        assert not isinstance(source, str)
        sources.append(source.text)
    assert sources[0] == sources[1]
    for number in (0.999, 0.001, 0.03, 1e-8):
        for value in (number, float(np.float32(number))):
            assert value.hex() not in sources[1]
    literals = re.findall(r"0x1\.[0-9a-f]+p[-+]\d+f", sources[1])
    assert literals == [] or "0x1.ff7ceep-1f" not in literals


@pytest.mark.parametrize(
    "make_steps", [unrolled_steps, steps_in(library.target())], ids=["unrolled", "native"]
)
def test_engines_in_lanes_train_a_sweep_with_one_program(make_steps):
    if make_steps is not unrolled_steps and library.compiler() is None:
        pytest.skip("no C compiler")
    first, *_, last = study(**SWEEP).experiments

    def bits(experiment: Any) -> bytes:
        engine = in_lanes(experiment, 16, make_steps, plain_forward_passes)
        return run_block(engine, experiment, 0, 16).risk.tobytes()

    lanes._training.cache_clear()
    one, other = bits(first), bits(last)
    assert lanes._training.cache_info().currsize == 1
    lanes._training.cache_clear()
    assert bits(last) == other != one
    lanes._training.cache_clear()


def test_claims_on_inactive_neurons_are_no_part_of_the_training_program():
    base = study(optimizer={"name": "adam", "learning_rate": 0.02}).experiments[0]
    slow = study(optimizer={"name": "adam", "learning_rate": 0.02, "b2": 0.5}).experiments[0]
    assert base.optimizer.forgets
    assert not slow.optimizer.forgets
    assert program_key(base) == program_key(slow)
    assert engines.certificate_key(base) != engines.certificate_key(slow)
    assert replace(base, label="other").optimizer is base.optimizer
