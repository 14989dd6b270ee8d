"""The engine and the block width, chosen by a short measurement.

Small networks want blocks that stay in cache, accelerators want blocks that fill them. Starting
small, the width of the reference engine grows fourfold until the throughput stops growing; the
smallest width close to the best wins. Other engines that say so in the registry are measured, too:
on a CPU the native engine, or where it cannot run, the lanes engine; on a GPU the pallas engine, if
it is found to train alike there. One is taken if it is clearly faster. The choice is remembered per
program, device kind and version, since it costs a compilation per config, and recorded with the
study, since it is part of the bits.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from jaxsim import runtime
from jaxsim.engines.native.library import compiler_version
from jaxsim.engines.registry import (
    ENGINES,
    REFERENCE,
    EngineName,
    ExecutionConfig,
    current_name,
    unsupported_reason,
)
from jaxsim.errors import InputError
from jaxsim.launch.forms import find_form
from jaxsim.results.files import write_atomically
from jaxsim.results.provenance import versions
from jaxsim.speed.timing import TrainingClock, observation_seconds, trained
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import program_key

SMALLEST, FACTOR, LARGEST = 32, 4, 32768
GROUPS = 8
"""Groups of lanes per block, if there are as many replicates."""
UNTRAINED = 256
"""Width of blocks that are only drawn and observed."""
UNTRAINED_SIZE = 2**26
"""Parameters that such blocks have at most."""
GAIN = 1.1
SEGMENT_SECONDS = 1e-3
"""What starting the compiled calls of one checkpoint costs, whatever the width."""
ALIKE = 1e-4
"""How close parameters must be after a few steps for a program to count as the same."""


@dataclass(frozen=True)
class Measurement:
    """The chosen config and how fast it trains.

    Attributes:
        config: engine, width and lanes.
        seconds_per_step: for one step of a whole block.
        seconds_per_observation: for the observation of a whole block at one checkpoint.
        remembered: taken from an earlier measurement.
    """

    config: ExecutionConfig
    seconds_per_step: float
    seconds_per_observation: float = 0.0
    remembered: bool = False

    def rate(self, experiment: Experiment) -> float:
        """Return member-steps per second, with the calls between checkpoints counted in."""
        calls = SEGMENT_SECONDS * len(experiment.checkpoints) / max(experiment.steps, 1)
        return self.config.width / (self.seconds_per_step + calls)

    def block_seconds(self, experiment: Experiment) -> float:
        """Return the estimated time of one block, without compilation."""
        observations = len(experiment.checkpoints) + 1
        return (
            self.seconds_per_step * experiment.steps + self.seconds_per_observation * observations
        )


def measure(
    experiment: Experiment,
    replicates: int,
    engine: EngineName = "auto",
    lanes: int | Literal["auto"] = "auto",
    cores: int | None = None,
) -> Measurement:
    """Return the fastest config for an experiment on this device.

    Args:
        experiment: what is trained.
        replicates: how many; blocks need not be wider.
        engine: a name of `ENGINES`, or "auto" for the fastest.
        lanes: members of a group where the engine has any, or "auto".
        cores: of the processes that will do the work; None for all.

    Raises:
        InputError: if the device's memory holds no block at all.
    """
    if not experiment.steps:
        return untrained(experiment, replicates, engine, lanes)

    def search() -> Measurement:
        tried, width = [], 0
        asked = engines_to_measure(experiment) if engine == "auto" else [engine]
        if lanes != "auto":  # a stated number is to have an effect
            asked = [name for name in asked if ENGINES[name].lane_counts is not None]
        if any(ENGINES[name].lane_counts is None for name in asked):
            reference = _search_width(experiment, replicates)
            tried, width = [reference] if REFERENCE in asked else [], reference.config.width
        for name in asked:
            if name != REFERENCE:
                configs = configs_of(experiment, name, width, replicates, lanes)
                tried += [time_training(experiment, config) for config in configs]
        return _that_fits(experiment, fastest(experiment, tried))

    allowed = _allowed(replicates, engine, lanes)
    try:
        found = _remembered(experiment, allowed, cores, search)
        seconds = replicates * experiment.steps / found.rate(experiment)
        if find_form(experiment, found.config, seconds):
            found = replace(found, seconds_per_step=TrainingClock(experiment, found.config).best())
            _remember(experiment, allowed, cores, found)
        return found
    except jax.errors.JaxRuntimeError as error:
        if not runtime.is_out_of_memory(error):
            raise
        raise InputError(
            f"the device's memory does not hold a block of {experiment.label!r}, however narrow; "
            "use a device with more, or a smaller network or batch"
        ) from None


def untrained(
    experiment: Experiment, replicates: int, engine: EngineName, lanes: int | Literal["auto"]
) -> Measurement:
    """Return a config for what is only drawn and observed, which no step tells apart."""
    name = REFERENCE if engine == "auto" else engine
    counts = lane_counts(experiment, name, lanes)
    width = _lanes_width(counts[0], replicates) if counts else min(UNTRAINED, _enough(replicates))
    while not counts and width > 1 and width * experiment.network.size > UNTRAINED_SIZE:
        width //= 2
    return Measurement(ExecutionConfig(name, width, *counts[:1]), 0.0)


def _that_fits(experiment: Experiment, found: Measurement) -> Measurement:
    """Return the measurement with that of an observation, at half the width until it fits."""
    config, speed = found.config, found
    while True:
        try:
            speed = speed or time_training(experiment, config)
            return replace(speed, seconds_per_observation=observation_seconds(experiment, config))
        except jax.errors.JaxRuntimeError as error:
            half = config.width // 2
            if not runtime.is_out_of_memory(error) or half < 1 or half % config.lanes:
                raise
            print(
                f"out of memory at width {config.width}: taking {half} for this new study",
                file=sys.stderr,
            )
            config, speed = replace(config, width=half), None


def measure_config(
    experiment: Experiment, config: ExecutionConfig, cores: int | None = None
) -> Measurement:
    """Return the speed of a given config on this device."""
    if not experiment.steps:
        return Measurement(config, 0.0)

    def time_it() -> Measurement:
        observation = observation_seconds(experiment, config)
        return replace(time_training(experiment, config), seconds_per_observation=observation)

    return _remembered(experiment, str(config), cores, time_it)


def _remembered(
    experiment: Experiment, what: str, cores: int | None, search: Callable[[], Measurement]
) -> Measurement:
    recalled = _recall(experiment, what, cores)
    if recalled is not None:
        return recalled
    measured = search()
    _remember(experiment, what, cores, measured)
    return measured


def _remember(experiment: Experiment, what: str, cores: int | None, measured: Measurement) -> None:
    try:
        write_atomically(_path(experiment, what, cores), json.dumps(asdict(measured)).encode())
    except InputError:
        # A cache that cannot be written costs time, not results.
        pass


def settle(
    experiment: Experiment, replicates: int, cores: int | None, found: Measurement | None
) -> Measurement | None:
    """Return what `measure` and `measure_config` know, or else let them know what was found.

    Args:
        experiment: what is trained.
        replicates: how many.
        cores: of the processes that do the work; None for all.
        found: the choice of a measurement by the same rules; None if there was none.
    """
    recalled = _recall(experiment, _allowed(replicates, "auto", "auto"), cores)
    if recalled is not None or found is None:
        return recalled
    _remember(experiment, _allowed(replicates, "auto", "auto"), cores, found)
    _remember(experiment, str(found.config), cores, found)
    return found


def fastest(experiment: Experiment, tried: Sequence[Measurement]) -> Measurement:
    """Return the best: another engine than the reference must be clearly faster to be taken."""
    return max(
        tried,
        key=lambda m: m.rate(experiment) / (1.0 if m.config.engine == REFERENCE else GAIN),
    )


def narrowest(experiment: Experiment, tried: Sequence[Measurement]) -> Measurement:
    """Return the smallest width whose speed is close to the best, of ascending widths."""
    most = max(m.rate(experiment) for m in tried)
    return next(m for m in tried if GAIN * m.rate(experiment) >= most)


def grows(rates: Sequence[float]) -> bool:
    """Return whether the last of some rates of ascending widths is above all before it."""
    return len(rates) < 2 or rates[-1] >= GAIN * max(rates[:-1])


def is_remembered_config(
    experiment: Experiment, config: ExecutionConfig, cores: int | None = None
) -> bool:
    """Return whether `measure_config` knows the answer already."""
    return not experiment.steps or _recall(experiment, str(config), cores) is not None


def is_remembered(
    experiment: Experiment, replicates: int, engine: str, lanes: int | str, cores: int
) -> bool:
    """Return whether `measure` knows the answer already."""
    what = _allowed(replicates, engine, lanes)
    return not experiment.steps or _recall(experiment, what, cores) is not None


def _recall(experiment: Experiment, what: str, cores: int | None) -> Measurement | None:
    try:
        stored = json.loads(_path(experiment, what, cores).read_text())
        return Measurement(**(stored | {"config": _config(stored["config"]), "remembered": True}))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _config(there: dict[str, Any]) -> ExecutionConfig:
    """Return a remembered config.

    Raises:
        ValueError: if it is of an engine that is gone.
    """
    config = ExecutionConfig(**there | {"engine": current_name(there["engine"])})
    if config.engine not in ENGINES:
        raise ValueError(f"there is no engine {config.engine!r}")
    return config


def _path(experiment: Experiment, what: str, cores: int | None) -> Path:
    return runtime.cache_directory() / "configs" / f"{_key(experiment, what, cores)}.json"


def _allowed(replicates: int, engine: str, lanes: int | str) -> str:
    only = "" if lanes == "auto" else " only"
    return f"{engine}, {lanes} lanes{only}, {_enough(replicates)} replicates"


def _enough(replicates: int) -> int:
    return min(LARGEST, 1 << (replicates - 1).bit_length())


def widest(replicates: int) -> int:
    """Return the largest width that is worth measuring."""
    return max(SMALLEST, _enough(replicates))


def engines_to_measure(experiment: Experiment) -> list[EngineName]:
    """Return the reference engine and those that may be faster here."""
    return [
        name
        for name, kind in ENGINES.items()
        if name == REFERENCE
        or (
            kind.automatic(experiment)
            and not unsupported_reason(name, experiment)
            and (not kind.verified or trains_alike(experiment, name))
        )
    ]


def configs_of(
    experiment: Experiment,
    engine: EngineName,
    width: int,
    replicates: int,
    lanes: int | Literal["auto"],
) -> list[ExecutionConfig]:
    """Return the configs of an engine that are worth measuring.

    Args:
        experiment: what is trained.
        engine: not the reference.
        width: the reference engine's best, for engines without lanes.
        replicates: how many; blocks need not be wider.
        lanes: members of a group, or "auto".
    """
    counts = lane_counts(experiment, engine, lanes)
    if not counts:
        return [ExecutionConfig(engine, width)]
    return [ExecutionConfig(engine, _lanes_width(n, replicates), n) for n in counts]


def trains_alike(experiment: Experiment, name: EngineName) -> bool:
    """Return whether an engine compiles on this device and trains as the reference does."""
    try:
        ends = [trained(experiment, ExecutionConfig(n, SMALLEST)) for n in (REFERENCE, name)]
    except Exception:  # whatever a compiler may raise on a device it was not tried on
        return False
    apart = np.abs(ends[0] - ends[1]).max(1)
    return bool(np.median(apart) <= ALIKE * np.abs(ends[0]).max())


def lane_counts(
    experiment: Experiment, engine: EngineName, lanes: int | Literal["auto"]
) -> tuple[int, ...]:
    """Return the groups to choose from; none for an engine without lanes."""
    kind = ENGINES[engine]
    if kind.lane_counts is None:
        return ()
    return kind.lane_counts(experiment) if lanes == "auto" else (lanes,)


def _lanes_width(lanes: int, replicates: int) -> int:
    return lanes * max(1, min(GROUPS, _enough(replicates) // lanes))


def _search_width(experiment: Experiment, replicates: int) -> Measurement:
    tried: list[Measurement] = []
    width = SMALLEST
    while width <= widest(replicates):
        try:
            tried.append(time_training(experiment, ExecutionConfig(REFERENCE, width)))
        except jax.errors.JaxRuntimeError as error:
            # What fitted before is the answer.
            if not tried or not runtime.is_out_of_memory(error):
                raise
            break
        if not grows([m.rate(experiment) for m in tried]):
            break
        width *= FACTOR
    return narrowest(experiment, tried)


def time_training(experiment: Experiment, config: ExecutionConfig) -> Measurement:
    """Return the speed of training in a config."""
    return Measurement(config, TrainingClock(experiment, config).best())


def _key(experiment: Experiment, what: str, cores: int | None) -> str:
    device = jax.local_devices()[0]
    facts = [
        program_key(experiment),
        experiment.evaluation_key,
        device.device_kind,
        versions()["jaxlib"],
        compiler_version(),
        str(runtime.cores() if cores is None else cores),
        what,
    ]
    if experiment.samples_per_step == 0:
        # What was remembered before the native engine knew gradients of true risks is forgotten.
        facts.append("population by native")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]
