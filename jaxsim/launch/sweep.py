"""The order of a benchmark's readings: widths until they no longer help, then rounds in turn.

First every engine is compiled at widths of its own and read shortly, the engines in turn, so that
a short budget leaves something of each. Then all configs are read round by round, one after the
other: what disturbs the machine disturbs them alike, and ratios are taken within a round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jaxsim.engines.registry import ENGINES, REFERENCE, EngineName, ExecutionConfig
from jaxsim.launch.measure import (
    FACTOR,
    LARGEST,
    SMALLEST,
    Measurement,
    configs_of,
    fastest,
    grows,
    lane_counts,
    narrowest,
    widest,
)
from jaxsim.launch.meters import Meter, NotMeasured, TimedOut
from jaxsim.speed.figures import LeftOut
from jaxsim.training.experiment import Experiment

FIRST_PART, SWEEP_PART, MORE_PART = 0.7, 0.5, 0.35
"""Parts of the budget after which no width is begun: the first of an engine, one that the choice
of engine and width depends on, one that shows how the curve goes on."""
ROUNDS = 9
SHORT = 2
"""Readings of the sweep; the first ones of a config count for nothing else."""
FALLING = 0.6
"""A width whose speed is below this part of the best says how the curve goes on."""


FURTHER = 2
"""Widths that are read beyond those that the choice depends on, if they do not fall."""


class Budget:
    """Seconds that a benchmark may take, from now on.

    Args:
        seconds: in all.
        clock: that tells the time.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock, self._begin = seconds, clock, clock()

    def used(self) -> float:
        """Return the seconds that are gone."""
        return self._clock() - self._begin

    def left(self, part: float = 1.0) -> float:
        """Return the seconds that are left of a part of it."""
        return part * self.seconds - self.used()

    @property
    def reading(self) -> float:
        """How long one reading takes: long enough to count, short enough for rounds of many."""
        return min(max(self.seconds / 600, 0.02), 0.2)


@dataclass
class Reading:
    """A config and what was read of it.

    Attributes:
        config: engine, width and lanes.
        compile_seconds: until its first step was done.
        state_bytes: of the state of a block.
        short: seconds per step of the first readings.
        rounds: seconds per step, round by round.
    """

    config: ExecutionConfig
    compile_seconds: float
    state_bytes: int
    short: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)

    @property
    def readings(self) -> list[float]:
        """Seconds per step of the rounds, or of the first readings if there was no time for any."""
        return self.rounds or self.short

    @property
    def rates(self) -> list[float]:
        """Member-steps per second, reading by reading."""
        return [self.config.width / s for s in self.readings]

    @property
    def measurement(self) -> Measurement:
        """What `plan` would have measured: the least of the readings."""
        return Measurement(self.config, min(self.readings))


def asked_of(config: ExecutionConfig) -> dict[str, object]:
    """Return a config as a meter is told it."""
    return {"engine": config.engine, "width": config.width, "lanes": config.lanes}


class Ladder:
    """The widths of one engine, those that `plan` looks at first, and how far they were climbed.

    Args:
        experiment: what is measured.
        engine: whose widths.
        replicates: how many; blocks need not be wider.
        widths: stated ones; None for a ladder that is climbed as long as it helps.

    Attributes:
        read: what was read.
        complete: whether as much was read as `plan` would read.
        ended: whether nothing more is read.
        left_out: what was not read, and why.
    """

    def __init__(
        self,
        experiment: Experiment,
        engine: EngineName,
        replicates: int,
        widths: Sequence[int] | None = None,
    ) -> None:
        self.engine, self._stated = engine, widths is not None
        self.left_out: list[LeftOut] = []
        self.read: list[Reading] = []
        self._experiment = experiment
        self.complete, self._further = False, 0
        self._of_plan = (
            set(configs_of(experiment, engine, 0, replicates, "auto"))
            if ENGINES[engine].lane_counts is not None
            else set()
        )
        counts = lane_counts(experiment, engine, "auto") or (1,)
        if widths is None:
            steps = [SMALLEST]
            while steps[-1] * FACTOR <= min(widest(replicates), LARGEST):
                steps.append(steps[-1] * FACTOR)
            rungs = {ExecutionConfig(engine, w, n) for n in counts for w in steps if w % n == 0}
            rungs |= self._of_plan
        else:
            rungs = {ExecutionConfig(engine, w, n) for n in counts for w in widths if w % n == 0}
            for width in widths:
                if all(width % n for n in counts):
                    lanes = " or ".join(map(str, counts))
                    self.left_out.append(
                        LeftOut(
                            what=f"{engine}, width {width}", reason=f"no multiple of {lanes} lanes"
                        )
                    )
        self._rungs = sorted(rungs, key=lambda c: (c not in self._of_plan, c.width, -c.lanes))
        self.ended = False

    def next(self) -> ExecutionConfig | None:
        """Return the config to read next; None at the end."""
        return None if self.ended or not self._rungs else self._rungs[0]

    @property
    def needed(self) -> bool:
        """Whether the choice of engine and width depends on what is read next."""
        if self._stated or not self.read:
            return True
        if self._of_plan:
            return not self._of_plan <= {r.config for r in self.read}
        return grows([r.measurement.rate(self._experiment) for r in self.read])

    def add(self, reading: Reading) -> None:
        """Note what was read of the next config."""
        self._rungs.pop(0)
        self.read.append(reading)
        if self._stated:
            return
        if self.complete:
            self._further += 1
        self.complete = self.complete or not self.needed or not self._rungs
        best = max(max(r.rates) for r in self.read)
        falling = max(reading.rates) < FALLING * best
        self.ended = self.complete and (falling or self._further >= FURTHER)

    def drop(self, reason: str) -> None:
        """Note that the next config cannot be read; wider ones that are not asked for neither."""
        config = self._rungs.pop(0)
        self.left_out.append(LeftOut(what=_name(config), reason=reason))
        self.ended = not self._stated

    def stop(self, reason: str) -> None:
        """Note that there is no time for the widths that are left, if they were needed."""
        if not self.ended and self.needed:
            for config in self._rungs if self._stated else self._rungs[:1]:
                self.left_out.append(LeftOut(what=_name(config), reason=reason))
        self.ended = True


