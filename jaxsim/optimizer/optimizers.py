"""From a study's [optimizer] table to Theta_n = Theta_{n-1} - Phi_n(G_1, ..., G_n)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from jaxsim import session
from jaxsim.errors import InputError, unknown
from jaxsim.optimizer import methods, others
from jaxsim.optimizer.lifting import Lifted
from jaxsim.optimizer.methods import METHODS, TINY, Method
from jaxsim.optimizer.neighbours import neighbours
from jaxsim.optimizer.schedules import SCHEDULES, Schedule
from jaxsim.optimizer.zero_gradients import Response, zero_gradient_response
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
        table: what it was made of; None for a transformation that was passed from Python, of which
            nothing can be changed.
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
    table: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)

    def lifted(self, parameters: Any, precision: str) -> Lifted:
        """Return the optimizer with its hyperparameters as data, for parameters like these."""
        rate = jnp.zeros((), precision) if self.traced_learning_rate else None
        fixed = None if self.traced_learning_rate else self.learning_rate

        def own(rate: Any) -> optax.GradientTransformation:
            return self.make(rate if fixed is None else fixed)

        groups = [] if self.table is None else neighbours(self.table, self.hyperparameters)
        lifted = Lifted([own], rate, parameters)
        for group in groups:
            lifted = Lifted([own, *group], rate, parameters)
            if group and lifted.neighbours == len(group):
                break
        return lifted

    @property
    def traced_learning_rate(self) -> bool:
        """Whether the learning rate is a number, which compiled programs take as data."""
        return not isinstance(self.learning_rate, Schedule)

    @property
    def non_increasing(self) -> bool:
        """Whether the learning rate certainly never grows."""
        return not isinstance(self.learning_rate, Schedule) or self.learning_rate.non_increasing


def optimizer(
    table: Mapping[str, Any], key: str = "optimizer", precision: str = "float32"
) -> Optimizer:
    """Build the optimizer of a table such as {"name": "adam", "learning_rate": 0.01}.

    Args:
        table: `name`, `learning_rate` (a positive number, or a table with `schedule` and its
            parameters), perhaps `variant`, and the method's hyperparameters.
        key: where the table stands, for error messages.
        precision: of the training, in which the response to zero gradients is measured.

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
    if session.is_text(name):
        return _passed(name, table, key)
    if not isinstance(name, str):
        raise unknown(f"{key}.name", name, [*METHODS, *others.others()])
    if name in others.REFUSED:
        raise InputError(f"{key}.name = {name!r} cannot be used: {others.REFUSED[name]}")
    if name not in METHODS and name not in others.others():
        raise unknown(f"{key}.name", name, [*METHODS, *others.others()])
    given = {k: v for k, v in table.items() if k not in ("name", "learning_rate")}
    rate = _learning_rate(table, key)
    method = _method(name, given, rate, key)
    numbers = {k: v for k, v in given.items() if k != "variant"}
    shipped = name not in METHODS or getattr(METHODS[name], "__module__", None) == methods.__name__
    keeps = method.keeps_inactive
    if numbers or not shipped:
        # What is shipped is checked at its defaults by the tests.
        response = _measured(name, given, precision)
        reason = None if response.defined else _undefined(name, given, key, precision)
        if reason is not None:
            raise InputError(reason)
        keeps &= response.keeps
    return Optimizer(
        name,
        given.get("variant", "optax"),
        method.make,
        rate,
        coordinatewise=method.coordinatewise,
        keeps_inactive=keeps,
        forgets=method.forgets,
        definition=method.definition,
        hyperparameters=method.hyperparameters,
        table=dict(table),
    )


