"""What the devices at hand make of an experiment: engines, widths, ceilings, in about a minute.

One device of a CPU is a core with a process of its own, as in long runs; an accelerator is read
from this process. The figures are read by the clock that `plan`, `run` and `launch` choose engine
and width with, and if they have not chosen yet, they remember what is found here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

import jax

from jaxsim import runtime
from jaxsim.engines.registry import ENGINES, REFERENCE, EngineName, unsupported_reason
from jaxsim.errors import InputError
from jaxsim.launch import forms
from jaxsim.launch.benchmark_request import Asked
from jaxsim.launch.layout import block_runs, choose_workers
from jaxsim.launch.measure import Measurement, configs_of, settle
from jaxsim.launch.meters import Meter, NotMeasured, ProcessMeter, TimedOut, ask_all
from jaxsim.launch.sweep import Budget, Ladder, Reading, asked_of, choice, climb, rounds
from jaxsim.speed.figures import (
    Ceiling,
    Choice,
    Figures,
    LeftOut,
    Range,
    RiskSpeed,
    Scaling,
    Speed,
    Work,
)
from jaxsim.speed.machine import machine_facts
from jaxsim.speed.work import block_bytes, moved_bytes, step_work
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment

FORMS_PART = 0.25
"""Part of the budget for the forms of a native program."""
ROUNDS_PART, SCALING_ROUNDS = 0.6, 5
"""Part of the budget for one device where several are measured, too; readings of several."""
OBSERVATIONS = 3
"""Readings of which the least counts."""
Meters = Callable[[Study, int, int], Meter]
"""(study, number of the experiment, number of the device) -> a meter."""


def meter_of(study: Study, number: int, device: int) -> Meter:
    """Return the meter of a device."""
    if jax.default_backend() == "cpu" and not study.session_objects:
        return ProcessMeter(study, number, device)
    devices = jax.local_devices()
    return Meter(study.experiments[number], devices[device % len(devices)])


def measure_speed(
    asked: Asked,
    say: Callable[[str], None] = lambda text: None,
    meters: Meters = meter_of,
    budget: Budget | None = None,
) -> Figures:
    """Return the figures of a benchmark.

    Args:
        asked: what is measured.
        say: told what is being done.
        meters: that read the clock.
        budget: of time; from now on if None.
    """
    budget = Budget(asked.seconds) if budget is None else budget
    alone = _Alone()
    with ExitStack() as stack:
        # All start at once: what a process imports takes as long as what the first one measures.
        several = []
        for device in range(asked.devices[-1]):
            several.append(meters(asked.study, asked.number, device))
            stack.callback(several[-1].close)
        try:
            _measure_alone(alone, asked, several[0], budget, say)
        except NotMeasured as error:
            if not (alone.readings and isinstance(error, TimedOut)):  # else the widths say it
                alone.left_out.append(LeftOut(what="the rest", reason=str(error)))
        if not alone.readings:
            because = "; ".join(f"{one.what}: {one.reason}" for one in alone.missed)
            raise InputError(
                f"budget = {asked.seconds:g} s is too short here: nothing of "
                f"{asked.experiment.label!r} could be measured ({because})"
            )
        scaling = _scaling(asked, several, alone, budget, say)
        _risks(several[0], asked.experiment, alone, budget)
    return _figures(asked, alone, scaling, _settled(asked, alone), budget)


@dataclass
class _Alone:
    """What is measured of one device, as far as it goes.

    Attributes:
        ceilings: of the machine; those of several devices are added.
        ladders: of every engine that can be measured.
        automatic: engines that are chosen from where the study leaves the engine open.
        risks: evaluations of the true risk.
        left_out: what is not measured, besides widths.
    """

    ceilings: list[Ceiling] = field(default_factory=list)
    ladders: list[Ladder] = field(default_factory=list)
    automatic: list[EngineName] = field(default_factory=list)
    risks: list[RiskSpeed] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def readings(self) -> list[Reading]:
        """All configs that were read."""
        return [r for ladder in self.ladders for r in ladder.read]

    @property
    def missed(self) -> list[LeftOut]:
        """All that was not measured."""
        return self.left_out + [one for ladder in self.ladders for one in ladder.left_out]


def _measure_alone(
    alone: _Alone, asked: Asked, meter: Meter, budget: Budget, say: Callable[[str], None]
) -> None:
    """Measure one device.

    Raises:
        TimedOut: if the meter was ended; what was measured before is there.
    """
    experiment = asked.experiment
    say("measuring matrix products and copies")
    alone.ceilings.append(_ceiling([meter], budget))
    engines = _engines(experiment, meter, budget, alone.left_out)
    alone.automatic = [n for n in engines if n == REFERENCE or ENGINES[n].automatic(experiment)]
    replicates = block_runs(asked.study)
    if forms.NATIVE in engines:
        # As a long run does before it begins.
        say("measuring forms of the native program")
        (config,) = configs_of(experiment, forms.NATIVE, 0, replicates, "auto")
        part = FORMS_PART * budget.seconds / forms.MOST_PART
        meter.ask("form", budget.left(), seconds=part, **asdict(config))
    alone.ladders = [Ladder(experiment, name, replicates, asked.widths) for name in engines]
    climb(meter, alone.ladders, budget, say)
    say("reading all of them in turn")
    rounds(meter, alone.ladders, budget, ROUNDS_PART if len(asked.devices) > 1 else 0.85)
    if budget.left() > budget.seconds / 10:
        # A ceiling is the most that was seen: what disturbed the first reading is over.
        first, again = alone.ceilings[0], _ceiling([meter], budget)
        alone.ceilings[0] = Ceiling(
            devices=1,
            products_gflops=max(first.products_gflops, again.products_gflops),
            copy_gigabytes_per_second=max(
                first.copy_gigabytes_per_second, again.copy_gigabytes_per_second
            ),
        )


def _settled(asked: Asked, alone: _Alone) -> Measurement | None:
    """Return what `plan`, `run` and `launch` take for the experiment, remembered or from now on."""
    if asked.pinned and choose_workers(asked.study) == 1:
        because = (
            "a study so short is run by one process on all cores, which `plan` measures itself"
        )
        alone.left_out.append(LeftOut(what="the choice of plan", reason=because))
        return None
    experiment, replicates = asked.experiment, block_runs(asked.study)
    found = choice(experiment, alone.ladders, replicates, alone.automatic)
    return settle(experiment, replicates, 1 if asked.pinned else runtime.cores(), found)


def _engines(
    experiment: Experiment, meter: Meter, budget: Budget, left_out: list[LeftOut]
) -> list[EngineName]:
    """Return the engines that can be measured, those that are chosen from first."""
    engines = []
    for name, kind in ENGINES.items():
        reason = unsupported_reason(name, experiment)
        if not reason and kind.verified and not _alike(meter, name, budget):
            reason = f"it does not train as {REFERENCE} does on this device"
        if reason:
            left_out.append(LeftOut(what=name, reason=reason))
        else:
            engines.append(name)
    return sorted(engines, key=lambda n: n != REFERENCE and not ENGINES[n].automatic(experiment))


def _alike(meter: Meter, engine: EngineName, budget: Budget) -> bool:
    return bool(meter.ask("alike", budget.left(), engine=engine)["alike"])


def _ceiling(meters: Sequence[Meter], budget: Budget) -> Ceiling:
    found = ask_all(meters, "ceiling", budget.left(), devices=len(meters))
    return Ceiling(
        devices=len(meters),
        products_gflops=sum(f["gflops"] for f in found),
        copy_gigabytes_per_second=sum(f["gigabytes"] for f in found),
    )


def _best(readings: Sequence[Reading]) -> list[Reading]:
    """Return every engine's config of the largest median, the fastest engine first."""
    best: dict[str, Reading] = {}
    for reading in sorted(readings, key=lambda r: Range.of(r.rates).median):
        best[reading.config.engine] = reading
    return sorted(best.values(), key=lambda r: -Range.of(r.rates).median)


