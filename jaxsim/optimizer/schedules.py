"""Learning-rate schedules n -> lr_n, by name, as optax has them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import optax
from jax import Array
from pydantic import Field

from jaxsim.errors import InputError

Rate = Annotated[float, Field(gt=0)]
Level = Annotated[float, Field(ge=0)]
Steps = Annotated[int, Field(ge=1, le=2**31 - 1)]
Begin = Annotated[int, Field(ge=0, le=2**31 - 1)]
Share = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class Schedule:
    """A learning rate that depends on the step.

    Attributes:
        function: n = 0, 1, ... -> learning rate of step n + 1.
        non_increasing: it is certain that it never grows.
    """

    function: Callable[[Array], Any]
    non_increasing: bool

    def __call__(self, count: Any) -> Any:
        """Return the learning rate after `count` steps."""
        return self.function(count)


def constant(value: Rate) -> Schedule:
    """lr_n = value."""
    return Schedule(optax.constant_schedule(value), True)


def cosine_decay(
    init_value: Rate, decay_steps: Steps, alpha: Level = 0.0, exponent: Rate = 1.0
) -> Schedule:
    """Half a cosine from init_value to alpha init_value (Loshchilov and Hutter 2017)."""
    return Schedule(
        optax.cosine_decay_schedule(init_value, decay_steps, alpha, exponent), alpha <= 1
    )


def exponential_decay(
    init_value: Rate,
    transition_steps: Steps,
    decay_rate: Rate,
    transition_begin: Begin = 0,
    staircase: bool = False,
    end_value: Rate | None = None,
) -> Schedule:
    """init_value decay_rate^(n / transition_steps)."""
    function = optax.exponential_decay(
        init_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )
    return Schedule(function, decay_rate <= 1 and (end_value is None or end_value <= init_value))


def polynomial(
    init_value: Rate,
    end_value: Level,
    power: Rate,
    transition_steps: Steps,
    transition_begin: Begin = 0,
) -> Schedule:
    """From init_value to end_value as a power of the remaining steps."""
    function = optax.polynomial_schedule(
        init_value, end_value, power, transition_steps, transition_begin
    )
    return Schedule(function, end_value <= init_value)


def linear(
    init_value: Rate, end_value: Level, transition_steps: Steps, transition_begin: Begin = 0
) -> Schedule:
    """From init_value to end_value on a straight line."""
    function = optax.linear_schedule(init_value, end_value, transition_steps, transition_begin)
    return Schedule(function, end_value <= init_value)


def piecewise_constant(
    init_value: Rate, boundaries: tuple[Steps, ...], scales: tuple[Rate, ...]
) -> Schedule:
    """init_value, multiplied by scales[i] after boundaries[i] steps."""
    pairs = _pairs(boundaries, scales)
    return Schedule(
        optax.piecewise_constant_schedule(init_value, pairs), all(s <= 1 for s in scales)
    )


def piecewise_interpolate(
    interpolate_type: Literal["linear", "cosine"],
    init_value: Rate,
    boundaries: tuple[Steps, ...],
    scales: tuple[Rate, ...],
) -> Schedule:
    """As piecewise_constant, with lines or half cosines from one value to the next."""
    pairs = _pairs(boundaries, scales)
    function = optax.piecewise_interpolate_schedule(interpolate_type, init_value, pairs)
    return Schedule(function, all(s <= 1 for s in scales))


def _pairs(boundaries: tuple[int, ...], scales: tuple[float, ...]) -> dict[int, float]:
    if len(boundaries) != len(scales) or list(boundaries) != sorted(set(boundaries)):
        raise InputError(
            f"boundaries = {list(boundaries)} should increase and be as many as scales = "
            f"{list(scales)}"
        )
    return dict(zip(boundaries, scales, strict=True))


def power(init_value: Rate, exponent: Level) -> Schedule:
    """init_value n^(-exponent) in step n = 1, 2, ..."""
    return Schedule(lambda count: init_value * (jnp.asarray(count, float) + 1) ** -exponent, True)


def warmup_cosine_decay(
    init_value: Level,
    peak_value: Rate,
    warmup_steps: Steps,
    decay_steps: Steps,
    end_value: Level = 0.0,
    exponent: Rate = 1.0,
) -> Schedule:
    """A line up to peak_value, then half a cosine down to end_value."""
    if decay_steps <= warmup_steps:
        raise InputError(
            f"decay_steps = {decay_steps} counts the warm-up too: it should exceed warmup_steps = "
            f"{warmup_steps}"
        )
    function = optax.warmup_cosine_decay_schedule(
        init_value, peak_value, warmup_steps, decay_steps, end_value, exponent
    )
    return Schedule(function, False)


def warmup_exponential_decay(
    init_value: Level,
    peak_value: Rate,
    warmup_steps: Steps,
    transition_steps: Steps,
    decay_rate: Rate,
    transition_begin: Begin = 0,
    staircase: bool = False,
    end_value: Rate | None = None,
) -> Schedule:
    """A line up to peak_value, then exponential decay."""
    function = optax.warmup_exponential_decay_schedule(
        init_value,
        peak_value,
        warmup_steps,
        transition_steps,
        decay_rate,
        transition_begin,
        staircase,
        end_value,
    )
    return Schedule(function, False)


def warmup_constant(init_value: Level, peak_value: Rate, warmup_steps: Steps) -> Schedule:
    """A line up to peak_value, then constant."""
    return Schedule(optax.warmup_constant_schedule(init_value, peak_value, warmup_steps), False)


def cosine_onecycle(
    transition_steps: Steps,
    peak_value: Rate,
    pct_start: Share = 0.3,
    div_factor: Rate = 25.0,
    final_div_factor: Rate = 1e4,
) -> Schedule:
    """Up and down again within transition_steps, in half cosines (Smith and Topin 2017)."""
    _require_phases(transition_steps, pct_start, 1.0)
    function = optax.cosine_onecycle_schedule(
        transition_steps, peak_value, pct_start, div_factor, final_div_factor
    )
    return Schedule(function, False)


def linear_onecycle(
    transition_steps: Steps,
    peak_value: Rate,
    pct_start: Share = 0.3,
    pct_final: Share = 0.85,
    div_factor: Rate = 25.0,
    final_div_factor: Rate = 1e4,
) -> Schedule:
    """Up, down again and further down within transition_steps, in lines (Smith and Topin 2017)."""
    _require_phases(transition_steps, pct_start, pct_final)
    function = optax.linear_onecycle_schedule(
        transition_steps, peak_value, pct_start, pct_final, div_factor, final_div_factor
    )
    return Schedule(function, False)


def _require_phases(transition_steps: int, pct_start: float, pct_final: float) -> None:
    """Refuse phases of no step, which optax would silently merge."""
    ends = [0, int(pct_start * transition_steps), int(pct_final * transition_steps)]
    ends += [transition_steps] if pct_final < 1 else []
    if any(later <= earlier for earlier, later in itertools.pairwise(ends)):
        raise InputError(
            f"transition_steps = {transition_steps} leaves a phase without a step: the phases end "
            f"at steps {', '.join(map(str, ends[1:]))}"
        )


def sgdr(
    peak_values: tuple[Rate, ...],
    warmup_steps: tuple[Steps, ...],
    decay_steps: tuple[Steps, ...],
    init_value: Level = 0.0,
    end_value: Level = 0.0,
) -> Schedule:
    """Warm restarts: one warmup_cosine_decay after the other (Loshchilov and Hutter 2017)."""
    if not peak_values or not len(peak_values) == len(warmup_steps) == len(decay_steps):
        raise InputError(
            f"peak_values = {list(peak_values)}, warmup_steps = {list(warmup_steps)} and "
            f"decay_steps = {list(decay_steps)} should be lists of one length, an entry per cycle"
        )
    cycles = list(zip(peak_values, warmup_steps, decay_steps, strict=True))
    for peak, warmup, decay in cycles:
        warmup_cosine_decay(init_value, peak, warmup, decay, end_value)
    function = optax.sgdr_schedule(
        [
            {
                "init_value": init_value,
                "peak_value": peak,
                "warmup_steps": warmup,
                "decay_steps": decay,
                "end_value": end_value,
            }
            for peak, warmup, decay in cycles
        ]
    )
    return Schedule(function, False)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "cosine_decay": cosine_decay,
    "exponential_decay": exponential_decay,
    "polynomial": polynomial,
    "linear": linear,
    "piecewise_constant": piecewise_constant,
    "piecewise_interpolate": piecewise_interpolate,
    "power": power,
    "warmup_cosine_decay": warmup_cosine_decay,
    "warmup_exponential_decay": warmup_exponential_decay,
    "warmup_constant": warmup_constant,
    "cosine_onecycle": cosine_onecycle,
    "linear_onecycle": linear_onecycle,
    "sgdr": sgdr,
}
