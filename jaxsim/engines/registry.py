"""The engines by name: what each can run, what of it is worth measuring, and how it is made.

A new engine is one file and one line of `ENGINES`. The study format, the measurement that chooses
an engine, provenance and the engines' tests are made from this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from jaxsim.engines.engine import Engine, vmap_engine
from jaxsim.engines.lanes import LANES, in_lanes
from jaxsim.engines.native.engine import lanes_of, native_engine, native_unsupported_reason
from jaxsim.engines.native.forms import form_of
from jaxsim.engines.native.library import compiler_version
from jaxsim.engines.pallas.engine import pallas_engine, pallas_unsupported_reason
from jaxsim.engines.unrolled import unrolled_steps, unrolled_unsupported_reason
from jaxsim.errors import InputError
from jaxsim.training.experiment import Experiment

EngineName = str
REFERENCE: EngineName = "vmap"
"""The engine that runs every experiment, and whose numbers the others' agree with."""


@dataclass(frozen=True)
class ExecutionConfig:
    """How a block is executed; part of the bits.

    Attributes:
        engine: its name in `ENGINES`.
        width: replicates per block.
        lanes: members per group of an engine in lanes, a divisor of the width; 1 for the others.
    """

    engine: EngineName
    width: int
    lanes: int = 1


@dataclass(frozen=True)
class EngineKind:
    """What an engine is: all that a new one has to say.

    Attributes:
        make: (experiment, config) -> the engine of an experiment that it can run.
        unsupported_reason: experiment -> why it cannot run it here; empty if it can.
        lane_counts: experiment -> groups worth measuring, for an engine that trains members in
            lanes; None for one whose blocks are as wide as the reference engine's.
        automatic: experiment -> whether to measure it where the study leaves the engine open.
        verified: whether it is chosen by itself only where it is found to train as the reference
            does: its compiler may be wrong on a device it was never tried on.
        facts: what belongs to the provenance of its shards besides versions and device.
    """

    make: Callable[[Experiment, ExecutionConfig], Engine]
    unsupported_reason: Callable[[Experiment], str] = lambda experiment: ""
    lane_counts: Callable[[Experiment], tuple[int, ...]] | None = None
    automatic: Callable[[Experiment], bool] = lambda experiment: False
    verified: bool = False
    facts: Callable[[], dict[str, str]] = dict


def _on_cpu(experiment: Experiment) -> bool:
    return jax.default_backend() == "cpu"


ENGINES: dict[EngineName, EngineKind] = {
    REFERENCE: EngineKind(lambda experiment, config: vmap_engine(experiment)),
    "lanes": EngineKind(
        make=lambda experiment, config: in_lanes(experiment, config.lanes, unrolled_steps),
        unsupported_reason=unrolled_unsupported_reason,
        lane_counts=lambda experiment: LANES,
        # Where there is a C compiler its programs are faster.
        automatic=lambda experiment: (
            _on_cpu(experiment) and bool(native_unsupported_reason(experiment))
        ),
    ),
    "native": EngineKind(
        make=lambda experiment, config: native_engine(
            experiment, config.lanes, form_of(experiment)
        ),
        unsupported_reason=native_unsupported_reason,
        lane_counts=lambda experiment: (lanes_of(experiment),),
        automatic=_on_cpu,
        facts=lambda: {"compiler": compiler_version()},
    ),
    "pallas": EngineKind(
        make=lambda experiment, config: pallas_engine(experiment),
        unsupported_reason=pallas_unsupported_reason,
        automatic=lambda experiment: not _on_cpu(experiment),
        verified=True,
    ),
}

FORMER_NAMES = {"kernel": "native"}
"""Names that engines had: study files, manifests and shards that say them stay valid."""


def current_name(engine: Any) -> Any:
    """Return an engine's name of today; what is no former name comes back as it is."""
    return FORMER_NAMES.get(engine, engine) if isinstance(engine, str) else engine


def unsupported_reason(engine: EngineName, experiment: Experiment) -> str:
    """Return why an engine cannot run an experiment here; empty if it can."""
    return ENGINES[engine].unsupported_reason(experiment)


def require(engine: EngineName, experiment: Experiment) -> None:
    """Check that an engine can run an experiment here.

    Raises:
        InputError: if it cannot.
    """
    reason = unsupported_reason(engine, experiment)
    if reason:
        others = [f'"{name}"' for name in ENGINES if not unsupported_reason(name, experiment)]
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
    return ENGINES[config.engine].make(experiment, config)