def _risks(meter: Meter, experiment: Experiment, alone: _Alone, budget: Budget) -> None:
    left_out = alone.left_out
    for reading in _best(alone.readings):
        config = reading.config
        if budget.left() < budget.seconds / 20:
            left_out.append(
                LeftOut(what=f"risks by {config.engine}", reason="the budget was used up")
            )
            continue
        try:
            seconds = min(
                meter.ask("observe", budget.left(), **asked_of(config))["seconds"]
                for _ in range(OBSERVATIONS)
            )
        except NotMeasured as error:
            left_out.append(LeftOut(what=f"risks by {config.engine}", reason=str(error)))
            continue
        observing = seconds * len(experiment.checkpoints)
        training = experiment.steps * config.width / Range.of(reading.rates).median
        alone.risks.append(
            RiskSpeed(
                engine=config.engine,
                width=config.width,
                risks_per_second=config.width / max(seconds, 1e-12),
                share_of_run=observing / max(observing + training, 1e-12),
            )
        )


def _scaling(
    asked: Asked,
    meters: Sequence[Meter],
    alone: _Alone,
    budget: Budget,
    say: Callable[[str], None],
) -> list[Scaling]:
    """Return the speeds of several devices at the same time."""
    found: list[Scaling] = []
    compiled, best = 1, _best(alone.readings)
    for count in asked.devices[1:]:
        what = f"{count} devices"
        try:
            if budget.left() < budget.seconds / 10:
                raise NotMeasured("the budget was used up")
            say(f"measuring {count} devices at the same time")
            several = meters[:count]
            for reading in best:
                ask_all(several[compiled:], "compile", budget.left(), **asked_of(reading.config))
            compiled = count
            alone.ceilings.append(_ceiling(several, budget))
            rates = _together(several, best, budget)
        except NotMeasured as error:
            alone.left_out.append(LeftOut(what=what, reason=str(error)))
            break
        for reading in best:
            speed, config = Range.of(rates[reading.config.engine]), reading.config
            one = Range.of(reading.rates).median
            share = _share(asked.experiment, speed.median, alone.ceilings[-1])
            found.append(
                Scaling(
                    devices=count,
                    engine=config.engine,
                    width=config.width,
                    member_steps_per_second=speed,
                    speedup=speed.median / one,
                    of_products=share,
                )
            )
    return found


