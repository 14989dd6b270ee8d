"""An optimizer with its hyperparameters changed a little, to see which constants they become."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import optax

from jaxsim.optimizer import others
from jaxsim.optimizer.methods import METHODS
from jaxsim.optimizer.schedules import SCHEDULES
from jaxsim.registry import build

Make = Callable[[Any], optax.GradientTransformation]
_SMALL = 2.0**-7

Place = tuple[Any, ...]
"""Keys and positions that lead to a number of a table."""


def neighbours(
    table: Mapping[str, Any], hyperparameters: Mapping[str, Any]
) -> Iterator[list[Make]]:
    """Yield lists of changed optimizers, from the most changed at once to one number at a time.

    A change that is refused, or that changes more than constants, says nothing of the others: the
    first list of which all serve is enough, the last is what can be had.

    Args:
        table: of the optimizer, as the study gives it.
        hyperparameters: of the method, defaults filled in.
    """
    if table["name"] in others.BUILT_IN:
        return
    full: dict[str, Any] = {**table, **{k: v for k, v in hyperparameters.items()}}
    rate = full["learning_rate"]
    if isinstance(rate, Mapping):
        full["learning_rate"] = {**_defaults(SCHEDULES[rate["schedule"]]), **rate}
    else:
        del full["learning_rate"]
    places = list(_numbers(full))
    yield _made(full, [places])
    yield _made(full, [[p for p in places if isinstance(_at(full, p), float)]])
    yield _made(full, [[p for p in places if _at(full, p) and isinstance(_at(full, p), float)]])
    yield _made(full, [[p] for p in places])


def _made(table: Mapping[str, Any], groups: list[list[Place]]) -> list[Make]:
    places = list(_numbers(table))
    changed = (
        _changed(table, {p: _neighbour(_at(table, p), places.index(p)) for p in group})
        for group in groups
        if group
    )
    return [make for t in changed if (make := _make(t)) is not None]


def _make(table: Mapping[str, Any]) -> Make | None:
    """Return what makes the transformation of a table; None if its numbers are refused."""
    given = {k: v for k, v in table.items() if k not in ("name", "learning_rate")}
    try:
        rate = table.get("learning_rate")
        if rate is not None:
            rate = build(SCHEDULES, rate, "learning_rate", tag="schedule")
        if table["name"] in METHODS:
            make = METHODS[table["name"]](**given).make
        else:
            given.pop("variant", None)
            make = others.unchecked(table["name"], given)
    except Exception:  # of checks of many packages
        return None
    return make if rate is None else lambda _: make(rate)


def _defaults(factory: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(factory).parameters.items()
    return {k: p.default for k, p in parameters if p.default is not inspect.Parameter.empty}


def _numbers(value: Any) -> Iterator[Place]:
    """Yield where the numbers of nested tables and lists are."""
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield ()
        return
    for key, inner in items:
        for place in _numbers(inner):
            yield (key, *place)


def _at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


def _changed(value: Any, numbers: Mapping[Place, Any], place: Place = ()) -> Any:
    if isinstance(value, Mapping):
        return {k: _changed(v, numbers, (*place, k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_changed(v, numbers, (*place, k)) for k, v in enumerate(value)]
    return numbers.get(place, value)


def _neighbour(value: float, number: int) -> float:
    """Return a number close by, of the same type, smaller if it is a float, another for each."""
    if isinstance(value, int):
        return value + 1 + number
    step = _SMALL * (1 + number / 8)
    return value * (1 - step) if value else step
