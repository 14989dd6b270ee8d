"""The study format: which tables and keys a study file has, their types and defaults.

Unknown keys are errors. Names with parameters ({ law = "uniform", low = -1 }, { name = "adam",
... }) are checked by the registries of the mathematics they name, whose signatures are
the documentation of their parameters.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from jaxsim.engines.registry import ENGINES, current_name
from jaxsim.questions.events import Asked, Event, events_of

Table = dict[str, Any]
NameOrTable = str | Table
Positive = Annotated[int, Field(ge=1)]
MOST_CHECKPOINTS = 100_000
"""Of one experiment."""
MOST_SECONDS = 1e9
"""Of a budget."""


class Section(BaseModel):
    """A table of the study file: unknown keys are errors, types are strict."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def written(section: Section) -> set[str]:
    """Return the keys of a table that its writer stated.

    Resolved tables, such as those of a result directory, state every key; they show by a key that
    is null, which TOML cannot say. Of them, what differs from its default was stated.
    """
    fields = type(section).model_fields
    stated = section.model_fields_set
    if not any(getattr(section, key) is None for key in stated):
        return set(stated)
    return {
        key
        for key in stated
        if getattr(section, key) != fields[key].get_default(call_default_factory=True)
    }


class RiskSpec(Section):
    """[problem.risk]: how the true risk is computed where it is not an exact finite sum."""

    pieces: Annotated[int, Field(ge=1, le=2**20)] | None = Field(
        default=None,
        description="capacity for linear pieces of one-dimensional networks; default by size",
    )
    nodes: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="quadrature nodes per piece; default by degree"
    )
    points: Annotated[int, Field(ge=1, le=2**26)] = Field(
        default=1024, description="quasi-Monte Carlo points per scrambled replicate"
    )
    replicates: Annotated[int, Field(ge=2, le=4096)] = Field(
        default=16, description="independent scramblings, from whose spread the error is computed"
    )


class ProblemSpec(Section):
    """[problem]: the law of (X, Y), the loss, and what is known of the optimal risk."""

    input: NameOrTable | None = Field(
        default=None, description='law of X, e.g. { law = "uniform", ... }'
    )
    data: NameOrTable | None = Field(
        default=None,
        description="a data set in place of input and target, by name or as a table of name or "
        "path, scale, target_scale, task, label; test = { fraction = 0.2, seed = 0, stratified = "
        'true } or { path = "test.csv" } holds rows out, risk_over = "test", "train" or "all" '
        "says which rows the risk is over",
    )
    target: str | Annotated[list[str], Field(max_length=1000)] | Table | None = Field(
        default=None, description="an expression in x, x1, x2, ...; one per output; or a table"
    )
    noise: NameOrTable = Field(default="none", description='e.g. { law = "normal", std = 0.1 }')
    loss: NameOrTable = Field(
        default="squared", description="squared is the plain square, without 1/2"
    )
    optimum: float | list[float] | Table | None = Field(
        default=None,
        description="the optimal true risk if known, or [lower, upper]; or a table of value, or of "
        "lower and upper, or of one of them, with a reason",
    )
    risk: RiskSpec = Field(default_factory=RiskSpec)