def _together(
    meters: Sequence[Meter], readings: Sequence[Reading], budget: Budget
) -> dict[str, list[float]]:
    """Return the joint member-steps per second of every engine, round by round."""
    rates: dict[str, list[float]] = {r.config.engine: [] for r in readings}
    for turn in range(SCALING_ROUNDS):
        if turn and budget.left(0.95) <= 0:
            break
        for reading in readings:
            asked = asked_of(reading.config)
            found = ask_all(meters, "read", budget.left(), seconds=budget.reading, **asked)
            rate = sum(reading.config.width / f["seconds_per_step"] for f in found)
            rates[reading.config.engine].append(rate)
    return rates


def _share(experiment: Experiment, rate: float, ceiling: Ceiling) -> float | None:
    work = step_work(experiment)
    return None if work is None else rate * work.total / 1e9 / ceiling.products_gflops


def _figures(
    asked: Asked,
    alone: _Alone,
    scaling: list[Scaling],
    settled: Measurement | None,
    budget: Budget,
) -> Figures:
    readings, ceilings = alone.readings, alone.ceilings
    experiment, work = asked.experiment, step_work(asked.experiment)
    moved = moved_bytes(experiment)
    network = experiment.network
    plain = next((r for r in _best(readings) if r.config.engine == REFERENCE), None)
    speeds = []
    for reading in readings:
        config, speed = reading.config, Range.of(reading.rates)
        ratios = [a / b for a, b in zip(reading.rates, plain.rates, strict=False)] if plain else []
        gflops = None if work is None else speed.median * work.total / 1e9
        speeds.append(
            Speed(
                engine=config.engine,
                width=config.width,
                lanes=config.lanes,
                member_steps_per_second=speed,
                gflops=gflops,
                of_products=None
                if gflops is None or not ceilings
                else gflops / ceilings[0].products_gflops,
                of_copies=speed.median * moved / 1e9 / ceilings[0].copy_gigabytes_per_second,
                of_vmap=Range.of(ratios) if ratios else None,
                compile_seconds=reading.compile_seconds,
                block_bytes=block_bytes(experiment, config.width),
                state_bytes=reading.state_bytes,
                chosen=settled is not None and settled.config == config,
            )
        )
    shape = (network.inputs, *network.hidden, network.outputs)
    return Figures(
        study=asked.study.spec.name,
        experiment=experiment.label,
        experiments=len(asked.study.experiments),
        shape="-".join(map(str, shape))
        if network.fully_connected
        else f"{network.size:,} parameters",
        optimizer=experiment.optimizer.name,
        batch_size=experiment.batch_size,
        precision=experiment.precision,
        **machine_facts(),
        pinned=asked.pinned,
        work=Work(
            products=None if work is None else work.products,
            update=None if work is None else work.update,
            bytes_moved=moved,
        ),
        ceilings=ceilings,
        speeds=sorted(speeds, key=lambda s: (s.engine != REFERENCE, s.engine, s.width, s.lanes)),
        risks=alone.risks,
        scaling=scaling,
        left_out=alone.missed,
        choice=None
        if settled is None
        else Choice(
            engine=settled.config.engine,
            width=settled.config.width,
            lanes=settled.config.lanes,
            member_steps_per_second=settled.config.width / settled.seconds_per_step,
            remembered=settled.remembered,
        ),
        budget_seconds=asked.seconds,
        seconds=budget.used(),
    )
