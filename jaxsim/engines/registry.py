"""The engines by name, and which of them can run an experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxsim.engines.engine import Engine, vmap_engine
from jaxsim.engines.lanes import in_lanes
from jaxsim.engines.native.engine import native_steps, native_unsupported_reason
from jaxsim.engines.native.forward_passes import native_forward_passes
from jaxsim.engines.pallas.engine import pallas_engine, pallas_unsupported_reason
from jaxsim.engines.unrolled import unrolled_steps, unrolled_unsupported_reason
from jaxsim.errors import InputError
from jaxsim.training.experiment import Experiment

EngineName = Literal["vmap", "lanes", "kernel", "pallas"]

_UNSUPPORTED: dict[EngineName, Callable[[Experiment], str]] = {
    "vmap": lambda experiment: "",
    "lanes": unrolled_unsupported_reason,
    "kernel": native_unsupported_reason,
    "pallas": pallas_unsupported_reason,
}


@dataclass(frozen=True)
class ExecutionConfig:
    """How a block is executed; part of the bits.

    Attributes:
        engine: "vmap", the reference; "lanes" or "kernel" on CPUs; "pallas" on GPUs.
        width: replicates per block.
        lanes: members per group of lanes and kernel, a divisor of the width; 1 for the others.
    """

    engine: EngineName
    width: int
    lanes: int = 1


def unsupported_reason(engine: EngineName, experiment: Experiment) -> str:
    """Return why an engine cannot run an experiment here; empty if it can."""
    return _UNSUPPORTED[engine](experiment)


def require(engine: EngineName, experiment: Experiment) -> None:
    """Check that an engine can run an experiment here.

    Raises:
        InputError: if it cannot.
    """
    reason = unsupported_reason(engine, experiment)
    if reason:
        others = [f'"{name}"' for name in _UNSUPPORTED if not unsupported_reason(name, experiment)]
        raise InputError(
            f'execution.engine = "{engine}" is not accepted for {experiment.label!r}: {reason}; '
            f"accepted: {', '.join(others)}"
        )


def make_engine(experiment: Experiment, config: ExecutionConfig) -> Engine:
    """Return the engine of a config.

    Raises:
        InputError: if it cannot run the experiment.
    """
    require(config.engine, experiment)
    if config.engine == "lanes":
        return in_lanes(experiment, config.lanes, unrolled_steps)
    if config.engine == "kernel":
        return in_lanes(experiment, config.lanes, native_steps, native_forward_passes)
    if config.engine == "pallas":
        return pallas_engine(experiment)
    return vmap_engine(experiment)
