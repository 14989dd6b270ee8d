"""The fastest form of a native program, found by timing all of them side by side.

A form costs about a second to compile, so that forms are only measured where much is trained. One
is taken instead of the estimate if it is clearly faster and trains to the same bits.
"""

from __future__ import annotations

import math
import time

import jax

from jaxsim.engines.native import forms
from jaxsim.engines.native.engine import native_engine
from jaxsim.engines.native.program import Target
from jaxsim.engines.registry import ExecutionConfig
from jaxsim.errors import InputError
from jaxsim.speed.timing import TrainingClock, trained
from jaxsim.training.experiment import Experiment

NATIVE = "native"
WORTH_SECONDS, MOST_PART = 120.0, 0.1
"""Of training on one core, from which on the measurement is worth its seconds; and how large a part
of it these may be."""
ROUNDS, READING = 6, 0.02
GAIN = 1.05


def find_form(experiment: Experiment, config: ExecutionConfig, seconds: float) -> bool:
    """Measure the forms of an experiment's native program and remember the fastest.

    Forms are read in turn, several times, and the least processor time of each counts: what
    disturbs a reading only slows it down. The best of many looks better than it is, so that it is
    read again beside the estimate.

    Args:
        experiment: what is trained.
        config: how it is executed.
        seconds: how long one core trains it.

    Returns:
        Whether another form than the estimate is taken from now on. Nothing is measured for other
        engines, for short trainings, and where the fastest form is known.
    """
    if config.engine != NATIVE or seconds < WORTH_SECONDS or forms.is_found(experiment):
        return False
    begin = time.perf_counter()
    clocks: dict[Target, TrainingClock] = {}
    bits: bytes | None = None
    for form in forms.forms(experiment):
        if time.perf_counter() - begin > MOST_PART * seconds:
            break
        engine = native_engine(experiment, config.lanes, form)
        try:
            end = trained(experiment, config, engine).tobytes()
            bits = bits or end
            if end == bits:
                clocks[form] = TrainingClock(experiment, config, engine)
        except (InputError, jax.errors.JaxRuntimeError):
            if not clocks:
                raise
    estimate = next(iter(clocks))
    first = _least(clocks)
    best = min(clocks, key=lambda form: first[form])
    again = _least({form: clocks[form] for form in (estimate, best)})
    if GAIN * again[best] > again[estimate]:
        best = estimate
    forms.remember(experiment, best)
    return best != estimate


def _least(clocks: dict[Target, TrainingClock]) -> dict[Target, float]:
    """Return the least seconds per step of each form."""
    least = dict.fromkeys(clocks, math.inf)
    for _ in range(ROUNDS):
        for form, clock in clocks.items():
            least[form] = min(least[form], clock.read(READING, time.process_time))
    return least
