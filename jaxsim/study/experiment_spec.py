"""The tables of the study format that fix the law of a run: problem, network, optimizer, training.

Names with parameters ({ law = "uniform", low = -1 }, { name = "adam", ... }) are checked by the
registries of the mathematics they name, whose signatures are the documentation of their parameters.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer

from jaxsim.study.section import NameOrTable, Positive, Section, Table, without_defaults

MOST_CHECKPOINTS = 100_000
"""Of one experiment."""


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

    counts: bool = Field(
        default=False,
        description="true: only how often each point was drawn is held, so that `size` may be any "
        'number (finite input laws without noise, batch_size = "full", vmap engine)',
    )

    @model_serializer(mode="wrap")
    def _without_defaults_of_later_keys(self, handler: Any) -> dict[str, Any]:
        return without_defaults(TrainingSetSpec, handler(self), "partial", "counts")


class TrainingSpec(Section):
    """[training]: where gradients come from."""

    batch_size: Positive | Literal["population", "full"] = Field(
        default=32, description='"population": the exact gradient of the true risk'
    )
    set: TrainingSetSpec | None = Field(
        default=None, description="absent: fresh samples in every step"
    )
    mini_batches: Literal["own", "shared"] = Field(
        default="own",
        description="each replicate draws its own, or all see the same ones: then every "
        "probability is conditional on that one stream of mini-batches",
    )

    @model_serializer(mode="wrap")
    def _without_defaults_of_later_keys(self, handler: Any) -> dict[str, Any]:
        return without_defaults(TrainingSpec, handler(self), "mini_batches")


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
