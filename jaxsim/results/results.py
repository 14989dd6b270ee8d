"""The reader of results: all finished shards of a plan, one shard in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxsim.results.store import Shard, Store
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records, Status


@dataclass(frozen=True)
class Results:
    """Finished shards of a study.

    Attributes:
        store: where the shards are.
        experiments: of the study, in its order.
        planned: shards per experiment id, in the order of their replicates.
    """

    store: Store
    experiments: tuple[Experiment, ...]
    planned: Mapping[str, Sequence[Shard]]

    def finished(self, experiment: Experiment) -> list[Shard]:
        """Return the shards of an experiment that are there."""
        there = self.store.finished(experiment.id)
        return [shard for shard in self.planned[experiment.id] if shard.name in there]

    def chunks(self, experiment: Experiment) -> Iterator[Records]:
        """Yield the records of an experiment, one shard at a time.

        Raises:
            DamagedShard: for a shard that cannot be trusted.
        """
        for shard in self.finished(experiment):
            yield self.store.read(shard)

    @property
    def complete(self) -> bool:
        """Whether nothing of the plan is missing."""
        return all(len(self.finished(e)) == len(self.planned[e.id]) for e in self.experiments)

    def device_kinds(self) -> Counter[str]:
        """Return how many replicates each kind of device computed."""
        kinds: Counter[str] = Counter()
        for experiment in self.experiments:
            for shard in self.finished(experiment):
                facts = self.store.facts(shard)
                kinds[facts.get("device_kind", "unknown")] += shard.stop - shard.first
        return kinds

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per replicate and checkpoint.

        Columns: experiment, replicate, status, diverged_step, n, risk, error, inactive_1, ...,
        inactive_L (the deepest network's L), gradient_norm, dead_layer, dead_neurons, seed_path
        (the numbers folded into the replicate's key, see `jaxsim.training.keys`). All replicates
        are held in memory; use `chunks` for large studies.
        """
        frames = [
            frame(experiment, records)
            for experiment in self.experiments
            for records in self.chunks(experiment)
        ]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def frame(experiment: Experiment, records: Records) -> pd.DataFrame:
    """Return one row per replicate and checkpoint of some records."""
    rows, checkpoints = records.risk.shape

    def repeated(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, checkpoints)

    columns = {
        "experiment": np.repeat(experiment.label, rows * checkpoints),
        "replicate": repeated(records.replicate),
        "status": repeated(np.array([Status(s).name.lower() for s in records.status])),
        "diverged_step": repeated(records.diverged_step),
        "n": np.tile(experiment.checkpoints, rows),
        "risk": records.risk.ravel(),
        "error": records.error.ravel(),
    }
    for layer in range(records.inactive.shape[2]):
        columns[f"inactive_{layer + 1}"] = records.inactive[:, :, layer].ravel()
    for name in ("gradient_norm", "dead_layer", "dead_neurons"):
        columns[name] = repeated(getattr(records, name))
    columns["seed_path"] = repeated(np.array([experiment.seed_path(r) for r in records.replicate]))
    return pd.DataFrame(columns)
