"""The engines by name, and which of them can run an experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxsim.errors import InputError
from jaxsim.simulation.engine import Engine, vmap_engine
from jaxsim.simulation.experiment import Experiment
from jaxsim.simulation.kernel.engine import kernel_obstacle, kernel_steps
from jaxsim.simulation.kernel.passes import kernel_passes
from jaxsim.simulation.lanes import in_lanes
from jaxsim.simulation.pallas.engine import pallas_engine, pallas_obstacle
from jaxsim.simulation.unrolled import unrolled_obstacle, unrolled_steps

EngineName = Literal["vmap", "lanes", "kernel", "pallas"]

_OBSTACLES: dict[EngineName, Callable[[Experiment], str]] = {
    "vmap": lambda experiment: "",
    "lanes": unrolled_obstacle,
    "kernel": kernel_obstacle,
    "pallas": pallas_obstacle,
}


@dataclass(frozen=True)
class Form:
    """How a block is executed; part of the bits.

    Attributes:
        engine: "vmap", the reference; "lanes" or "kernel" on CPUs; "pallas" on GPUs.
        width: replicates per block.
        lanes: members per group of lanes and kernel, a divisor of the width; 1 for the others.
    """

    engine: EngineName
    width: int
    lanes: int = 1


def obstacle(engine: EngineName, experiment: Experiment) -> str:
    """Return why an engine cannot run an experiment here; empty if it can."""
    return _OBSTACLES[engine](experiment)


def require(engine: EngineName, experiment: Experiment) -> None:
    """Check that an engine can run an experiment here.

    Raises:
        InputError: if it cannot.
    """
    reason = obstacle(engine, experiment)
    if reason:
        others = [f'"{name}"' for name in _OBSTACLES if not obstacle(name, experiment)]
        raise InputError(
            f'execution.engine = "{engine}" is not accepted for {experiment.label!r}: {reason}; '
            f"accepted: {', '.join(others)}"
        )


def make_engine(experiment: Experiment, form: Form) -> Engine:
    """Return the engine of a form.

    Raises:
        InputError: if it cannot run the experiment.
    """
    require(form.engine, experiment)
    if form.engine == "lanes":
        return in_lanes(experiment, form.lanes, unrolled_steps)
    if form.engine == "kernel":
        return in_lanes(experiment, form.lanes, kernel_steps, kernel_passes)
    if form.engine == "pallas":
        return pallas_engine(experiment)
    return vmap_engine(experiment)
