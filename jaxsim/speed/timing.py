"""The one clock of training: compile a block, then time steps of it.

The choice of engines and widths (`jaxsim.launch.measure`), `jaxsim plan`, `jaxsim benchmark` and
the benchmarks of the repository all read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.engines.engine import Engine
from jaxsim.engines.registry import ExecutionConfig, make_engine
from jaxsim.training import keys
from jaxsim.training.experiment import Experiment

ALIKE_STEPS, ALIKE_RATE = 8, 1e-3
"""Steps and learning rate after which two ways of training are compared."""
SECONDS = 0.05
"""How long one reading takes at least: shorter ones measure the calls."""
READINGS, LEAST_READINGS = 12, 6
FIRST_STEPS, GROWTH = 4, 4
LONGEST_GROWTH, MOST_STEPS = 64, 1 << 30


def started(
    experiment: Experiment, config: ExecutionConfig, engine: Engine | None = None
) -> tuple[Engine, Any, Array]:
    """Return the engine of a config, the state of its first block at step 0, a learning rate."""
    engine = engine or make_engine(experiment, config)
    learning_rate = jnp.asarray(0.0, experiment.dtype)
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    members = jnp.arange(config.width, dtype=jnp.uint32)
    return engine, engine.init(key, members, learning_rate), learning_rate


class TrainingClock:
    """A block that is compiled and has taken a step, ready to be timed.

    Args:
        experiment: what is trained.
        config: engine, width and lanes.
        engine: the engine, if it is not to be made from the config.

    Attributes:
        compile_seconds: until the first step was done: tracing, compilation, initialization.
        state_bytes: of the state of the whole block: parameters, moments, data.
    """

    def __init__(
        self, experiment: Experiment, config: ExecutionConfig, engine: Engine | None = None
    ) -> None:
        begin = time.perf_counter()
        self._engine, self._state, self._rate = started(experiment, config, engine)
        self._shared = self._engine.shared(keys.root_key(experiment.seed))
        self._steps = FIRST_STEPS
        self._advance(1)
        self.compile_seconds = time.perf_counter() - begin
        self.state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(self._state))

    def _advance(self, steps: int, now: Callable[[], float] | None = None) -> float:
        """Return the seconds that so many steps take."""
        now = now or time.perf_counter
        begin = now()
        self._state = self._engine.advance(
            self._state, self._shared, np.int32(0), np.int32(steps), self._rate
        )
        jax.block_until_ready(self._state)
        return now() - begin

    def read(self, seconds: float = SECONDS, now: Callable[[], float] | None = None) -> float:
        """Return the seconds per step of one reading, which takes about `seconds`.

        Args:
            seconds: of the clock.
            now: the clock, by default that on the wall; one of processor time leaves out what other
                processes take.
        """
        while True:
            steps, elapsed = self._steps, self._advance(self._steps, now)
            if elapsed < seconds / 4 or elapsed > 4 * seconds:
                fitting = int(steps * seconds / max(elapsed, 1e-9))
                self._steps = min(max(fitting, 1), LONGEST_GROWTH * steps, MOST_STEPS)
            if elapsed >= seconds / 4 or self._steps == steps:
                return elapsed / steps

    def best(self) -> float:
        """Return the least seconds per step of several readings: what disturbs only slows down."""
        best = np.inf
        for repetition in range(READINGS):
            elapsed = self._advance(self._steps)
            best = min(best, elapsed / self._steps)
            if elapsed > SECONDS and repetition >= LEAST_READINGS - 1:
                break
            if elapsed < SECONDS / 4:
                self._steps *= GROWTH
        return float(best)


def trained(
    experiment: Experiment, config: ExecutionConfig, engine: Engine | None = None
) -> np.ndarray:
    """Return the parameters of a block after a few steps, [member, P]."""
    engine, state, _ = started(experiment, config, engine)
    rate = jnp.asarray(ALIKE_RATE, experiment.dtype)
    shared = engine.shared(keys.root_key(experiment.seed))
    state = engine.advance(state, shared, np.int32(0), np.int32(ALIKE_STEPS), rate)
    return np.asarray(engine.theta(state))


def observation_seconds(experiment: Experiment, config: ExecutionConfig) -> float:
    """Return the seconds of one observation, the true risks of a block at a checkpoint."""
    engine, state, learning_rate = started(experiment, config)
    theta = engine.theta(state)
    jax.block_until_ready(engine.observe(theta))
    begin = time.perf_counter()
    jax.block_until_ready(engine.observe(theta))
    seconds = time.perf_counter() - begin
    if jax.default_backend() != "cpu":
        # What comes at the end of a run must fit into the device's memory, too.
        end = engine.gradient_norm(theta), engine.certificate(state, learning_rate)
        jax.block_until_ready(end)
    return seconds
