"""What a benchmark is asked to measure, checked before anything is started."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from jaxsim import arguments, runtime
from jaxsim.errors import InputError
from jaxsim.launch.measure import LARGEST
from jaxsim.launch.parameters import experiment_named
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment

SECONDS, LEAST_SECONDS, MOST_SECONDS = 60.0, 10.0, 86_400.0
MOST_UNITS, MOST_LAYERS = 65_536, 64


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Attributes:
        study: of the experiment.
        number: of the experiment in the study, from 0.
        widths: stated ones, ascending; None for those that help.
        devices: numbers of devices, ascending, one first.
        seconds: that it may take.
    """

    study: Study
    number: int
    widths: tuple[int, ...] | None
    devices: tuple[int, ...]
    seconds: float

    @property
    def experiment(self) -> Experiment:
        """What is trained."""
        return self.study.experiments[self.number]

    @property
    def pinned(self) -> bool:
        """Whether every device is a core with a process of its own."""
        return jax.default_backend() == "cpu" and not self.study.session_objects


def study_of_shape(
    shape: str | Sequence[int],
    optimizer: str = "adam",
    batch: int = 32,
    settings: Sequence[str] = (),
) -> Study:
    """Return a study of fully-connected ReLU networks with fresh uniform samples.

    Args:
        shape: inputs, hidden layers and outputs, as "1-16-16-1".
        optimizer: its name.
        batch: samples per step.
        settings: further changes, as "precision=float64".

    Raises:
        InputError: for a shape that is none, or as `Study.from_dict`.
    """
    layers = layers_of(shape)
    batch = arguments.whole("batch", batch, 1, 1 << 20)
    target = "x**2" if layers[0] == 1 else "x1**2"
    table = {
        "name": "-".join(map(str, layers)),
        "steps": 10_000,
        "replicates": LARGEST,
        "problem": {
            "input": {"law": "uniform", "dimension": layers[0]},
            "target": target if layers[-1] == 1 else [target] * layers[-1],
        },
        "network": {"hidden": list(layers[1:-1])},
        "optimizer": {"name": optimizer, "learning_rate": 0.01},
        "training": {"batch_size": batch},
        "optimum": {"budget": 0},
    }
    made = Study.from_dict(table)
    return made.with_settings(list(settings)) if settings else made


def layers_of(shape: Any) -> tuple[int, ...]:
    """Return the widths of a shape, "1-16-16-1" or a sequence of whole numbers.

    Raises:
        InputError: if it is none.

    Example:
        >>> layers_of("1-16-16-1")
        (1, 16, 16, 1)
    """
    text = shape
    if not isinstance(shape, str):
        if not isinstance(shape, Iterable):
            raise InputError(f"shape = {shape!r} is not accepted; accepted: {_SHAPE}")
        text = "-".join(str(width) for width in shape)
    if not re.fullmatch(r"[0-9]{1,9}(-[0-9]{1,9})+", text):
        raise InputError(f"shape = {shape!r} is not accepted; accepted: {_SHAPE}")
    layers = tuple(int(width) for width in text.split("-"))
    if not all(1 <= width <= MOST_UNITS for width in layers) or len(layers) > MOST_LAYERS:
        raise InputError(
            f"shape = {shape!r} is not accepted; accepted: at most {MOST_LAYERS} layers of 1 to "
            f"{MOST_UNITS:,} units"
        )
    return layers


_SHAPE = 'inputs, hidden layers and outputs, as "1-16-16-1"'


def ask(
    study: Study,
    experiment: str | int = 1,
    widths: Sequence[int] | int | None = None,
    devices: Sequence[int] | int | None = None,
    budget: float = SECONDS,
) -> Asked:
    """Return what is measured, after checking it.

    Raises:
        InputError: for what cannot be measured here.
    """
    chosen = experiment_named(study.experiments, experiment)
    if isinstance(budget, bool) or not isinstance(budget, int | float):
        raise InputError(f"budget = {budget!r} is not accepted; accepted: seconds")
    if not LEAST_SECONDS <= budget <= MOST_SECONDS:
        raise InputError(
            f"budget = {budget:.6g} s is not accepted; accepted: {LEAST_SECONDS:g} to "
            f"{MOST_SECONDS:,.0f} s, since compiling alone takes some"
        )
    available = len(runtime.choose_devices(None))
    if study.session_objects and jax.default_backend() == "cpu":
        available = 1  # objects of this session are known to no other process
    counts = _numbers("devices", (available,) if devices is None else devices, available)
    return Asked(
        study,
        study.experiments.index(chosen),
        None if widths is None else _numbers("width", widths, LARGEST),
        tuple(sorted({1, *counts})),
        float(budget),
    )


def _numbers(name: str, given: Sequence[int] | int, most: int) -> tuple[int, ...]:
    numbers = [given] if isinstance(given, int) or not isinstance(given, Iterable) else given
    found = tuple(sorted({arguments.whole(name, n, 1, most) for n in numbers}))
    if not found:
        raise InputError(f"{name} = {given!r} is not accepted; accepted: whole numbers")
    return found