class StatedOptimumSpec(Section):
    """problem.optimum as a table: what the user knows of the optimal risk, and how."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    reason: Annotated[str, Field(max_length=500)] = ""


class NetworkSpec(Section):
    """[network]: architecture and law of the random initialization."""

    hidden: Annotated[list[Positive], Field(max_length=1000)] | None = Field(
        default=None, description="widths of the hidden layers"
    )
    activation: NameOrTable = Field(
        default="relu", description="of the hidden layers, a name or a table"
    )
    weights: NameOrTable | list[NameOrTable] = Field(
        default="he_normal", description="law at initialization; a list gives one per layer"
    )
    biases: NameOrTable | Literal[False] | list[NameOrTable | Literal[False]] = Field(
        default="zero",
        description="law at initialization; false for none; a list gives one per layer",
    )
    output_bias: bool | None = Field(
        default=None, description="false removes the output layer's biases"
    )
    freeze: list[str] = Field(
        default_factory=list,
        description='parameters kept at their initial values: "output.weights"',
    )
    parametrization: Literal["standard", "ntk", "mean_field"] = Field(
        default="standard",
        description="factor of each layer: 1; ntk: fan_in^(-1/2); mean_field: 1 / fan_in from the "
        "second layer on",
    )
    module: str | None = Field(
        default=None, description='your own flax linen module: "module:factory"'
    )


class TrainingSetSpec(Section):
    """[training.set]: a finite training set in place of fresh samples."""

    size: Positive = Field(description="number of training samples")
    scope: Literal["replicate", "study"] = Field(
        default="replicate",
        description="drawn anew for each replicate, or once for all: then every probability is "
        "conditional on that one set",
    )
    distinct: bool = Field(
        default=False, description="drawn without replacement (finite input laws only)"
    )
    replacement: bool = Field(
        default=False,
        description="mini-batches with replacement; otherwise shuffled epochs of size // "
        "batch_size mini-batches, which leave size % batch_size rows unused in each epoch",
    )
    partial: Literal["drop", "keep"] = Field(
        default="drop",
        description='what becomes of the rows that an epoch leaves: unused, or with "keep" a '
        "smaller mini-batch that ends it (vmap engine)",
    )

    @model_serializer(mode="wrap")
    def _without_defaults_of_later_keys(self, handler: Any) -> dict[str, Any]:
        """Leave out what older versions did not know: identities derive from these tables."""
        found = handler(self)
        if found.get("partial") == "drop":
            del found["partial"]
        return found


class TrainingSpec(Section):
    """[training]: where gradients come from."""

    batch_size: Positive | Literal["population", "full"] = Field(
        default=32, description='"population": the exact gradient of the true risk'
    )
    set: TrainingSetSpec | None = Field(
        default=None, description="absent: fresh samples in every step"
    )


class ExperimentSpec(Section):
    """What one experiment is made of: everything that fixes the law of a run."""

    steps: Annotated[int, Field(ge=0, le=2**31 - 2)] = Field(
        default=1000, description="training steps n of every run"
    )
    checkpoints: (
        Annotated[int, Field(ge=1, le=MOST_CHECKPOINTS)]
        | Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=MOST_CHECKPOINTS)]
    ) = Field(
        default=16,
        description="about how many, log-spaced, or the steps themselves; 0 is always included",
    )
    precision: Literal["float32", "float64"] = Field(
        default="float32", description="of training; risks and statistics are always float64"
    )
    problem: ProblemSpec
    network: NetworkSpec
    optimizer: Table = Field(description="name, learning_rate and hyperparameters")
    training: TrainingSpec = Field(default_factory=TrainingSpec)


def _known_engine(name: Any) -> Any:
    """Return the name of today of an engine.

    Raises:
        PydanticCustomError: for what is none.
    """
    name = current_name(name)
    if isinstance(name, str) and name != "auto" and name not in ENGINES:
        *names, last = (f"'{n}'" for n in ("auto", *ENGINES))
        expected = f"{', '.join(names)} or {last}"
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": expected}
        )
    return name


class ExecutionSpec(Section):
    """[execution]: how blocks are executed. Engine, width and lanes are part of the bits."""

    engine: Annotated[str, BeforeValidator(_known_engine)] = Field(
        default="auto",
        json_schema_extra=lambda schema: schema.update(enum=["auto", *ENGINES]),
        description="auto takes the fastest by a short measurement, and vmap where the width "
        "is given",
    )
    lanes: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = Field(
        default="auto", description="members per group of the lanes and native engines"
    )
    width: Annotated[int, Field(ge=1, le=2**22)] | Literal["auto"] = Field(
        default="auto",
        description="replicates per compiled call; auto chooses by a short measurement",
    )
    shard: Annotated[int, Field(ge=1, le=2**32)] | Literal["auto"] = Field(
        default="auto", description="replicates per file, a multiple of the width"
    )
    matmul_precision: Literal["highest", "high", "default", "tensorfloat32", "bfloat16"] = Field(
        default="highest", description="of float32 matrix products on accelerators"
    )


class OptimumSpec(Section):
    """[optimum]: how long inf L is searched for; no run depends on it."""

    budget: Annotated[float, Field(ge=0, le=MOST_SECONDS)] | None = Field(
        default=None,
        description="seconds of a `run` for searches of bounds, beside the runs; 0 for none; by "
        "default a twentieth of the estimated time of the study, at least 10 while runs go on",
    )


class LevelsSpec(Section):
    """[levels]: runs whose parameters are led on to a local minimum of the exact risk."""

    runs: Annotated[int, Field(ge=0, le=10**6)] = Field(
        default=0,
        description="of each experiment, polished at the end of `run`; some hundreds show at which "
        "levels runs end. 0: only by `jaxsim levels`",
    )
    budget: Annotated[float, Field(ge=0, le=MOST_SECONDS)] | None = Field(
        default=None,
        description="seconds of a `run` for that, after the runs; by default a tenth of the "
        "estimated time of the study, at least 60",
    )


_Levels = (
    Annotated[float, Field()] | Annotated[list[float], Field(min_length=1, max_length=1000)] | None
)


class EventsSpec(Section):
    """[events]: what it means that a run fails, in place of `epsilon`; no run depends on it."""

    above_optimum: _Levels = Field(
        default=None, description="eps: the risk exceeds inf L by more; what `epsilon` says"
    )
    risk_above: _Levels = Field(default=None, description="c: the risk exceeds it")
    error_rate_above: _Levels = Field(
        default=None,
        description="c: the error rate (0-1 risk) of a classification exceeds it; 0.1 is an "
        "accuracy below 0.9",
    )
    not_all_right: bool | None = Field(
        default=None, description="true: some point is classified wrongly"
    )

    @model_serializer(mode="wrap")
    def _stated(self, handler: Any) -> dict[str, Any]:
        """Leave out what is not asked."""
        return {key: value for key, value in handler(self).items() if value is not None}


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


class StudySpec(ExperimentSpec):
    """A study file: one base experiment, the grid that varies it, and the questions asked."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)] = Field(
        description="of the study; its results go to runs/NAME"
    )
    title: str = Field(default="", description="one line for reports")
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = Field(
        default=0, description="all random numbers derive from it"
    )
    replicates: Annotated[int, Field(ge=1, le=2**32)] = Field(
        default=1024, description="independent training runs of each experiment"
    )
    epsilon: list[Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: [0.001, 0.01, 0.1],
        min_length=1,
        max_length=1000,
        description="thresholds: P(L(Theta_n) > inf L + epsilon) is estimated for each",
    )
    events: EventsSpec | None = Field(
        default=None,
        description="other events whose probabilities are estimated, in place of epsilon: "
        "{ above_optimum = 0.1 }, { risk_above = 0.1 }, { error_rate_above = 0.1 }, "
        "{ not_all_right = true }, one table or a list of them",
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.95, description="level of every interval"
    )
    interval: Literal["clopper-pearson", "wilson", "mid-p"] = Field(
        default="clopper-pearson",
        description="of each probability for itself; wilson and mid-p are approximate",
    )
    paired: list[Literal["optimizer", "network", "training", "problem"]] = Field(
        default_factory=list,
        description='tables whose choice does not change the random numbers: ["optimizer"] gives '
        "all optimizers the same initializations and mini-batches",
    )
    execution: ExecutionSpec = Field(default_factory=ExecutionSpec)
    optimum: OptimumSpec = Field(default_factory=OptimumSpec)
    levels: LevelsSpec = Field(default_factory=LevelsSpec)
    slurm: SlurmSpec = Field(default_factory=SlurmSpec)
    grid: dict[str, list[Any]] = Field(
        default_factory=dict, description='"optimizer.name" = [...]: all combinations are run'
    )
    experiment: list[Table] = Field(
        default_factory=list, description="[[experiment]]: explicit variations; `label` names them"
    )

    @field_validator("events", mode="before")
    @classmethod
    def _one_table(cls, value: Any) -> Any:
        """Return a list of events as one table."""
        if not isinstance(value, list):
            return value
        joined: dict[str, Any] = {}
        for table in value:
            if not isinstance(table, dict):
                raise PydanticCustomError("no_event", "a list of events should hold tables")
            for kind, levels in table.items():
                before = joined.get(kind)
                both = isinstance(levels, bool) or before is None
                joined[kind] = levels if both else [*_listed(before), *_listed(levels)]
        return joined

    @model_serializer(mode="wrap")
    def _as_asked(self, handler: Any) -> dict[str, Any]:
        """Leave out `events` where they are not stated, and the `epsilon` that they replace."""
        found = handler(self)
        found.pop("events" if found.get("events") is None else "epsilon", None)
        return found

    @property
    def asking(self) -> Asked:
        """What `jaxsim.analyse` is asked: thresholds above the optimal risk or a table."""
        return self.epsilon if self.events is None else self.events.model_dump()

    @property
    def asked(self) -> tuple[Event, ...]:
        """The events whose probabilities are asked for.

        Raises:
            InputError: for thresholds that are not accepted.
        """
        return events_of(self.asking)


def _listed(levels: Any) -> list[Any]:
    return list(levels) if isinstance(levels, list) else [levels]


QUESTIONS = ("title", "epsilon", "events", "confidence", "interval")
"""Keys that a report may ask otherwise than its study does."""

ANALYSIS_KEYS = (
    "title",
    "replicates",
    "epsilon",
    "events",
    "confidence",
    "interval",
    "optimum",
    "levels",
    "slurm",
)
"""Keys that may change in a directory with results: they do not touch any run."""