def _passed(text: str, table: Mapping[str, Any], key: str) -> Optimizer:
    """Return the optimizer of an optax transformation that was passed from Python.

    Its learning rate is built in, and nothing is claimed of what it does to zero gradients.

    Raises:
        InputError: for any key beside it, or an object of another session or kind.
    """
    others_given = sorted(set(table) - {"name"})
    if others_given:
        raise InputError(
            f"{key}.{others_given[0]} = {table[others_given[0]]!r} is not accepted beside an optax "
            "transformation, which has its learning rate and hyperparameters built in"
        )
    transformation = session.object_of(text, f"{key}.name")
    if not isinstance(transformation, optax.GradientTransformation):
        raise InputError(
            f"{key}.name = {session.named(text)!r} is of type {type(transformation).__name__}; "
            "accepted: an optax transformation such as optax.adam(0.01)"
        )
    return Optimizer(
        session.named(text),
        "optax",
        lambda rate: transformation,
        Schedule(lambda n: np.nan, non_increasing=False),
        coordinatewise=False,
        keeps_inactive=False,
        forgets=False,
        definition="an optax transformation passed from Python",
    )


def _method(name: str, given: Mapping[str, Any], rate: Any, key: str) -> Method:
    """Return the method with its hyperparameters, whichever package it comes from."""
    if name in METHODS:
        return call(METHODS[name], given, key, name)
    if given.get("variant", "optax") != "optax":
        raise InputError(
            f"{key}.variant = {given['variant']!r} is not accepted: {name!r} has only 'optax'"
        )
    given = {k: v for k, v in given.items() if k != "variant"}
    try:
        make = others.make_other(name, given, rate)
    except InputError as error:
        raise InputError(f"{key}.{error}") from None
    return Method(
        make,
        f"as optax defines {name}",
        {**_defaults(name), **given},
        coordinatewise=others.componentwise(name),
        keeps_inactive=others.keeps_inactive(name),
    )


def _defaults(name: str) -> dict[str, Any]:
    """Return the default hyperparameters of a method."""
    if name in METHODS:
        return METHODS[name]().hyperparameters
    parameters = others.hyperparameters(name).items()
    return {k: p.default for k, p in parameters if p.default is not inspect.Parameter.empty}


def _measured(name: str, given: Mapping[str, Any], precision: str) -> Response:
    """Return a method's response to zero gradients, measured once."""
    return _measure(name, tuple(sorted(others.frozen(given).items())), precision)


@lru_cache(maxsize=512)
def _measure(name: str, given: tuple[tuple[str, Any], ...], precision: str) -> Response:
    make = _method(name, dict(given), 0.1, "optimizer").make
    if name in METHODS:  # componentwise recursions, of which grids have many hyperparameters
        return zero_gradient_response(make, precision, (1, 8, 1), steps=6, compiled=False)
    return zero_gradient_response(make, precision)


def _undefined(name: str, given: Mapping[str, Any], key: str, precision: str) -> str | None:
    """Return the sentence that names the hyperparameter behind a 0/0; None if none is to blame.

    Methods that do so at their defaults (prodigy without any gradient) are themselves.
    """
    tiny = float(np.finfo(precision).tiny)
    defaults = _defaults(name)
    for k in sorted(given, key=lambda k: not k.startswith("eps")):
        repairs = {f"at least {tiny:.2g}": tiny} if k.startswith("eps") else {}
        if k in defaults:
            repairs[f"{defaults[k]!r}, the default"] = defaults[k]
        for accepted, value in repairs.items():
            if _measured(name, {**given, k: value}, precision).defined:
                return (
                    f"{key}.{k} = {given[k]!r} is not accepted: in {precision} it makes parameters "
                    f"without gradients not-a-number (0/0); accepted: {accepted}"
                )
    return None


def _require_float32(schedule: Mapping[str, Any], place: str) -> None:
    """Refuse learning rates of a schedule that float32 makes 0 or infinite."""
    for key, value in schedule.items():
        for rate in value if isinstance(value, list | tuple) else [value]:
            if "value" not in key or isinstance(rate, bool) or not isinstance(rate, int | float):
                continue
            if rate > 0 and not TINY <= rate <= 1 / TINY:
                raise InputError(
                    f"{place}.{key} = {rate!r} is not accepted: it should be positive and finite, "
                    "also in float32"
                )


def _learning_rate(table: Mapping[str, Any], key: str) -> float | Schedule:
    place = f"{key}.learning_rate"
    if "learning_rate" not in table:
        raise InputError(f"{place} is missing; it is required for every optimizer")
    rate = table["learning_rate"]
    if isinstance(rate, Mapping):
        _require_float32(rate, place)
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
