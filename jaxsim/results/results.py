"""The reader of results: all finished shards of a plan, one shard in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from jaxsim.results.frame import axes_of, frame
from jaxsim.results.store import Shard, Store
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records


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
        stored = self.store.finished(experiment.id)
        return [shard for shard in self.planned[experiment.id] if shard.name in stored]

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

    def provenance(self, *facts: str) -> Counter[tuple[str, ...]]:
        """Return how many replicates were computed under each combination of some facts.

        Args:
            facts: names in the shards' metadata, such as "device_kind" or "version.jaxsim".
        """
        counts: Counter[tuple[str, ...]] = Counter()
        for experiment in self.experiments:
            for shard in self.finished(experiment):
                known = self.store.facts(shard)
                key = tuple(known.get(name, "unknown") for name in facts)
                counts[key] += shard.stop - shard.first
        return counts

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per replicate and checkpoint, with the columns of `frame.COLUMNS`.

        Besides them one column for each key in which experiments differ. All replicates are held in
        memory; use `chunks` for large studies.
        """
        layers = max((len(e.network.hidden) for e in self.experiments), default=0)
        over = any(e.problem.over for e in self.experiments)
        frames = [
            frame(experiment, records, axes, layers, over)
            for experiment, axes in zip(self.experiments, axes_of(self.experiments), strict=True)
            for records in self.chunks(experiment)
        ]
        if not frames:
            return pd.DataFrame()
        return pd.concat(frames, ignore_index=True).infer_objects()
