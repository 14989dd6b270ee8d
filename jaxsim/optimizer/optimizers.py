"""From a study's [optimizer] table to Theta_n = Theta_{n-1} - Phi_n(G_1, ..., G_n)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import optax

from jaxsim.errors import InputError, unknown
from jaxsim.optimizer import others
from jaxsim.optimizer.methods import METHODS, TINY, VARIANTS, Method
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
        forgets: once gradients vanish, its movements die out, each smaller than the one before.
        definition: the recursion of the variant, in a line.
        hyperparameters: their values, defaults filled in.
    """

    name: str
    variant: str
    make: Callable[[Any], optax.GradientTransformation]
    learning_rate: float | Schedule
    coordinatewise: bool
    keeps_inactive: bool
    forgets: bool
    definition: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict, hash=False)

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
        >>> adam = optimizer({"name": "adam", "learning_rate": 0.01, "b1": 0.8})
        >>> adam.keeps_inactive, dict(adam.hyperparameters)
        (True, {'b1': 0.8, 'b2': 0.999, 'eps': 1e-08})
    """
    if not isinstance(table, Mapping):
        raise InputError(
            f"{key} = {table!r} is not accepted: it should be a table such as "
            '{ name = "adam", learning_rate = 0.01 }'
        )
    if "name" not in table:
        raise InputError(f"{key}.name is missing; accepted: {', '.join(OPTIMIZERS)}, ...")
    name = table["name"]
    if not isinstance(name, str):
        raise unknown(f"{key}.name", name, [*METHODS, *others.others()])
    if name in others.REFUSED:
        raise InputError(f"{key}.name = {name!r} cannot be used: {others.REFUSED[name]}")
    if name not in METHODS and name not in others.others():
        raise unknown(f"{key}.name", name, [*METHODS, *others.others()])
    given = {k: v for k, v in table.items() if k not in ("name", "learning_rate")}
    rate = _learning_rate(table, key)
    if name in METHODS:
        method: Method = call(METHODS[name], given, key, name)
        variant = given.get("variant", "optax")
        return Optimizer(
            name,
            variant,
            method.make,
            rate,
            coordinatewise=True,
            keeps_inactive=True,
            forgets=_forgets(method.hyperparameters),
            definition=method.definition,
            hyperparameters=method.hyperparameters,
        )
    return _other(name, given, rate, key)


def _other(name: str, given: Mapping[str, Any], rate: float | Schedule, key: str) -> Optimizer:
    if "variant" in given and given["variant"] != "optax":
        raise InputError(
            f"{key}.variant = {given['variant']!r} is not accepted: {name!r} has only 'optax'"
        )
    given = {k: v for k, v in given.items() if k != "variant"}
    try:
        make = others.make_other(name, given, rate)
        keeps = others.keeps_inactive(name, given)
    except InputError as error:
        raise InputError(f"{key}.{error}") from None
    defaults = {
        k: p.default
        for k, p in others.hyperparameters(name).items()
        if p.default is not inspect.Parameter.empty
    }
    return Optimizer(
        name,
        "optax",
        make,
        rate,
        coordinatewise=others.componentwise(name),
        keeps_inactive=keeps,
        forgets=False,
        definition=f"as optax defines {name}",
        hyperparameters={**defaults, **given},
    )


def _forgets(hyperparameters: Mapping[str, Any]) -> bool:
    """Return whether one of the eleven moves less and less once gradients vanish.

    Momentum decays. In Adam's family the first moment must decay faster than what it is divided
    by: b1 < sqrt(b2), and b1 < b2 for Adamax and Nadamax, which take the maximum.
    """
    b1, b2 = hyperparameters.get("b1", 0.0), hyperparameters.get("b2", 1.0)
    return b1 < b2


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
    if not TINY <= rate <= 1 / TINY:
        raise InputError(
            f"{place} = {rate!r} is not accepted: it should be positive and finite, also in float32"
        )
    return float(rate)


OPTIMIZERS = METHODS
"""The eleven methods by name: signatures list the hyperparameters, docstrings have the formulas."""


class OptimizerRow(NamedTuple):
    """A line of the table of optimizers."""

    name: str
    variants: tuple[str, ...]
    definition: str
    keeps_inactive: bool
    coordinatewise: bool


def optimizer_table() -> list[OptimizerRow]:
    """Return the table of all optimizers: the eleven, then those of optax and optax.contrib.

    Example:
        >>> optimizer_table()[0].name
        'sgd'
    """
    eleven = [
        OptimizerRow(name, VARIANTS[name], method().definition, True, True)
        for name, method in METHODS.items()
    ]
    return eleven + [
        OptimizerRow(
            name,
            ("optax",),
            f"as optax defines {name}",
            others.keeps_inactive(name),
            others.componentwise(name),
        )
        for name in others.others()
    ]
