"""Which runs come next: a pilot, what it allocates, and further looks until the answer is precise.

Later stages are a function of the records of earlier ones and of nothing else: no clock, no search
for inf L, no worker has a part in them. A run fails here if its risk exceeds what these records
themselves know of inf L: the bracket that needs no search, closed by their best run. Whoever finds
a stage finished computes the next one, to the same numbers, and leaves it for all:

    DIR/design/<experiment>-<replicates>-<stage>.json

The pilot of a stratum has replicates from 2^31 on, the others count from 0: a larger pilot or
budget extends what there is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from jaxsim.design.allocation import allocate
from jaxsim.design.families import plan_families
from jaxsim.design.splitting import family_experiment, resampling_of
from jaxsim.design.stratum import Design
from jaxsim.design.twist import Twist, fit_model
from jaxsim.engines.block import Resampling
from jaxsim.errors import InputError
from jaxsim.launch.budget import pilot_runs, raised, rounded
from jaxsim.launch.look import Look, decided_at_once, look_at
from jaxsim.results.files import create_atomically, read_regular
from jaxsim.results.results import Split
from jaxsim.results.store import Shard, Store
from jaxsim.study.expand import canonical
from jaxsim.study.plan import Layout, shards
from jaxsim.study.spec import StudySpec
from jaxsim.training.experiment import Experiment

FOLDER = "design"
PILOT_FIRST = 2**31
"""The first replicate of a pilot."""
FIRST_LOOK = 256
"""Runs before the first look at a plain experiment."""
LEAST_GROWTH, MOST_GROWTH = 1.1, 4.0
"""Of the runs between two looks: rare enough that looks cost nothing."""
MOST_STAGES = 200


@dataclass(frozen=True)
class Stage:
    """What is planned up to some point.

    Attributes:
        number: from 0.
        pilot: runs of every stratum's pilot, [S].
        stops: one past the last of the other replicates, [S].
        families: of clones, [S].
        guards: families that are led the other way, [S].
        twist: tables that families are resampled by; None without any.
        final: whether no stage follows.
        reason: why not, for reports.
    """

    number: int
    pilot: tuple[int, ...]
    stops: tuple[int, ...]
    families: tuple[int, ...]
    guards: tuple[int, ...]
    twist: dict[str, Any] | None = None
    final: bool = False
    reason: str = ""

    @property
    def resampled_by(self) -> Twist | None:
        """The twist of the families, None without any."""
        if self.twist is None:
            return None
        return Twist.from_table(self.twist)


Task = tuple[Experiment, Shard]


class Stages:
    """The stages of one experiment in a directory.

    Args:
        store: of the study.
        spec: of the study.
        experiment: whose runs they are.
        design: its strata.
        layout: of its blocks and shards.
    """

    def __init__(
        self, store: Store, spec: StudySpec, experiment: Experiment, design: Design, layout: Layout
    ) -> None:
        self.store, self.spec, self.experiment = store, spec, experiment
        self.design, self.layout = design, layout

    @property
    def trained(self) -> list[str]:
        """Ids of all that is trained for it, as far as that is settled."""
        strata = [stratum.experiment.id for stratum in self.design.strata]
        return [*strata, *(split.experiment.id for split in self.splits())]

    def finished(self, trained: Iterable[str] | None = None) -> set[str]:
        """Return the names of the shards that are there, of some ids that are trained or of all."""
        ids = dict.fromkeys(self.trained if trained is None else trained)
        return {name for trained_id in ids for name in self.store.finished(trained_id)}

    @property
    def staged(self) -> bool:
        """Whether later runs depend on earlier ones."""
        return self.spec.until is not None or not self.design.plain

    def known(self, write: bool = False) -> list[Stage]:
        """Return the stages that are settled: the next one is as soon as all runs before are there.

        Args:
            write: whether a stage that is settled now is left in the directory.

        Raises:
            InputError: if a shard that decides cannot be trusted.
        """
        stages = [self._first]
        while not stages[-1].final:
            following = self._read(len(stages))
            if following is None:
                if self._missing_of(self.tasks(stages)):
                    break
                following = self._next(stages)
                if write:
                    self._leave(following)
            stages.append(following)
        return stages

    def tasks(self, stages: Sequence[Stage] | None = None) -> Iterator[Task]:
        """Yield what is trained and its shards, up to the last settled stage."""
        stages = self.known() if stages is None else stages
        for k in range(len(self.design.strata)):
            yield from self._pilot(stages[-1], k)
            yield from self._main(stages, k)
        for split in self.splits(stages):
            yield from ((split.experiment, shard) for shard in split.shards)

    def missing(self, write: bool = False) -> list[Task]:
        """Return the tasks of settled stages whose shards are not there."""
        return self._missing_of(self.tasks(self.known(write)))

    def splits(self, stages: Sequence[Stage] | None = None) -> list[Split]:
        """Return the families of clones that are planned, by stratum and direction."""
        last = (self.known() if stages is None else stages)[-1]
        twist, size = last.resampled_by, self.layout.width
        if twist is None:
            return []
        splits = []
        for stratum, *counts in zip(self.design.strata, last.families, last.guards, strict=True):
            for reverse, count in zip((False, True), counts, strict=True):
                if count:
                    trained = family_experiment(stratum.experiment, twist, reverse)
                    planned = tuple(shards(trained, self.layout, count * size))
                    splits.append(Split(stratum, trained, size, planned, reverse))
        return splits

    def resampling(self, trained: Experiment) -> Resampling | None:
        """Return what happens to the blocks of something trained at its checkpoints."""
        stages = self.known()
        for split in self.splits(stages):
            if split.experiment.id == trained.id:
                twist = stages[-1].resampled_by
                assert twist is not None
                return resampling_of(trained, twist, split.reverse)
        return None

    def outlook(self) -> int:
        """Return about how many shards may follow the settled stages, at most."""
        last = self.known()[-1]
        if last.final:
            return 0
        left = self.spec.replicates - sum(last.pilot) - sum(last.stops)
        return max(-(-left // self.layout.shard), len(self.design.strata))

    def counted(self) -> dict[str, list[Shard]]:
        """Return the shards whose runs estimates count, by the id of what is trained.

        A pilot decides how many others there are, so that it counts only with intervals that hold
        at every look.
        """
        stages = self.known()
        counted: dict[str, list[Shard]] = {}
        for k, stratum in enumerate(self.design.strata):
            pilot = self._pilot(stages[-1], k) if self.spec.until is not None else ()
            tasks = [*pilot, *self._main(stages, k)]
            counted[stratum.experiment.id] = [shard for _, shard in tasks]
        return counted

    @cached_property
    def _first(self) -> Stage:
        budget, strata = self.spec.replicates, len(self.design.strata)
        nothing = (0,) * strata
        if not self.staged:
            return Stage(0, (0,), (budget,), (0,), (0,), final=True)
        if self.design.plain:
            first = min(budget, rounded(FIRST_LOOK, self.layout.width))
            return Stage(0, (0,), (first,), (0,), (0,), final=first == budget)
        # Strata that fail by proof, for every event, cost nothing.
        proved = np.all(decided_at_once(self.spec, self.experiment, self.design), axis=1)
        pilot = pilot_runs(self.spec, int((~proved).sum()), self.layout.width)
        pilots = tuple(0 if fails else pilot for fails in proved.tolist())
        return Stage(0, pilots, nothing, nothing, nothing, final=bool(proved.all()))

    def _pilot(self, stage: Stage, k: int) -> Iterator[Task]:
        trained, stop = self.design.strata[k].experiment, PILOT_FIRST + stage.pilot[k]
        for shard in shards(trained, self.layout, stop, PILOT_FIRST):
            yield trained, shard

    def _main(self, stages: Sequence[Stage], k: int) -> Iterator[Task]:
        trained, begin = self.design.strata[k].experiment, 0
        for stage in stages:
            for shard in shards(trained, self.layout, stage.stops[k], begin):
                yield trained, shard
            begin = max(begin, stage.stops[k])

    def _missing_of(self, tasks: Iterable[Task]) -> list[Task]:
        planned = list(tasks)
        finished = self.finished(e.id for e, _ in planned)
        return [task for task in planned if task[1].name not in finished]

    def _next(self, stages: Sequence[Stage]) -> Stage:
        """Return the stage after these, all of whose runs are there."""
        look, last = self.seen(stages), stages[-1]
        if self.spec.until is None:
            budget = self.spec.replicates - sum(last.pilot)
            worth = None
            if self.design.name == "splitting":
                last, worth = self._split(last, look, budget)
                budget -= (sum(last.families) + sum(last.guards)) * self.layout.width
            stops = self._allocated(look, budget, worth)
            return self._stage(last, stops, True, "allocated by a pilot")
        excess = look.excess(self.spec)
        if excess <= 1:
            return self._stage(last, last.stops, True, "precise enough")
        used, most = sum(last.pilot) + sum(last.stops), self.spec.replicates
        if used >= most or last.number >= MOST_STAGES:
            return self._stage(last, last.stops, True, "all replicates are used")
        growth = min(max(1.05 * excess**2, LEAST_GROWTH), MOST_GROWTH)
        total = min(most, rounded(used * growth, self.layout.width))
        if self.design.plain:
            return self._stage(last, (total,), False, "")
        wanted = self._allocated(look, total - sum(last.pilot))
        return self._stage(last, raised(last.stops, wanted, total - used), False, "")

    def _stage(self, last: Stage, stops: Sequence[int], final: bool, reason: str) -> Stage:
        families = last.families, last.guards
        return Stage(
            last.number + 1, last.pilot, tuple(stops), *families, last.twist, final, reason
        )

    def _split(self, last: Stage, look: Look, budget: int) -> tuple[Stage, np.ndarray]:
        """Return the stage with families of clones, and what runs are worth besides them, [S]."""
        neurons = self.experiment.network.hidden[0]
        model = fit_model(look.active, look.failed, neurons)
        plan = plan_families(
            model=model,
            weights=self.design.weights,
            cost=self._cost,
            active=np.array([neurons - stratum.least for stratum in self.design.strata]),
            failures=look.failures[..., -1],
            runs=look.runs,
            decided=look.decided,
            budget=budget,
            size=self.layout.width,
            share=self.spec.design.share,
        )
        stage = replace(
            last,
            families=tuple(plan.families.tolist()),
            guards=tuple(plan.guards.tolist()),
            twist=model.twist.as_table() if plan.families.any() else None,
        )
        return stage, plan.runs

    @property
    def _cost(self) -> np.ndarray:
        """Of a training of every stratum, [S]."""
        return np.array([float(k.experiment.network.size) for k in self.design.strata])

    def _allocated(
        self, look: Look, budget: int, worth: np.ndarray | None = None
    ) -> tuple[int, ...]:
        """Return runs of every stratum besides its pilot, by what they are worth, [S]."""
        strata = self.design.strata
        later = look.failures.shape[-1] // 2
        failures = look.failures[..., later:].reshape(len(strata), -1)
        allocated = allocate(
            weights=self.design.weights,
            cost=self._cost,
            failures=failures,
            runs=look.runs,
            decided=np.repeat(look.decided, look.failures.shape[-1] - later, axis=1),
            budget=budget,
            multiple=self.layout.width,
            worth=worth,
        )
        return tuple(int(n) for n in allocated)

    def seen(self, stages: Sequence[Stage] | None = None) -> Look:
        """Return what the finished runs of stages show, by what they themselves know of inf L.

        Args:
            stages: pilots included; None for all that are settled.
        """
        numbers = {k.experiment.id: k.number for k in self.design.strata}
        tasks = list(self.tasks(stages))
        finished = self.finished(e.id for e, _ in tasks)
        known = [
            (numbers[e.id], shard)
            for e, shard in tasks
            if e.id in numbers and shard.name in finished
        ]
        return look_at(self.store, self.spec, self.experiment, self.design, known)

    def _path(self, number: int) -> Any:
        name = f"{self.experiment.id}-{self._asked}-{number}.json"
        return self.store.directory / FOLDER / name

    @property
    def _asked(self) -> str:
        """What stages depend on besides the runs."""
        asked = [
            self.spec.replicates, self.spec.confidence, self.spec.design.model_dump(),
            None if self.spec.until is None else self.spec.until.model_dump(),
            [(event.kind, event.threshold) for event in self.spec.asked],
            [s.experiment.id for s in self.design.strata],
        ]  # fmt: skip
        return hashlib.sha256(canonical(asked).encode()).hexdigest()[:12]

    def _leave(self, stage: Stage) -> None:
        """Leave a stage for all; what cannot be written is computed again."""
        with contextlib.suppress(InputError):
            text = json.dumps(asdict(stage), indent=1) + "\n"
            create_atomically(self._path(stage.number), text.encode())

    def _read(self, number: int) -> Stage | None:
        """Return a stage that was left; None if there is none that can be used."""
        try:
            table = json.loads(read_regular(self._path(number)))
            lists = {k: tuple(table[k]) for k in ("pilot", "stops", "families", "guards")}
            stage = Stage(**(table | lists))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        counts = [n for name in lists for n in lists[name]]
        sound = stage.number == number and isinstance(stage.final, bool)
        sound &= all(type(n) is int and 0 <= n <= PILOT_FIRST for n in counts)
        sound = sound and all(len(v) == len(self.design.strata) for v in lists.values())
        return stage if sound and self._is_sound(stage) else None

    def _is_sound(self, stage: Stage) -> bool:
        """Return whether the tables of a stage are those of a twist."""
        try:
            twist = stage.resampled_by
        except (KeyError, TypeError, ValueError):
            return False
        if twist is None:
            return not any((*stage.families, *stage.guards))
        tables, shares = twist.log_g, twist.shares
        times = len(self.experiment.checkpoints)
        shaped = tables.ndim == 3 and shares.ndim == 1 and tables.shape[1] == times
        shaped = shaped and len(tables) == len(shares) and tables.shape[2] > 0
        return bool(
            shaped
            and np.isfinite(tables).all()
            and (shares > 0).all()
            and abs(shares.sum() - 1) < 1e-9
        )
