"""Which numeric axes a study's grid has, and what else tells its experiments apart.

Keys in which experiments differ are numbers (axes) or names (colours, panels). A number that
follows from the others, such as a learning rate that goes with a width, is no axis of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from jaxsim.errors import unknown
from jaxsim.results.frame import Axis

_FIRST = (
    "network.hidden.width", "network.hidden.depth", "optimizer.learning_rate",
    "training.batch_size",
)  # fmt: skip
_OBSERVED = ("checkpoints", "problem.optimum", "problem.risk")
"""Keys that say what is observed or known of an experiment, not what it is."""
_TITLES = {
    "network.hidden.width": "width",
    "network.hidden.depth": "hidden layers",
    "optimizer.learning_rate": "learning rate",
    "training.batch_size": "batch size",
    "training.set.size": "training samples",
    "steps": "steps n",
}
_LONG = 30
"""Letters of a name from which on words that follow from others are left out."""
_SPARSE, _FEW = 4, 3
"""Two axes with at least so many values and at most so many differences are one axis."""


@dataclass(frozen=True)
class NumericAxis:
    """A number in which experiments differ.

    Attributes:
        key: of the study: "optimizer.learning_rate"; of lists of widths "network.hidden.width", or
            "network.hidden.depth".
        title: in figures.
        values: of the experiments, [E]; None where an experiment has no such number.
    """

    key: str
    title: str
    values: tuple[float | None, ...]

    @property
    def places(self) -> list[float]:
        """The different values, increasing."""
        return sorted({v for v in self.values if v is not None})


@dataclass(frozen=True)
class Grid:
    """The numeric axes of a study, and the names of the rest.

    Attributes:
        axes: that vary freely, the most telling one first.
        names: what an experiment is besides its numbers, [E]; empty texts if nothing.
        along: titles of numbers that go with the axes and are no axes of their own.
    """

    axes: tuple[NumericAxis, ...]
    names: tuple[str, ...]
    along: tuple[str, ...] = ()

    def chosen(self, keys: Sequence[str]) -> Grid:
        """Return the grid with some axes first.

        Raises:
            InputError: for a key that is no axis.
        """
        order = [self._find(key) for key in keys]
        return Grid((*order, *(a for a in self.axes if a not in order)), self.names, self.along)

    def told(self, count: int) -> Grid | None:
        """Return the grid with the axes first that most experiments vary along; None if few do.

        Args:
            count: of axes that a figure has.
        """
        best, most = None, 0
        for axes in combinations(self.axes, count):
            varying = self._varying(axes)
            if varying > most:
                best, most = axes, varying
        if best is None or 2 * most < len(self.names):
            return None
        return Grid((*best, *(a for a in self.axes if a not in best)), self.names, self.along)

    def _varying(self, axes: Sequence[NumericAxis]) -> int:
        """Return how many experiments differ from another in each of some axes, and nothing else.

        A map that is mostly empty is none.
        """
        others = [a for a in self.axes if a not in axes]
        groups: dict[tuple, list[tuple]] = {}
        for e, name in enumerate(self.names):
            place = tuple(a.values[e] for a in axes)
            if None not in place:
                rest = (name, *(a.values[e] for a in others))
                groups.setdefault(rest, []).append(place)
        found = 0
        for places in groups.values():
            sizes = [len(set(column)) for column in zip(*places, strict=True)]
            if min(sizes) >= 2 and (len(axes) == 1 or 2 * len(places) > math.prod(sizes)):
                found += len(places)
        return found

    def _find(self, key: str) -> NumericAxis:
        for axis in self.axes:
            names = (axis.key, axis.title, axis.key.split(".")[-1])
            if key in names or key == axis.key.rpartition(".")[0]:
                return axis
        raise unknown("axis", key, [axis.key for axis in self.axes])


def grid_of(experiments: Sequence[Mapping[str, Axis]]) -> Grid:
    """Return the numeric axes of experiments from the keys in which they differ.

    Example:
        >>> grid = grid_of([{"optimizer.name": o, "network.hidden": f"[{m}]"}
        ...                 for o in ("sgd", "adam") for m in (2, 4)])
        >>> grid.axes[0].title, grid.axes[0].values, grid.names
        ('width', (2.0, 4.0, 2.0, 4.0), ('sgd', 'sgd', 'adam', 'adam'))
    """
    numbers: dict[str, tuple[float | None, ...]] = {}
    words: dict[str, tuple[str, ...]] = {}
    for key in dict.fromkeys(key for table in experiments for key in table):
        if any(key == k or key.startswith(f"{k}.") for k in _OBSERVED):
            continue
        column = [table.get(key) for table in experiments]
        parts = list(_widths(key, column)) if key.endswith("hidden") else []
        for name, values in parts or [(key, _numbers(column))]:
            if values is None:
                words[name] = tuple("" if v is None else str(v) for v in column)
            elif len(set(values)) > 1:
                numbers[name] = values
    # A target that is another one in every dimension is told by the dimension.
    sizes = [values for key, values in numbers.items() if key.startswith("problem.")]
    for key in [k for k in words if k.startswith("problem.target")]:
        if any(not _varies(words[key], [size], len(experiments)) for size in sizes):
            del words[key]
    order = sorted(numbers, key=lambda k: _FIRST.index(k) if k in _FIRST else len(_FIRST))
    order.sort(key=lambda k: k == "steps")
    kept: list[str] = []
    for key in order:
        others = [*words.values(), *(numbers[k] for k in kept)]
        if _varies(numbers[key], others, len(experiments)):
            kept.append(key)
    titles = _titles(order)
    axes = [NumericAxis(key, titles[key], numbers[key]) for key in kept]
    names = [_name(words, e) for e in range(len(experiments))]
    if max(map(len, names), default=0) > _LONG:
        words = _telling(words)
        names = [_name(words, e) for e in range(len(experiments))]
    axes, names = _joined(axes, names)
    along = tuple(titles[k] for k in order if k not in kept) if axes else ()
    return Grid(tuple(axes), tuple(names), along)


def is_logarithmic(places: Sequence[float]) -> bool:
    """Return whether values are spaced as on a logarithmic axis.

    Example:
        >>> is_logarithmic([1, 2, 4, 8, 16]), is_logarithmic([1, 2, 3, 4]), is_logarithmic([0, 10])
        (True, False, False)
    """
    if len(places) < 2 or places[0] <= 0:
        return False
    if len(places) == 2:
        return places[1] >= 8 * places[0]
    return _unevenness([math.log(v) for v in places]) < _unevenness(places)


def _unevenness(places: Sequence[float]) -> float:
    """Return the greatest over the mean distance of neighbours."""
    gaps = [b - a for a, b in pairwise(places)]
    return max(gaps) * len(gaps) / sum(gaps)


def _telling(words: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the words without those that follow from the ones before them."""
    kept: dict[str, tuple[str, ...]] = {}
    known = 1
    for key, column in words.items():
        together = len(set(zip(*kept.values(), column, strict=True)))
        if together > known:
            kept[key], known = column, together
    return kept


