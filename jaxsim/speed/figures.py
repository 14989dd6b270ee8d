"""The figures of `jaxsim benchmark` as plain data: what benchmark.json holds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class Model(BaseModel):
    """Plain data whose fields are all described."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(Model):
    """A figure that was read several times."""

    low: float = Field(description="the least reading.")
    median: float = Field(description="the median of the readings.")
    high: float = Field(description="the largest reading.")
    readings: int = Field(description="how many there are.")

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        """Return the range of some readings."""
        return cls(
            low=min(values),
            median=statistics.median(values),
            high=max(values),
            readings=len(values),
        )


class Speed(Model):
    """One engine at one width, on one device (one core of a CPU)."""

    engine: str = Field(description="its name, as in execution.engine.")
    width: int = Field(description="members of a block.")
    lanes: int = Field(description="members of a group; 1 for engines without lanes.")
    member_steps_per_second: Range = Field(
        description="training steps of one network, all members of the block together, in a second."
    )
    gflops: float | None = Field(
        description="counted operations in a second, in 1e9, of the median; null where a step is "
        "not a pass over a mini-batch."
    )
    of_products: float | None = Field(
        description="gflops over the ceiling of matrix products in the study's precision."
    )
    of_copies: float = Field(
        description="bytes that would move if parameters and moments were read from memory and "
        "written back in every step, over the bandwidth of a copy; above 1 what trains stays in "
        "the cache or on the chip."
    )
    of_vmap: Range | None = Field(
        description="ratio to `vmap` at its best width, reading by reading of the same round; null "
        "where `vmap` was not read."
    )
    compile_seconds: float = Field(
        description="from nothing to the first step done: tracing, compilation (or its cache), "
        "initialization; in no other figure."
    )
    block_bytes: float = Field(
        description="memory of a block as `jaxsim plan` estimates it: parameters, moments, "
        "gradients, mini-batches."
    )
    state_bytes: int = Field(description="size of the state of a block, as it is.")
    chosen: bool = Field(description="whether `plan`, `run` and `launch` choose it.")


class RiskSpeed(Model):
    """Evaluations of the true risk by an engine at its best width."""

    engine: str = Field(description="its name.")
    width: int = Field(description="members of a block.")
    risks_per_second: float = Field(
        description="true risks with their errors and inactive neurons in a second, as at a "
        "checkpoint."
    )
    share_of_run: float = Field(
        description="of the time of a run of this experiment that its checkpoints take."
    )


class Scaling(Model):
    """An engine on several devices at the same time: processes that keep to one core of a CPU."""

    devices: int = Field(description="at the same time.")
    engine: str = Field(description="its name.")
    width: int = Field(description="members of a block.")
    member_steps_per_second: Range = Field(description="of all devices together.")
    speedup: float = Field(description="over the median on one device.")
    of_products: float | None = Field(
        description="gflops over the matrix products of as many devices at the same time."
    )


class Ceiling(Model):
    """What some devices reach at most, each by a program of its own at the same time."""

    devices: int = Field(description="at the same time.")
    products_gflops: float = Field(
        description="matrix products in the study's precision, square matrices of the best size."
    )
    copy_gigabytes_per_second: float = Field(
        description="a copy of an array that leaves the caches, bytes read and written."
    )


class LeftOut(Model):
    """What was not measured."""

    what: str = Field(description="an engine, an engine at a width, or a number of devices.")
    reason: str = Field(description="why.")


class Work(Model):
    """What one step of one member is counted as."""

    products: int | None = Field(
        description="operations of the matrix products of forward and backward pass; null where a "
        "step is not a pass over a mini-batch."
    )
    update: int | None = Field(description="operations of the optimizer's update.")
    bytes_moved: int = Field(description="parameters and moments of one member, read and written.")


class Choice(Model):
    """The config that `plan`, `run` and `launch` take for long studies, and the speed they use."""

    engine: str = Field(description="its name.")
    width: int = Field(description="members of a block.")
    lanes: int = Field(description="members of a group.")
    member_steps_per_second: float = Field(description="that times are estimated with.")
    remembered: bool = Field(
        description="from an earlier measurement; else from this one, which is remembered."
    )


class Figures(Model):
    """All that a benchmark measured."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="of this format.")
    kind: Literal["jaxsim benchmark"] = Field(
        default="jaxsim benchmark", description="what this is."
    )
    study: str = Field(description="name of the study.")
    experiment: str = Field(description="label of the experiment that was measured.")
    experiments: int = Field(description="of the study, of which this is one.")
    shape: str = Field(description="inputs, hidden layers and outputs, or the module's parameters.")
    optimizer: str = Field(description="its name.")
    batch_size: int | str = Field(description="samples per step.")
    precision: str = Field(description="floating type of the training.")
    date: str = Field(description="when it was measured, UTC.")
    platform: str = Field(description="kind of the devices, as JAX says.")
    device_kind: str = Field(description="the device, as JAX says.")
    processor: str = Field(description="the processor, as the system says.")
    cores: int = Field(description="that this process may use.")
    versions: dict[str, str] = Field(description="of jaxsim, Python and what it computes with.")
    compiler: str = Field(description="the C compiler of the native engine.")
    commit: str = Field(description="of the source tree; empty outside a repository.")
    pinned: bool = Field(
        description="whether one device is one core with a process of its own, as workers of long "
        "studies on CPUs are; else it is what this process has."
    )
    work: Work = Field(description="what a member-step is counted as.")
    ceilings: list[Ceiling] = Field(description="of the machine, by the number of devices.")
    speeds: list[Speed] = Field(description="by engine and width.")
    risks: list[RiskSpeed] = Field(description="evaluations of the true risk, by engine.")
    scaling: list[Scaling] = Field(description="by engine and number of devices.")
    left_out: list[LeftOut] = Field(description="what was not measured, and why.")
    choice: Choice | None = Field(
        description="what `plan`, `run` and `launch` take; null where too little was measured."
    )
    budget_seconds: float = Field(description="that were allowed.")
    seconds: float = Field(description="that were taken.")

    def ceiling(self, devices: int = 1) -> Ceiling | None:
        """Return the ceiling of so many devices, if it was measured."""
        return next((c for c in self.ceilings if c.devices == devices), None)

    def best(self, engine: str | None = None) -> Speed | None:
        """Return the fastest config, of an engine or of all."""
        mine = [s for s in self.speeds if engine in (None, s.engine)]
        return max(mine, key=lambda s: s.member_steps_per_second.median, default=None)
