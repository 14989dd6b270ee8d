"""The block width, chosen by a short measurement.

Small networks want blocks that stay in cache, accelerators want blocks that fill them. Starting
small, the width grows fourfold until the throughput stops growing; the smallest width close to the
best wins. The choice is remembered per program, device kind and version, since it costs a
compilation per width, and recorded with the study, since it is part of the bits.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim import runtime
from jaxsim.errors import InputError
from jaxsim.results.files import write_atomically
from jaxsim.results.provenance import versions
from jaxsim.simulation import keys
from jaxsim.simulation.engine import Engine, vmap_engine
from jaxsim.simulation.experiment import Experiment

SMALLEST, FACTOR, LARGEST = 16, 4, 16384
GAIN = 1.1
SECONDS = 0.05


@dataclass(frozen=True)
class Measurement:
    """The chosen width and how fast it trains.

    Attributes:
        width: replicates per block.
        seconds_per_step: for one step of a whole block.
        seconds_per_observation: for the observation of a whole block at one checkpoint.
        remembered: taken from an earlier measurement.
    """

    width: int
    seconds_per_step: float
    seconds_per_observation: float
    remembered: bool = False

    def block_seconds(self, experiment: Experiment) -> float:
        """Return the estimated time of one block, without compilation."""
        observations = len(experiment.checkpoints) + 1
        return (
            self.seconds_per_step * experiment.steps + self.seconds_per_observation * observations
        )


def measure(experiment: Experiment, replicates: int, width: int | None = None) -> Measurement:
    """Return the best width for an experiment, or the speed of a given one, on this device."""
    path = runtime.cache_directory() / "widths" / f"{_key(experiment, replicates, width)}.json"
    try:
        return Measurement(**(json.loads(path.read_text()) | {"remembered": True}))
    except (OSError, ValueError, TypeError):
        pass
    found = _search(experiment, replicates) if width is None else _timed(experiment, width)
    try:
        write_atomically(path, json.dumps(asdict(found)).encode())
    except InputError:
        # A cache that cannot be written costs time, not results.
        pass
    return found


def _search(experiment: Experiment, replicates: int) -> Measurement:
    enough = max(SMALLEST, 1 << (replicates - 1).bit_length())
    tried: list[Measurement] = []
    width = SMALLEST
    while width <= min(LARGEST, enough):
        try:
            tried.append(_timed(experiment, width))
        except jax.errors.JaxRuntimeError:
            # Out of memory: what fitted before is the answer.
            if not tried:
                raise
            break
        rates = [m.width / m.seconds_per_step for m in tried]
        if len(rates) > 1 and rates[-1] < GAIN * max(rates[:-1]):
            break
        width *= FACTOR
    best = max(m.width / m.seconds_per_step for m in tried)
    return next(m for m in tried if GAIN * m.width / m.seconds_per_step >= best)


def _timed(experiment: Experiment, width: int) -> Measurement:
    engine = vmap_engine(experiment)
    learning_rate = jnp.asarray(0.0, experiment.dtype)
    key = keys.experiment_key(experiment.seed, experiment.words)
    shared = engine.shared(keys.root_key(experiment.seed))
    state = engine.init(key, jnp.arange(width, dtype=jnp.uint32), learning_rate)
    jax.block_until_ready(engine.observe(engine.theta(state)))
    start = time.perf_counter()
    jax.block_until_ready(engine.observe(engine.theta(state)))
    observation = time.perf_counter() - start
    steps, best = 4, np.inf
    state = engine.advance(state, shared, np.int32(0), np.int32(1), learning_rate)
    jax.block_until_ready(state)
    for _ in range(12):
        start = time.perf_counter()
        state = engine.advance(state, shared, np.int32(0), np.int32(steps), learning_rate)
        jax.block_until_ready(state)
        elapsed = time.perf_counter() - start
        best = min(best, elapsed / steps)
        if elapsed > SECONDS and _ >= 5:
            break
        if elapsed < SECONDS / 4:
            steps *= 4
    return Measurement(width, best, observation)


def _key(experiment: Experiment, replicates: int, width: int | None) -> str:
    device = jax.local_devices()[0]
    enough = min(LARGEST, 1 << (replicates - 1).bit_length())
    facts = [
        experiment.program,
        experiment.evaluation,
        device.device_kind,
        versions()["jaxlib"],
        str(runtime.cores()),
        str(enough if width is None else -width),
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]


__all__ = ["Engine", "Measurement", "measure"]
