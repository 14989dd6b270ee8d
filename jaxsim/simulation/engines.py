"""The engines by name, and which of them can run an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxsim.simulation.engine import Engine, vmap_engine
from jaxsim.simulation.experiment import Experiment
from jaxsim.simulation.lanes import lanes_engine

EngineName = Literal["vmap", "lanes"]


@dataclass(frozen=True)
class Form:
    """How a block is executed; part of the bits.

    Attributes:
        engine: "vmap", the reference, or "lanes".
        width: replicates per block.
        lanes: members per group of the lanes engine, a divisor of the width; 1 for vmap.
    """

    engine: EngineName
    width: int
    lanes: int = 1


def make_engine(experiment: Experiment, form: Form) -> Engine:
    """Return the engine of a form.

    Raises:
        InputError: if it cannot run the experiment.
    """
    if form.engine == "lanes":
        return lanes_engine(experiment, form.lanes)
    return vmap_engine(experiment)