def _name(config: ExecutionConfig) -> str:
    lanes = f", {config.lanes} lanes" if config.lanes > 1 else ""
    return f"{config.engine}, width {config.width}{lanes}"


def climb(
    meter: Meter, ladders: Sequence[Ladder], budget: Budget, say: Callable[[str], None]
) -> None:
    """Compile and shortly read the widths of all engines in turn, as far as the budget goes.

    Raises:
        TimedOut: if the meter was ended.
    """
    for needed, part in ((True, SWEEP_PART), (False, MORE_PART)):
        going = True
        while going:
            going = False
            for ladder in ladders:
                config = ladder.next()
                if config is None or ladder.needed is not needed:
                    continue
                if budget.left(part if ladder.read or not needed else FIRST_PART) <= 0:
                    continue
                going = True
                _read_shortly(meter, ladder, config, budget, say)
    for ladder in ladders:
        ladder.stop("the budget was used up")


def _read_shortly(
    meter: Meter,
    ladder: Ladder,
    config: ExecutionConfig,
    budget: Budget,
    say: Callable[[str], None],
) -> None:
    say(f"compiling {config.engine}, width {config.width}")
    try:
        found = meter.ask("compile", budget.left(), **asked_of(config))
        reading = Reading(config, found["seconds"], int(found["state_bytes"]))
        for _ in range(SHORT):
            read = meter.ask("read", budget.left(), seconds=budget.reading, **asked_of(config))
            reading.short.append(read["seconds_per_step"])
    except TimedOut as error:
        ladder.drop(str(error))
        raise
    except NotMeasured as error:
        ladder.drop(str(error))
    else:
        ladder.add(reading)


def rounds(meter: Meter, ladders: Sequence[Ladder], budget: Budget, part: float) -> None:
    """Read all configs in turn, round by round, until a part of the budget is used up.

    Raises:
        TimedOut: if the meter was ended; complete rounds are kept.
    """
    readings = [r for ladder in ladders for r in ladder.read]
    if not readings or budget.left() < 2 * len(readings) * budget.reading:
        return
    for turn in range(ROUNDS):
        if budget.left(part) <= 0 and turn:
            return
        found = []
        for reading in readings[turn % len(readings) :] + readings[: turn % len(readings)]:
            asked = asked_of(reading.config)
            try:
                read = meter.ask("read", budget.left(), seconds=budget.reading, **asked)
            except TimedOut:
                raise
            except NotMeasured:
                return
            found.append((reading, read["seconds_per_step"]))
        for reading, seconds in found:
            reading.rounds.append(seconds)


def choice(
    experiment: Experiment, ladders: Sequence[Ladder], replicates: int, automatic: Sequence[str]
) -> Measurement | None:
    """Return what `plan` would choose of what was read; None if it would read more.

    Args:
        experiment: what was measured.
        ladders: that were climbed.
        replicates: how many; blocks need not be wider.
        automatic: engines that are chosen from where the study leaves the engine open.
    """
    if any(ladder.engine in {REFERENCE, *automatic} and not ladder.complete for ladder in ladders):
        return None
    by_config = {r.config: r.measurement for ladder in ladders for r in ladder.read if r.rounds}
    plain = [m for m in by_config.values() if m.config.engine == REFERENCE]
    if not plain:
        return None
    reference = narrowest(experiment, sorted(plain, key=lambda m: m.config.width))
    tried = [reference]
    for name in automatic:
        if name != REFERENCE:
            for config in configs_of(experiment, name, reference.config.width, replicates, "auto"):
                if config not in by_config:
                    return None
                tried.append(by_config[config])
    return fastest(experiment, tried)
