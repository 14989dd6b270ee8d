"""The [slurm] table of the study format: what batch jobs ask of a cluster."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jaxsim.study.section import Positive, Section

_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,:&|()\[\]*=@+/-]+$", max_length=200)]
_Gpus = Annotated[str, Field(pattern=r"^(0|([A-Za-z0-9_.-]+:)?[1-9][0-9]*)$")]
"""What Slurm's own names are made of: nothing that a shell would read as more than a word."""


FORMER_SLURM_KEYS = {"notice": "grace_period"}


def current_slurm_keys(table: Any) -> Any:
    """Return a [slurm] table with the names of today for keys that had others.

    Raises:
        PydanticCustomError: if it says one key by both names.
    """
    if not isinstance(table, dict):
        return table
    for former, name in FORMER_SLURM_KEYS.items():
        if table.get(former) is not None and table.get(name) is not None:
            raise PydanticCustomError(
                "said_twice",
                "{former} is the former name of {name}",
                {"former": former, "name": name},
            )
        if former in table:
            table = {name: table[former]} | {k: v for k, v in table.items() if k != former}
    return table


class SlurmSpec(Section):
    """[slurm]: what `jaxsim launch` asks of a cluster; no run depends on it."""

    _former_keys = model_validator(mode="before")(current_slurm_keys)

    partition: _Word | None = Field(default=None, description="--partition")
    account: _Word | None = Field(default=None, description="--account")
    qos: _Word | None = Field(default=None, description="--qos")
    constraint: _Word | None = Field(default=None, description="--constraint, e.g. a kind of GPU")
    reservation: _Word | None = Field(default=None, description="--reservation")
    gpus: Annotated[int, Field(ge=0)] | _Gpus | None = Field(
        default=None, description="GPUs of each task, as 1 or a100:1; 0 (default) for CPUs"
    )
    gres: _Word | None = Field(default=None, description="--gres, in place of gpus")
    cpus: Positive | None = Field(default=None, description="cores of each task; 1 by default")
    memory: _Word | None = Field(default=None, description="--mem of each task, e.g. 8G")
    time: Annotated[str, Field(pattern=r"^(\d+-)?\d+(:\d+){0,2}$")] | None = Field(
        default=None, description='limit of each attempt of a task, as Slurm has it; "01:00:00"'
    )
    grace_period: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="seconds before the limit at which a task stops; 60 by default"
    )
    tasks: Positive | None = Field(default=None, description="size of the array; 1 by default")
    parallel: Positive | None = Field(default=None, description="tasks at the same time")
    container: str | None = Field(default=None, description="an Apptainer image")
    modules: list[str] | None = Field(default=None, description="environment modules to load")
    environment: dict[str, str] | None = Field(
        default=None, description="environment variables of the tasks"
    )
    options: list[str] | None = Field(
        default=None, description='more options of sbatch: "--exclude=node7"'
    )
    python: str | None = Field(
        default=None, description="interpreter on the nodes; the one that submits by default"
    )
