"""One block: `width` replicates trained, observed at the checkpoints, and brought to the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.errors import InputError
from jaxsim.simulation import keys
from jaxsim.simulation.engine import Engine
from jaxsim.simulation.evaluate import Observation
from jaxsim.simulation.experiment import Experiment
from jaxsim.simulation.records import Records, Status


class Stopped(Exception):
    """The caller asked a block to stop; nothing of it is kept."""


def run_block(
    engine: Engine,
    experiment: Experiment,
    first: int,
    width: int,
    *,
    stop: Callable[[], bool] = lambda: False,
    checkpoints: Sequence[int] | None = None,
) -> Records:
    """Train and observe replicates first, ..., first + width - 1 on the current default device.

    Args:
        engine: of the experiment.
        experiment: what is trained.
        first: index of the first replicate.
        width: the engine's width.
        stop: asked between segments; True abandons the block.
        checkpoints: steps to observe in place of the experiment's; 0 first. The bits at common
            steps do not depend on this choice.

    Raises:
        Stopped: if `stop` said so.
        InputError: if a replicate index does not fit in 32 bits.
    """
    if first + width - 1 > keys.LARGEST_REPLICATE:
        raise InputError(
            f"replicate = {first + width - 1} is too large; accepted: up to "
            f"{keys.LARGEST_REPLICATE}"
        )
    steps = tuple(experiment.checkpoints if checkpoints is None else checkpoints)
    optimizer = experiment.optimizer
    rate = optimizer.learning_rate if optimizer.traced_learning_rate else 0.0
    learning_rate = jnp.asarray(rate, experiment.dtype)
    key = keys.experiment_key(experiment.seed, experiment.words)
    members = jnp.arange(first, first + width, dtype=jnp.uint32)

    shared = engine.shared(keys.root_key(experiment.seed))
    state = engine.init(key, members, learning_rate)
    observed: list[Observation] = []
    for place, step in enumerate(steps):
        if place:
            if stop():
                raise Stopped
            start = np.int32(steps[place - 1])
            state = engine.advance(state, shared, start, np.int32(step), learning_rate)
        observed.append(engine.observe(engine.theta(state)))
    gradient_norm = engine.gradient_norm(engine.theta(state))
    permanent, certified = engine.certificate(state, learning_rate)
    found = jax.device_get((observed, gradient_norm, permanent, certified, engine.diverged(state)))
    return _records(np.arange(first, first + width), steps, *found)


def _records(
    replicate: np.ndarray,
    steps: tuple[int, ...],
    observed: list[Observation],
    gradient_norm: np.ndarray,
    permanent: np.ndarray,
    certified: np.ndarray,
    diverged: np.ndarray,
) -> Records:
    risk = np.stack([o.risk for o in observed], axis=1)
    broken = ~np.isfinite(risk)
    # Between two checkpoints a run may leave the finite numbers without a bad mini-batch loss:
    # then the first checkpoint that shows it is the step.
    shown = np.asarray(steps)[broken.argmax(1)]
    step = np.where(diverged >= 0, diverged, np.where(broken.any(1), shown, -1))
    # A bad loss can be passed unharmed (a gradient of zero); what counts is where the run ended.
    status = np.where(broken[:, -1], Status.DIVERGED, Status.OK)
    return Records(
        replicate=replicate.astype(np.int64),
        status=status.astype(np.int8),
        diverged_step=np.where(status == Status.DIVERGED, step, -1).astype(np.int64),
        risk=risk,
        error=np.stack([o.error for o in observed], axis=1),
        inactive=np.stack([o.inactive for o in observed], axis=1).astype(np.int32),
        gradient_norm=np.asarray(gradient_norm, np.float64),
        permanent=np.asarray(permanent, np.int16),
        certified=np.asarray(certified, np.int32),
    )
