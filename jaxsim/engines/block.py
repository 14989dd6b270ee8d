"""One block: `width` replicates trained, observed at the checkpoints, and brought to the host.

A block can be left between two segments of its steps and taken up again from a `Snapshot`, in
another process or much later, without changing one bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.engines.engine import Engine
from jaxsim.errors import InputError
from jaxsim.training import keys
from jaxsim.training.evaluate import Observation
from jaxsim.training.experiment import Experiment
from jaxsim.training.pattern import pattern_changes
from jaxsim.training.records import Records, Status

FIRST_SEGMENT = 256
SEGMENT_SECONDS = 1.0
"""About how long a segment takes, and so how soon a request to stop takes effect."""
KEPT_EVERY = 60.0
"""Seconds between snapshots of a long block that are kept in case the process is killed."""


@dataclass(frozen=True)
class Snapshot:
    """A block on its way.

    Attributes:
        step: steps taken so far.
        state: the engine's state after them.
        observed: at the checkpoints so far.
    """

    step: int
    state: Any
    observed: tuple[Observation, ...]


class Stopped(Exception):
    """The caller asked a block to stop; `snapshot` is where it can be taken up again."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        super().__init__("a block was stopped")
        self.snapshot = snapshot


@dataclass(frozen=True)
class Resampling:
    """What happens to a block at the checkpoints if its replicates are a family of clones.

    Both are pure functions of the number of the block and of what was observed so far, so that a
    snapshot needs to hold nothing of them.

    Attributes:
        ancestors: -> which replicate of the block each goes on as, int32 [width]; None to leave
            all as they are.
        weights: -> of the replicates at the checkpoints so far, before their resampling,
            float64 [width, checkpoints].
    """

    ancestors: Callable[[int, Sequence[Observation]], np.ndarray | None]
    weights: Callable[[int, Sequence[Observation]], np.ndarray]


class SegmentSizer:
    """How many steps a segment may have, learnt from the segments before it."""

    def __init__(self, steps: int = FIRST_SEGMENT, seconds: float = SEGMENT_SECONDS) -> None:
        self.steps, self.seconds = steps, seconds

    def learn(self, steps: int, elapsed: float) -> None:
        """Learn from a segment that ran: compilation makes the first one slow, not the next."""
        wanted = int(steps * self.seconds / max(elapsed, 1e-6))
        self.steps = max(1, min(wanted, 64 * self.steps))


