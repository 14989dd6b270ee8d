"""Records as a table of rows, for export and for pandas, with what every column means.

A diverged run has risk infinity and error 0, so that `risk > threshold` counts it as a failure in
pandas, polars, DuckDB and Arrow alike; a not-a-number would be a success in one and a failure in
another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsim.design.stratum import Stratum
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records, Status

if TYPE_CHECKING:  # workers make no frames, and should not wait for its import
    import pandas as pd

Axis = str | int | float | bool | None

LAW = "the law of X"
"""What a risk is over that is not one over rows of a data set."""

COLUMNS = {
    "experiment": "label of the experiment",
    "replicate": "index of the training run; part of its identity",
    "stratum": "number of the stratum of initializations that the run is of; no column under the "
    "plain design",
    "probability": "share of the law of the initialization that the run stands for: the stratum's "
    "probability over its runs; sums of it are estimates; no column under the plain design",
    "status": "how the run ended: ok or diverged",
    "diverged_step": "first step found to be infinite or not a number; -1 if none",
    "n": "number of training steps at this checkpoint",
    "risk": "true risk L(Theta_n); infinity for a diverged run, which is a failure at every eps",
    "risk_over": "rows of the data set that the risk is over; no column without a data set",
    "error": "error of the risk: a bound or an estimate, see the report; 0 for a diverged run",
    "error_rate": "probability that the network's class is wrong (0-1 risk), over the same law as "
    "the risk; 1 for a diverged run; a column only where events of the study ask for it",
    "error_rate_error": "bound on the error of the error rate",
    "weight": "of a particle of a family of clones, before the resampling at this checkpoint: "
    "weight times failure, averaged over a family, is unbiased; no column for independent runs",
    "pattern_changes": "pairs of a hidden neuron and a data point of which the activation pattern "
    "differs from that at step 0; empty for a diverged run; a column only where `record` asks for "
    "it",
    "inactive_1": "first-layer neurons that are inactive on the whole support, certified",
    "inactive_L_at_least": "the same for hidden layer L >= 2, where it is a lower bound",
    "constant": "1 if the network is constant on the whole support at this checkpoint, 0 if it is "
    "not known to be; empty in shards of versions that did not look",
    "gradient_norm": "norm of the gradient of the true risk; known at the last step only",
    "dead_layer": "first hidden layer (from 1) certified to stay wholly inactive in all further "
    "training, 0 if there is none; known at the last step only",
    "dead_neurons": "first-layer neurons certified to stay inactive in all further training; known "
    "at the last step only",
    "seed_path": "numbers folded into the run's random key, from the study's seed on",
}
"""Column -> what it means. Keys in which experiments differ ("optimizer.name") stand after
`experiment`; with several hidden layers there is an inactive column for each."""


def frame(
    experiment: Experiment,
    records: Records,
    axes: Mapping[str, Axis] | None = None,
    layers: int | None = None,
    over: bool = False,
    stratum: Stratum | None = None,
    share: float = 0.0,
) -> pd.DataFrame:
    """Return one row per replicate and checkpoint of some records, with the columns of `COLUMNS`.

    Args:
        experiment: of the records.
        records: R replicates.
        axes: its values of the keys in which experiments differ (`axes_of`).
        layers: hidden layers that get a column, those that it lacks empty; None for its own.
        over: whether there is a column `risk_over` even without a data set.
        stratum: that the records are of; None under the plain design.
        share: of the law of the initialization that each of them stands for.
    """
    import pandas as pd

    trained = experiment if stratum is None else stratum.experiment
    rows, checkpoints = records.risk.shape

    def repeated(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, checkpoints)

    def at_last(values: np.ndarray, dtype: str) -> Any:
        column = np.full((rows, checkpoints), None, object)
        column[:, -1] = values
        return pd.array(column.ravel(), dtype=dtype)

    known = np.isfinite(records.risk)
    columns: dict[str, Any] = {"experiment": np.repeat(experiment.label, rows * checkpoints)}
    for key, value in (axes or {}).items():
        columns.setdefault(key, np.repeat(np.array([value], object), rows * checkpoints))
    columns["replicate"] = repeated(records.replicate)
    if stratum is not None:
        columns["stratum"] = np.full(rows * checkpoints, stratum.number, np.int64)
        columns["probability"] = np.full(rows * checkpoints, share)
    columns |= {
        "status": repeated(np.array([Status(s).name.lower() for s in records.status])),
        "diverged_step": repeated(records.diverged_step),
        "n": np.tile(experiment.checkpoints, rows),
        "risk": np.where(known, records.risk, np.inf).ravel(),
        "error": np.where(known, records.error, 0.0).ravel(),
    }
    if over or experiment.problem.over:
        columns["risk_over"] = np.repeat(experiment.problem.over or LAW, rows * checkpoints)
    if records.error_rate.shape[1]:
        rate, slack = np.moveaxis(records.error_rate, 2, 0)
        columns["error_rate"] = np.where(known, rate, 1.0).ravel()
        columns["error_rate_error"] = np.where(known, slack, 0.0).ravel()
    if records.weight.shape[1]:
        columns["weight"] = records.weight.ravel()
    if records.pattern_changes.shape[1]:
        changes = records.pattern_changes.ravel()
        columns["pattern_changes"] = pd.arrays.IntegerArray(np.maximum(changes, 0), changes < 0)
    recorded_layers = records.inactive.shape[2]
    for layer in range(recorded_layers if layers is None else layers):
        name = inactive_column(layer + 1)
        if layer < recorded_layers:
            columns[name] = pd.array(records.inactive[:, :, layer].ravel(), dtype="Int32")
        else:
            columns[name] = pd.array([pd.NA] * (rows * checkpoints), dtype="Int32")
    constant = records.constant.ravel()
    columns["constant"] = pd.arrays.IntegerArray(np.maximum(constant, 0), constant < 0)
    norm = np.where(np.isfinite(records.gradient_norm), records.gradient_norm, np.inf)
    columns["gradient_norm"] = at_last(norm, "Float64")
    columns["dead_layer"] = at_last(records.dead_layer, "Int32")
    columns["dead_neurons"] = at_last(records.dead_neurons, "Int32")
    columns["seed_path"] = repeated(np.array([trained.seed_path(r) for r in records.replicate]))
    return pd.DataFrame(columns)


def inactive_column(layer: int) -> str:
    """Return the name of the column of inactive neurons of a hidden layer, from 1."""
    return "inactive_1" if layer == 1 else f"inactive_{layer}_at_least"


def meaning(column: str) -> str:
    """Return what a column of an export means."""
    if column in COLUMNS:
        return COLUMNS[column]
    if column.startswith("inactive_"):
        return COLUMNS["inactive_L_at_least"]
    return f"the study's key {column}, in which experiments differ"


def axes_of(experiments: Sequence[Experiment]) -> list[dict[str, Axis]]:
    """Return, for every experiment, its values of the keys in which experiments differ.

    Tables are taken apart ("optimizer.b2"); lists are written as JSON.
    """
    flat = [dict(_flattened(e.spec)) for e in experiments]
    keys = list(dict.fromkeys(key for table in flat for key in table))
    varying = [key for key in keys if len({json.dumps(t.get(key)) for t in flat}) > 1]
    return [{key: table.get(key) for key in varying} for table in flat]


def _flattened(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Axis]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", json.dumps(value)
        else:
            yield f"{prefix}{key}", value
