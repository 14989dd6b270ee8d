"""From a study's [optimizer] table to Theta_n = Theta_{n-1} - Phi_n(G_1, ..., G_n)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import optax

from jaxsim.errors import InputError, unknown
from jaxsim.optimizer import others
from jaxsim.optimizer.methods import METHODS, VARIANTS
from jaxsim.optimizer.schedules import SCHEDULES, Schedule
from jaxsim.registry import build, call


@dataclass(frozen=True)
class Optimizer:
    """An optimizer with all hyperparameters but the learning rate built in.

    Attributes:
        name: of the method.
        variant: which of the published definitions; "optax" for optimizers with only one.
        make: learning rate (a number, a traced scalar or a schedule) -> gradient transformation.
        learning_rate: as the study gives it.
        coordinatewise: it acts on every parameter alone, and may be given one flat vector.
        keeps_inactive: parameters whose gradients are all zero stay bitwise unchanged.
        definition: the recursion, in a line.
    """

    name: str
    variant: str
    make: Callable[[Any], optax.GradientTransformation]
    learning_rate: float | Schedule
    coordinatewise: bool
    keeps_inactive: bool
    definition: str

    @property
    def traced_learning_rate(self) -> bool:
        """Whether the learning rate is a number, which compiled programs take as data."""
        return not isinstance(self.learning_rate, Schedule)

    @property
    def non_increasing(self) -> bool:
        """Whether the learning rate certainly never grows."""
        return not isinstance(self.learning_rate, Schedule) or self.learning_rate.non_increasing


def optimizer(table: Mapping[str, Any], key: str = "optimizer") -> Optimizer:
    """Build the optimizer of a table such as {"name": "adam", "learning_rate": 0.01}.

    Args:
        table: `name`, `learning_rate` (a positive number, or a table with `schedule` and its
            parameters), perhaps `variant`, and the method's hyperparameters.
        key: where the table stands, for error messages.

    Raises:
        InputError: naming the key, the value and what would be accepted.

    Example:
        >>> optimizer({"name": "adam", "learning_rate": 0.01, "b1": 0.8}).keeps_inactive
        True
    """
    if "name" not in table:
        raise InputError(f"{key}.name is missing; accepted: {', '.join(OPTIMIZERS)}, ...")
    name = table["name"]
    given = {k: v for k, v in table.items() if k not in ("name", "learning_rate")}
    rate = _learning_rate(table, key)
    if name in METHODS:
        make = call(METHODS[name], given, key, name)
        variant = given.get("variant", "optax")
        return Optimizer(name, variant, make, rate, True, True, _first_line(METHODS[name]))
    if name in others.REFUSED:
        raise InputError(f"{key}.name = {name!r} cannot be used: {others.REFUSED[name]}")
    if not isinstance(name, str) or name not in others.others():
        raise unknown(f"{key}.name", name, [*METHODS, *others.others()])
    try:
        make = others.make_other(name, given)
    except InputError as error:
        raise InputError(f"{key}.{error}") from None
    return Optimizer(
        name,
        "optax",
        make,
        rate,
        others.componentwise(name),
        others.keeps_zero_gradients(make),
        f"as optax defines {name}",
    )


def _learning_rate(table: Mapping[str, Any], key: str) -> float | Schedule:
    place = f"{key}.learning_rate"
    if "learning_rate" not in table:
        raise InputError(f"{place} is missing; it is required for every optimizer")
    rate = table["learning_rate"]
    if isinstance(rate, Mapping):
        return build(SCHEDULES, rate, place, tag="schedule")
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise InputError(
            f"{place} = {rate!r} is not accepted: it should be a number or a table with 'schedule'"
        )
    if not (rate > 0 and math.isfinite(rate)):
        raise InputError(f"{place} = {rate!r} is not accepted: it should be positive and finite")
    return float(rate)


OPTIMIZERS = METHODS
"""The eleven methods by name: the signature lists hyperparameters, the docstring has the formula."""


class OptimizerRow(NamedTuple):
    """A line of the table of optimizers."""

    name: str
    variants: tuple[str, ...]
    definition: str
    keeps_inactive: bool
    coordinatewise: bool


def optimizer_table() -> list[OptimizerRow]:
    """Return the table of all optimizers: the eleven, then those of optax and optax.contrib."""
    rows = [
        OptimizerRow(name, VARIANTS[name], _first_line(method), True, True)
        for name, method in METHODS.items()
    ]
    for name in others.others():
        required = {
            k: 1.0
            for k, p in others.hyperparameters(name).items()
            if p.default is inspect.Parameter.empty
        }
        make = others.make_other(name, required)
        rows.append(
            OptimizerRow(
                name,
                ("optax",),
                f"as optax defines {name}",
                others.keeps_zero_gradients(make),
                others.componentwise(name),
            )
        )
    return rows


def _first_line(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").splitlines()[0]