def run_block(
    engine: Engine,
    experiment: Experiment,
    first: int,
    width: int,
    *,
    stop: Callable[[], bool] = lambda: False,
    checkpoints: Sequence[int] | None = None,
    begin: Snapshot | None = None,
    sizer: SegmentSizer | None = None,
    keep: Callable[[Snapshot], None] | None = None,
    resampling: Resampling | None = None,
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
        begin: where the block was left; None to begin it.
        sizer: of the segments between checkpoints, each awaited; None for one each, not awaited.
        keep: given a snapshot every minute.
        resampling: at the experiment's own checkpoints, but the last; None for independent runs.

    Raises:
        Stopped: if `stop` said so, with the snapshot to go on from.
        InputError: if a replicate index does not fit in 32 bits.
    """
    if first + width - 1 > keys.LARGEST_REPLICATE:
        raise InputError(
            f"replicate = {first + width - 1} is too large; accepted: up to "
            f"{keys.LARGEST_REPLICATE}"
        )
    steps = tuple(experiment.checkpoints if checkpoints is None else checkpoints)
    learning_rate = _learning_rate(experiment)
    shared = engine.shared(keys.root_key(experiment.seed))
    assert resampling is None or steps == experiment.checkpoints

    def resampled(state: Any, observed: list[Observation]) -> Any:
        if resampling is None or len(observed) == len(steps):
            return state
        ancestors = resampling.ancestors(first // width, observed)
        if ancestors is None:
            return state
        streams = _fresh_streams(experiment, first, width, len(observed) - 1)
        return engine.resample(state, ancestors, streams)

    if begin is None:
        state = start(engine, experiment, first, width)
        observed, step = [engine.observe(engine.theta(state))], 0
        state = resampled(state, observed)
    else:
        state, observed, step = begin.state, list(begin.observed), begin.step

    kept = time.monotonic()
    while len(observed) < len(steps):
        goal = steps[len(observed)]
        while step < goal:
            if stop():
                raise Stopped(Snapshot(step, state, tuple(observed)))
            if keep is not None and time.monotonic() - kept > KEPT_EVERY:
                keep(Snapshot(step, state, tuple(observed)))
                kept = time.monotonic()
            last = goal if sizer is None else min(goal, step + sizer.steps)
            clock = time.perf_counter()
            state = engine.advance(state, shared, np.int32(step), np.int32(last), learning_rate)
            if sizer is not None and last - step >= min(sizer.steps, FIRST_SEGMENT):
                jax.block_until_ready(state)
                sizer.learn(last - step, time.perf_counter() - clock)
            step = last
        observed.append(engine.observe(engine.theta(state)))
        state = resampled(state, observed)
    gradient_norm = engine.gradient_norm(engine.theta(state))
    dead_layer, dead_neurons = engine.certificate(state, learning_rate)
    fields = jax.device_get(
        (observed, gradient_norm, dead_layer, dead_neurons, engine.diverged(state))
    )
    records = _records(np.arange(first, first + width), steps, *fields)
    if resampling is None:
        return records
    return records._replace(weight=resampling.weights(first // width, fields[0]))


def start(engine: Engine, experiment: Experiment, first: int, width: int) -> Any:
    """Return the engine's state of replicates first, ..., first + width - 1 at step 0."""
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    members = jnp.arange(first, first + width, dtype=jnp.uint32)
    state = engine.init(key, members, _learning_rate(experiment))
    if not experiment.shared_batches:
        return state
    every = np.arange(width, dtype=np.int32)
    return engine.resample(state, every, keys.shared_streams(experiment.seed, width))


def _fresh_streams(experiment: Experiment, first: int, width: int, checkpoint: int) -> jax.Array:
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    members = jnp.arange(first, first + width, dtype=jnp.uint32)
    return keys.fresh_streams(key, members, np.uint32(checkpoint))


def advance_to_end(engine: Engine, experiment: Experiment, first: int, width: int) -> Any:
    """Return the engine's state of a block after the last step, without observing it before."""
    state = start(engine, experiment, first, width)
    return advance_to(engine, experiment, state, experiment.checkpoints[1:])


def advance_to(engine: Engine, experiment: Experiment, state: Any, goals: Sequence[int]) -> Any:
    """Return the state of a block after the last of some steps, on the way from step 0."""
    shared, rate = engine.shared(keys.root_key(experiment.seed)), _learning_rate(experiment)
    begin = 0
    for goal in goals:
        state = engine.advance(state, shared, np.int32(begin), np.int32(goal), rate)
        begin = goal
    return state


def _learning_rate(experiment: Experiment) -> jax.Array:
    optimizer = experiment.optimizer
    rate = optimizer.learning_rate if optimizer.traced_learning_rate else 0.0
    return jnp.asarray(rate, experiment.dtype)


def _records(
    replicate: np.ndarray,
    steps: tuple[int, ...],
    observed: list[Observation],
    gradient_norm: np.ndarray,
    dead_layer: np.ndarray,
    dead_neurons: np.ndarray,
    diverged: np.ndarray,
) -> Records:
    risk = np.stack([o.risk for o in observed], axis=1)
    rates = np.stack([o.error_rate for o in observed], axis=1)
    patterns = [np.asarray(o.pattern) for o in observed]
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
        dead_layer=np.asarray(dead_layer, np.int16),
        dead_neurons=np.asarray(dead_neurons, np.int32),
        constant=np.stack([o.constant for o in observed], axis=1).astype(np.int8),
        error_rate=rates if rates.shape[2] else np.zeros((len(risk), 0, 2)),
        weight=np.zeros((len(risk), 0)),
        pattern_changes=(
            pattern_changes(patterns, ~broken)
            if patterns[0].size
            else np.zeros((len(risk), 0), np.int32)
        ),
    )
