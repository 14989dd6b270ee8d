"""The reader of results: all finished shards of a plan, one shard in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from jaxsim.design.stratum import Design, Stratum, plain_design
from jaxsim.notebook import MOST_SHOWN, html_table
from jaxsim.results.best_risks import BestRisk, BestRisks
from jaxsim.results.frame import axes_of, frame
from jaxsim.results.read_ahead import read_ahead
from jaxsim.results.store import Shard, Store
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records

if TYPE_CHECKING:  # workers make no frames, and should not wait for its import
    import pandas as pd


@dataclass(frozen=True)
class Split:
    """The families of clones of one stratum: each is `size` replicates in a row.

    Attributes:
        stratum: whose initializations they begin with.
        experiment: that trains them, with an id of its own.
        size: particles of a family.
        shards: planned, whole families each.
        reverse: whether they are led away from few active neurons: a guard against a score that
            leads away from the failures.
    """

    stratum: Stratum
    experiment: Experiment
    size: int
    shards: Sequence[Shard]
    reverse: bool = False


class Part(NamedTuple):
    """The runs of a shard.

    Attributes:
        stratum: that they are a sample of.
        records: of the whole network.
        shard: that holds them.
        facts: the provenance stored with it.
    """

    stratum: Stratum
    records: Records
    shard: Shard
    facts: Mapping[str, str]


@dataclass(frozen=True, repr=False)
class Results:
    """Finished shards of a study.

    Attributes:
        store: where the shards are.
        experiments: of the study, in its order.
        planned: shards per id of what is trained (an experiment or one of its strata), in the order
            of their replicates; those of a pilot are not among them.
        designs: by the experiment's id; plain where there is none.
        splits: families of clones, by the experiment's id.
        remarks: sentences on how the number of runs came about.
        until: why the runs of an experiment are enough, or not yet, by its id; none where their
            number is fixed beforehand.
        best: the best risks of the shards that were read.
    """

    store: Store
    experiments: tuple[Experiment, ...]
    planned: Mapping[str, Sequence[Shard]]
    designs: Mapping[str, Design] = field(default_factory=dict)
    splits: Mapping[str, Sequence[Split]] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    until: Mapping[str, str] = field(default_factory=dict)
    best: BestRisks = field(default_factory=BestRisks, compare=False)

    def __repr__(self) -> str:
        """Return where the runs are and how many are finished, on one line."""
        done = sum(self.runs_finished(e) for e in self.experiments)
        planned, count = sum(map(self.runs_planned, self.experiments)), len(self.experiments)
        return (
            f"Results({str(self.store.directory)!r}: {count:,} experiment{'s' * (count != 1)}, "
            f"{done:,} of {planned:,} runs finished)"
        )

    def _repr_html_(self) -> str:
        """Return the experiments with their finished runs as a table, for notebooks."""
        rows = [
            [e.label, f"{self.runs_finished(e):,}", f"{self.runs_planned(e):,}"]
            for e in self.experiments[:MOST_SHOWN]
        ]
        heads = ["experiment", "finished runs", "planned"]
        return html_table(heads, rows, str(self.store.directory), len(self.experiments))

    def design(self, experiment: Experiment) -> Design:
        """Return the strata of an experiment of the study."""
        return self.designs.get(experiment.id) or plain_design(experiment)

    def finished(self, experiment: Experiment) -> list[Shard]:
        """Return the shards of an experiment that are there, stratum by stratum."""
        return [s for stratum in self.design(experiment).strata for s in self.of_stratum(stratum)]

    def of_stratum(self, stratum: Stratum) -> list[Shard]:
        """Return the shards of a stratum that are there."""
        return self._finished(stratum.experiment, self.planned.get(stratum.experiment.id, ()))

    def _finished(self, trained: Experiment, planned: Sequence[Shard]) -> list[Shard]:
        if not planned:
            return []
        stored = self.store.finished(trained.id)
        return [shard for shard in planned if shard.name in stored]

    def parts(self, experiment: Experiment) -> Iterator[tuple[Stratum, Records]]:
        """Yield the independent runs of an experiment, one shard of a stratum at a time.

        The runs of a stratum are a sample of its initializations only: they count with its weight.

        Raises:
            DamagedShard: for a shard that cannot be trusted.
        """
        for part in self.parts_of_shards(experiment):
            yield part.stratum, part.records

    def parts_of_shards(self, experiment: Experiment) -> Iterator[Part]:
        """Yield the same with the shard and the provenance stored with it.

        Raises:
            DamagedShard: for a shard that cannot be trusted.
        """
        for stratum in self.design(experiment).strata:
            shards = self.of_stratum(stratum)
            read = read_ahead(self.store.read_with_facts, shards)
            for shard, (records, facts) in zip(shards, read, strict=True):
                yield Part(stratum, stratum.whole(records), shard, facts)

    def best_risks(self, experiment: Experiment, margin: float) -> Iterator[BestRisk]:
        """Yield the best risk of every shard of an experiment that has a finite one.

        Args:
            experiment: of the study.
            margin: how many times the error of a risk is added to it.

        Raises:
            DamagedShard: for a shard of which the risks cannot be trusted.
        """
        shards = self.finished(experiment)
        unread = [shard for shard in shards if not self.best.knows(shard, margin)]
        read = read_ahead(self.store.read_risks, unread)
        for shard, (risk, error) in zip(unread, read, strict=True):
            self.best.note(shard, margin, risk, error)
        found = (self.best.of(shard, margin) for shard in shards)
        yield from (best for best in found if best is not None)

    def weighted(self, experiment: Experiment) -> Iterator[tuple[Records, Stratum | None, float]]:
        """Yield records with their stratum and the share of the law that each run stands for.

        Without strata there is None in their place.
        """
        if self.design(experiment).plain:
            yield from ((records, None, 0.0) for records in self.chunks(experiment))
            return
        for stratum, records in self.parts(experiment):
            runs = sum(shard.stop - shard.first for shard in self.of_stratum(stratum))
            yield records, stratum, stratum.probability / runs

    def families(self, experiment: Experiment) -> Iterator[tuple[Split, Records]]:
        """Yield families of clones, one shard at a time; rows of a family depend on each other.

        Raises:
            DamagedShard: for a shard that cannot be trusted.
        """
        for split in self.splits.get(experiment.id, ()):
            for shard in self._finished(split.experiment, split.shards):
                yield split, split.stratum.whole(self.store.read(shard))

    def chunks(self, experiment: Experiment) -> Iterator[Records]:
        """Yield the records of an experiment, one shard at a time, without their weights.

        Raises:
            DamagedShard: for a shard that cannot be trusted.
        """
        for _, records in self.parts(experiment):
            yield records

    def runs_finished(self, experiment: Experiment) -> int:
        """Return how many independent runs of an experiment are there, over all strata."""
        return sum(shard.stop - shard.first for shard in self.finished(experiment))

    def runs_planned(self, experiment: Experiment) -> int:
        """Return how many independent runs the plan has for an experiment, over all strata."""
        strata = self.design(experiment).strata
        return sum(s.stop - s.first for k in strata for s in self.planned.get(k.experiment.id, ()))

    @property
    def complete(self) -> bool:
        """Whether nothing of the plan is missing."""
        return all(
            len(self.of_stratum(k)) == len(self.planned.get(k.experiment.id, ()))
            for e in self.experiments
            for k in self.design(e).strata
        ) and all(
            len(self._finished(s.experiment, s.shards)) == len(s.shards)
            for splits in self.splits.values()
            for s in splits
        )

    def provenance(self, *facts: str) -> Counter[tuple[str, ...]]:
        """Return how many replicates were computed under each combination of some facts.

        Args:
            facts: names in the shards' metadata, such as "device_kind" or "version.jaxsim".
        """
        counts: Counter[tuple[str, ...]] = Counter()
        for experiment in self.experiments:
            for shard in self.finished(experiment):
                counts[fact_values(self.store.facts(shard), facts)] += shard.stop - shard.first
        return counts

    def parameters(self, experiment: str | int, replicate: int | str = "best", *args, **options):
        """Return the parameters of a run, as `jaxsim.parameters` does by training it again."""
        from jaxsim import parameters

        return parameters(self, experiment, replicate, *args, **options)

    def find_run(self, experiment: str | int, which: str = "best", **options):
        """Return the best, median, worst or a failing run, as `jaxsim.find_run`."""
        from jaxsim import find_run

        return find_run(self, experiment, which, **options)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per replicate and checkpoint, with the columns of `frame.COLUMNS`.

        Besides them one column for each key in which experiments differ. All replicates are held in
        memory; use `chunks` for large studies.
        """
        import pandas as pd

        layers = max((len(e.network.hidden) for e in self.experiments), default=0)
        over = any(e.problem.over for e in self.experiments)
        frames = [
            frame(experiment, records, axes, layers, over, stratum, share)
            for experiment, axes in zip(self.experiments, axes_of(self.experiments), strict=True)
            for records, stratum, share in self.weighted(experiment)
        ]
        if not frames:
            return pd.DataFrame()
        return pd.concat(frames, ignore_index=True).infer_objects()


def fact_values(known: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the values of some facts of a shard, "unknown" where it does not tell one."""
    return tuple(known.get(name, "unknown") for name in names)