def _numbers(column: Sequence[Axis]) -> tuple[float | None, ...] | None:
    """Return a column of numbers, or None: names may stand beside numbers only as gaps."""
    plain = [isinstance(v, int | float) and not isinstance(v, bool) for v in column]
    found = {float(v) for v, is_number in zip(column, plain, strict=True) if is_number}  # type: ignore[arg-type]  # checked above
    if len(found) < 2 or not all(math.isfinite(v) for v in found):
        return None
    return tuple(
        float(v) if is_number else None  # type: ignore[arg-type]  # checked above
        for v, is_number in zip(column, plain, strict=True)
    )


def _widths(
    key: str, column: Sequence[Axis]
) -> Iterator[tuple[str, tuple[float | None, ...] | None]]:
    """Yield the axes of lists of widths: width and depth, or the layers whose widths vary."""
    lists = [_list(v) for v in column]
    if any(widths is None for widths in lists):
        return
    known = [widths for widths in lists if widths is not None]
    if all(len(set(widths)) <= 1 for widths in known):
        yield f"{key}.width", tuple(float(w[0]) if w else None for w in known)
        yield f"{key}.depth", tuple(float(len(w)) for w in known)
    elif len({len(w) for w in known}) == 1:
        for place, values in enumerate(zip(*known, strict=True), start=1):
            yield f"{key}.width of layer {place}", tuple(map(float, values))


def _list(value: Axis) -> list[int] | None:
    try:
        widths = json.loads(value) if isinstance(value, str) else None
    except ValueError:
        return None
    right = isinstance(widths, list) and all(type(w) is int for w in widths)
    return widths if right else None


def _varies(values: Sequence[object], others: Sequence[Sequence[object]], count: int) -> bool:
    """Return whether values differ between experiments that agree in everything else."""
    seen: dict[tuple, set[object]] = {}
    for e in range(count):
        if values[e] is not None:
            seen.setdefault(tuple(column[e] for column in others), set()).add(values[e])
    return any(len(there) > 1 for there in seen.values())


def _joined(
    axes: Sequence[NumericAxis], names: Sequence[str]
) -> tuple[list[NumericAxis], list[str]]:
    """Return two axes of which only a diagonal is there as one: a width k or k + 1 for each k."""
    if len(axes) != 2:
        return list(axes), list(names)
    first, second = axes
    pairs = list(zip(first.values, second.values, strict=True))
    apart = {a - b for a, b in pairs if a is not None and b is not None}
    sizes = len(first.places), len(second.places)
    sparse = 2 * len(set(pairs)) <= sizes[0] * sizes[1] and min(sizes) >= _SPARSE
    if not sparse or len(apart) > _FEW or any(d != round(d) for d in apart):
        return list(axes), list(names)
    told = [
        ", ".join(filter(None, [name, _difference(first.title, second.title, pair)]))
        for name, pair in zip(names, pairs, strict=True)
    ]
    return [second], told


def _difference(a: str, b: str, pair: tuple[float | None, float | None]) -> str:
    if pair[0] is None or pair[1] is None:
        return ""
    apart = round(pair[0] - pair[1])
    return f"{a} = {b}" + (f" {'+' if apart > 0 else '-'} {abs(apart)}" if apart else "")


def _titles(keys: Sequence[str]) -> dict[str, str]:
    """Return a title for each key, in full where the last words of two are the same."""
    short = {k: _TITLES.get(k) or k.split(".")[-1].replace("_", " ") for k in keys}
    words = list(short.values())
    return {k: t if words.count(t) == 1 else _long(k) for k, t in short.items()}


def _long(key: str) -> str:
    return key.replace("_", " ").replace(".", " ")


def _name(words: Mapping[str, Sequence[str]], e: int) -> str:
    parts = []
    for key, column in words.items():
        last = key.split(".")[-1]
        if not column[e]:
            continue
        alone = last in ("name", "law", "optimizer", "activation", "data", "schedule")
        parts.append(column[e] if alone else f"{last.replace('_', ' ')} {column[e]}")
    return ", ".join(parts)
