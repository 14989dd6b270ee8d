"""Data sets as laws of (X, Y): every row with the same probability, so that the true risk is a sum.

By name those bundled with scikit-learn, which need no download; by path your own .npz file with the
arrays x [n, d] and y, or .csv file with a header whose last column, or column named "label", is y.
Columns of x are scaled, by default to mean 0 and standard deviation 1; constant ones become 0.

Rows can be held out: a share of them, or a file of their own. Then trainings draw from the training
rows alone, which also fix the scales, and the risk is over the rows that `risk_over` names.
"""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from jaxsim.errors import InputError, unknown
from jaxsim.registry import check_parameters

Scale = Literal["standardize", "unit", "none"]
Task = Literal["auto", "classes", "regression"]
Over = Literal["test", "train", "all"]

LARGEST_BYTES = 2**31
"""Memory that the arrays of a file may take."""
_INDEX_NAMES = ("", "index", "id", "row", "unnamed: 0")
_SAFE = 2.0**900
"""Beyond it sums of a column may overflow."""
MOST_CLASSES = 50
"""Whole numbers with at most so many different values are classes unless the task is stated."""

BUNDLED: dict[str, bool] = {
    "breast_cancer": True,
    "diabetes": False,
    "digits": True,
    "iris": True,
    "wine": True,
}
"""scikit-learn's bundled data sets, and whether y is a class."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Points with labels.

    Attributes:
        name: of the data set, or of the file.
        x: inputs [n, d], float64, scaled.
        y: classes 0, 1, ... as int32 [n], or values as float64 [n, 1].
        classes: number of classes; None for values.
        warnings: sentences on what may not be meant.
        held_out: which rows are held out, ascending [t]; None if none are. Rows of a file of their
            own stand after the training rows.
        risk_over: the rows that the risk is over: "test", "train" or "all".
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[Any]
    classes: int | None
    warnings: tuple[str, ...] = ()
    held_out: NDArray[np.int64] | None = None
    risk_over: Over = "all"

    @property
    def trained(self) -> NDArray[np.int64]:
        """Rows that trainings draw from, ascending."""
        every = np.arange(len(self.x))
        return every if self.held_out is None else np.setdiff1d(every, self.held_out)

    @property
    def judged(self) -> NDArray[np.int64]:
        """Rows that the risk is over, ascending."""
        if self.held_out is None or self.risk_over == "all":
            return np.arange(len(self.x))
        return self.held_out if self.risk_over == "test" else self.trained

    @property
    def over(self) -> str:
        """Which rows the risk is over, in words.

        Example:
            >>> load_dataset("iris", "problem.data", None).over
            'all 150 rows, those trained on included'
        """
        count = f"{len(self.judged):,}"
        if self.held_out is None:
            return f"all {count} rows, those trained on included"
        if self.risk_over == "all":
            return f"all {count} rows, {len(self.held_out):,} of them held out"
        return f"the {count} {'held-out' if self.risk_over == 'test' else 'training'} rows"


def load_dataset(spec: str | Mapping[str, Any], key: str, base: Path | None) -> DataSet:
    """Return the data set that a specification names.

    Args:
        spec: a name, or a table with "name" or "path" and perhaps
            scale: "standardize" (mean 0, standard deviation 1), "unit" (to [0, 1]) or "none";
            task: "classes" or "regression"; "auto" decides;
            target_scale: the same for the values of a regression, "none" by default;
            label: the column of a .csv file that is y;
            test: rows that are held out: { fraction = 0.2, seed = 0, stratified = true }, or
            { path = "test.csv" } of the same columns;
            risk_over: "test" (the default with `test`), "train" or "all" rows.
        key: where it stands in the study, for error messages.
        base: directory that relative paths refer to; None for the current one.

    Raises:
        InputError: for an unknown name, a missing or malformed file, or what is not finite.

    Example:
        >>> iris = load_dataset("iris", "problem.data", None)
        >>> iris.x.shape, iris.classes
        ((150, 4), 3)
    """
    table = {"name": spec} if isinstance(spec, str) else dict(spec)
    if ("name" in table) == ("path" in table):
        raise InputError(
            f"{key} = {table!r} is not accepted: it should have either 'name' or 'path'"
        )
    factory = factory_of(table)
    if "name" in table and table["name"] not in BUNDLED:
        hint = str(table["name"]).endswith((".csv", ".npz"))
        if hint:
            raise InputError(
                f"{key} = {table['name']!r} is no name; for a file of your own give "
                f'{{ path = "{table["name"]}" }}'
            )
        raise unknown(key, table["name"], BUNDLED)
    checked = check_parameters(factory, table, key, "name" if "name" in table else "path")
    if "path" in checked and base is not None:
        checked["path"] = str(base / checked["path"])
    if checked.get("test") is not None:
        checked["test"] = _held(checked["test"], f"{key}.test", base)
    elif checked.get("risk_over") is not None:
        raise InputError(
            f"{key}.risk_over = {checked['risk_over']!r} is not accepted without {key}.test: no "
            "row is held out"
        )
    try:
        return factory(**checked)
    except InputError as error:
        raise error.at(key) from None


@dataclass(frozen=True)
class Share:
    """A share of the rows that is held out, the same for equal seeds.

    Attributes:
        fraction: of the rows, rounded to whole ones.
        seed: of the choice.
        stratified: whether each class has its share of them.
    """

    fraction: float
    seed: int = 0
    stratified: bool = False


def _share(
    fraction: float,
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0,
    stratified: bool = False,
) -> Share:
    """Return a share of the rows."""
    if not 0 < fraction < 1:
        raise InputError(f"fraction = {fraction} is not accepted: it should be between 0 and 1")
    return Share(fraction, seed, stratified)


def _own_rows(path: str) -> Path:
    """Return a file whose rows are held out."""
    return Path(path)


Held = Share | Path


def _held(table: dict[str, Any], key: str, base: Path | None) -> Held:
    """Return what is held out.

    Raises:
        InputError: for a table that says something else.
    """
    factory = _own_rows if "path" in table else _share
    checked = check_parameters(factory, table, key, "path" if "path" in table else "fraction")
    try:
        found = factory(**checked)
    except InputError as error:
        raise error.at(key) from None
    return base / found if isinstance(found, Path) and base is not None else found


def factory_of(table: Mapping[str, Any]) -> Callable[..., DataSet]:
    """Return the function whose parameters are the keys of a table of data."""
    return _bundled if "name" in table else _file


def _bundled(
    name: str,
    scale: Scale = "standardize",
    task: Task = "auto",
    target_scale: Scale = "none",
    test: dict[str, Any] | None = None,
    risk_over: Over | None = None,
) -> DataSet:
    """Return a data set that comes with scikit-learn."""
    # Imported here: it takes a second, and few studies need it.
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if task == "auto":
        task = "classes" if BUNDLED[name] else "regression"
    x, y = np.asarray(x, float), np.asarray(y)
    held: Any = test  # what `_held` made of it
    if isinstance(held, Path):
        raise InputError(
            f"test = {{ path = {str(held)!r} }} is not accepted beside a data set by name; "
            "accepted: { fraction = 0.2 }"
        )
    return _prepare(name, x, y, scale, task, target_scale, _chosen(name, y, held), risk_over)


def _file(
    path: str,
    scale: Scale = "standardize",
    task: Task = "auto",
    target_scale: Scale = "none",
    label: str | None = None,
    test: dict[str, Any] | None = None,
    risk_over: Over | None = None,
) -> DataSet:
    """Return the data set in a user's file."""
    file = Path(path)
    held: Any = test  # what `_held` made of it
    header, x, y = _read(file, path, label)
    if isinstance(held, Path):
        columns, more_x, more_y = _read(held, str(held), label)
        if columns != header or more_x.shape[1:] != x.shape[1:]:
            raise InputError(
                f"test = {{ path = {str(held)!r} }} has other columns than {file.name}; accepted: "
                f"the same {x.shape[1]:,} columns of x in the same order"
            )
        chosen = _appended(held.name, file.name, y, more_y, len(more_x))
        x = np.concatenate([x, more_x])
        y = np.concatenate([y, more_y])
    else:
        chosen = _chosen(file.name, y, held)
    found = _prepare(file.name, x, y, scale, task, target_scale, chosen, risk_over)
    return replace(found, warnings=(*_index_columns(file.name, header, x), *found.warnings))


def _appended(name: str, first: str, y: np.ndarray, more: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the rows of a second file after those of the first.

    Raises:
        InputError: if there are none, or their labels are of another kind.
    """
    if not count:
        raise InputError(f"test: {name} has no rows; accepted: at least one")
    if (y.dtype.kind == "U") != (more.dtype.kind == "U") or y.shape[1:] != more.shape[1:]:
        raise InputError(f"test: the labels of {name} are of another kind than those of {first}")
    return np.arange(len(y), len(y) + count)


def _chosen(name: str, y: np.ndarray, held: Share | None) -> np.ndarray | None:
    """Return which rows are held out, ascending.

    Raises:
        InputError: if these are none or all, or if there are no classes to stratify by.
    """
    if held is None:
        return None
    # Raw bits of PCG64, whose stream NumPy keeps, so that a seed means the same rows for ever.
    order = np.argsort(np.random.PCG64(held.seed).random_raw(len(y)), kind="stable")
    count = math.floor(held.fraction * len(y) + 0.5)
    if not 0 < count < len(y):
        raise InputError(
            f"test.fraction = {held.fraction} of the {len(y):,} rows of {name} leaves "
            f"{'no row for the test' if not count else 'no row for training'}; accepted: a "
            "fraction that leaves rows for both"
        )
    if not held.stratified:
        return np.sort(order[:count])
    if not _looks_like_classes(y):
        raise InputError(
            f"test.stratified = true is not accepted for {name}, whose labels are no classes"
        )
    labels, sizes = np.unique(y, return_inverse=True, return_counts=True)[1:]
    # Largest remainders: whole rows of each class, together as many as asked for.
    shares = count * sizes / len(y)
    each = np.floor(shares).astype(int)
    each[np.argsort(each - shares, kind="stable")[: count - each.sum()]] += 1
    rank = np.empty(len(y), int)
    for label in range(len(sizes)):
        mine = order[labels[order] == label]
        rank[mine] = np.arange(len(mine))
    return np.flatnonzero(rank < each[labels])


def _read(file: Path, path: str, label: str | None) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return (names of the inputs, x, y) of a file.

    Raises:
        InputError: if it is missing or malformed.
    """
    try:
        there = file.is_file()
    except OSError as error:  # a name that no file can have
        shown = path if len(path) <= 80 else f"{path[:80]}..."
        raise InputError(f"path = {shown!r} cannot be read: {error.strerror}") from None
    if not there:
        raise InputError(f"path = {path!r}: there is no such file")
    if file.suffix not in (".csv", ".npz"):
        raise InputError(f"path = {path!r} is not accepted: it should end with .csv or .npz")
    if file.suffix == ".npz":
        if label is not None:
            raise InputError(f"label = {label!r} is not accepted for an .npz file, whose y is 'y'")
        return [], *_read_npz(file)
    return _read_csv(file, label)


def _index_columns(name: str, header: list[str], x: np.ndarray) -> Iterator[str]:
    """Yield a sentence for every column of the inputs that numbers the rows."""
    for number, column in enumerate(header):
        with np.errstate(over="ignore"):
            steps = np.diff(x[:, number])
        counting = len(steps) > 0 and bool((steps == 1).all()) and x[0, number] in (0, 1)
        if not column or (counting and column.lower() in _INDEX_NAMES):
            said = f"named {column!r}" if column else "without a name"
            what = ", which numbers the rows," if counting else ""
            yield (
                f"the column {number + 1} of {name}, {said}{what or ','} is read as an input; "
                "remove it from the file if it is an index"
            )


def _read_npz(file: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        _require_room(file)
        with np.load(file, allow_pickle=False) as arrays:
            missing = [name for name in ("x", "y") if name not in arrays]
            if missing:
                raise InputError(
                    f"{file.name} has no array {missing[0]!r}; it has "
                    f"{', '.join(arrays.files) or 'none'}, accepted: x [n, d] and y [n]"
                )
            x, y = arrays["x"], arrays["y"]
    except InputError:
        raise
    except Exception as error:  # zip, header or object arrays: whatever numpy raises
        raise InputError(f"{file.name} cannot be read as .npz: {error}") from None
    for name, array in (("x", x), ("y", y)):
        if array.dtype.kind not in "biuf":
            raise InputError(f"{file.name}: {name} has the type {array.dtype}; accepted: numbers")
    if x.ndim == 0 or y.ndim == 0:
        raise InputError(f"{file.name}: x or y is a single number; accepted: x [n, d] and y [n]")
    x = x.reshape(len(x), math.prod(x.shape[1:])).astype(np.float64)
    return x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _require_room(file: Path) -> None:
    """Check what the headers of a compressed file ask for, before it is unpacked.

    Raises:
        InputError: if it is too much.
    """
    with zipfile.ZipFile(file) as archive:
        asked = sum(entry.file_size for entry in archive.infolist())
        for entry in archive.infolist():
            if entry.filename in ("x.npy", "y.npy"):
                with archive.open(entry) as stream:
                    version = np.lib.format.read_magic(stream)
                    reader = (
                        getattr(np.lib.format, f"read_array_header_{version[0]}_0", None)
                        or np.lib.format.read_array_header_2_0
                    )
                    shape, _, kind = reader(stream)
                    asked = max(asked, 8 * math.prod(shape), kind.itemsize * math.prod(shape))
    if asked > LARGEST_BYTES:
        raise InputError(
            f"{file.name} asks for {asked:,} bytes of memory; accepted: up to {LARGEST_BYTES:,}"
        )


def _read_csv(file: Path, label: str | None) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return (names of the inputs, x, y) of a file; y holds texts if no label is a number."""
    size = file.stat().st_size
    if size > LARGEST_BYTES // 8:  # Python's texts and numbers take several times as much
        raise InputError(
            f"{file.name} has {size:,} bytes; accepted: up to {LARGEST_BYTES // 8:,}, and more as "
            ".npz"
        )
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file.name} cannot be read as .csv: {error}") from None
    if not rows:
        raise InputError(f"{file.name} is empty; accepted: a header and one row per sample")
    header = [name.strip() for name in rows[0][1]]
    if len(header) < 2:
        raise InputError(f"{file.name} has one column; accepted: at least one input and a label")
    if all(_number(name) is not None for name in header):
        raise InputError(f"{file.name} has no header; accepted: names of the columns in line 1")
    target = _label_column(file, header, label)
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise InputError(
                f"{file.name}, line {line} has {len(row)} cells; accepted: {len(header)}, as many "
                "as the header"
            )
    texts = [row[target].strip() for _, row in rows[1:]]
    named = bool(texts) and all(t and _number(t) is None for t in texts)
    inputs = [i for i in range(len(header)) if i != target]
    x = [[_cell(file, line, row, header, i) for i in inputs] for line, row in rows[1:]]
    if named:
        y = np.array(texts)
    else:
        y = np.array([_cell(file, line, row, header, target) for line, row in rows[1:]])
    names = [header[i] for i in inputs]
    return names, np.array(x, float).reshape(len(rows) - 1, len(inputs)), y


def _label_column(file: Path, header: list[str], label: str | None) -> int:
    if label is None and "label" not in header:
        return len(header) - 1
    label = "label" if label is None else label
    if header.count(label) > 1:
        raise InputError(
            f"label = {label!r} is the name of {header.count(label)} columns of {file.name}; "
            "accepted: the name of one"
        )
    if label not in header:
        raise InputError(
            f"label = {label!r} is no column of {file.name}; accepted: {', '.join(header)}"
        )
    return header.index(label)


def _cell(file: Path, line: int, row: list[str], header: list[str], column: int) -> float:
    value = _number(row[column])
    if value is None:
        raise InputError(
            f"{file.name}, line {line}, column {column + 1} ({header[column]}): "
            f"{row[column][:40]!r} is not a number"
        )
    return value


def _number(text: str) -> float | None:
    """Return the number that a cell holds; Python alone reads 1_0 as 10."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _prepare(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    scale: Scale,
    task: Task,
    target_scale: Scale,
    held_out: np.ndarray | None,
    risk_over: Over | None,
) -> DataSet:
    """Return a data set after checks, with scaled columns and labels of the task."""
    if len(x) != len(y):
        raise InputError(f"{name} has {len(x)} rows of x, but {len(y)} of y")
    if len(x) < 2:
        raise InputError(f"{name} has {len(x)} rows; accepted: at least 2")
    if not x.shape[1]:
        raise InputError(f"{name} has no columns of x; accepted: at least one")
    _finite(name, "x", x)
    rows = np.ones(len(x), bool)
    if held_out is not None:
        rows[held_out] = False
    x = _scaled(x, scale, rows)
    _finite(name, "x, scaled as the training rows are,", x)
    over: Over = (risk_over or "test") if held_out is not None else "all"
    if y.dtype.kind in "biuf":
        _finite(name, "y", y)
    if task == "classes" or (task == "auto" and _looks_like_classes(y[rows])):
        if target_scale != "none":
            raise InputError(
                f"target_scale = {target_scale!r} is not accepted for classes: it should be 'none'"
            )
        labels, classes = _classes(name, y, rows)
        return DataSet(name, x, labels, classes, (), held_out, over)
    if y.dtype.kind not in "biuf":
        raise InputError(f"task = 'regression' is not accepted: the labels of {name} are texts")
    values = y.astype(np.float64)
    values = values[:, None] if values.ndim == 1 else values.reshape(len(values), -1)
    scaled = _scaled(values, target_scale, rows)
    _finite(name, "y, scaled as the training rows are,", scaled)
    warnings = tuple(_unscaled(scale, target_scale, scaled[rows]))
    return DataSet(name, x, scaled, None, warnings, held_out, over)


def _unscaled(scale: Scale, target_scale: Scale, values: np.ndarray) -> Iterator[str]:
    """Yield a sentence if inputs are scaled and values are far from the size of 1."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = values.mean(0), values.std(0)
    far = (np.abs(mean) > 10) | (std > 10) | ((std > 0) & (std < 0.1) & (np.abs(mean) < 0.1))
    if scale == "none" or target_scale != "none" or not far.any():
        return
    place = int(np.argmax(far))
    yield (
        f"the inputs are scaled, the values of y are not (mean {mean[place]:.4g}, standard "
        f'deviation {std[place]:.4g}); problem.data.target_scale = "standardize" would scale them'
    )


def _finite(name: str, what: str, array: np.ndarray) -> None:
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = ", ".join(
            f"{axis} {i + 1}" for axis, i in zip(("row", "column"), wrong[0], strict=False)
        )
        raise InputError(
            f"{name}: {what} is {array[tuple(wrong[0])]} in {place}; accepted: finite numbers"
        )


def _scaled(values: np.ndarray, scale: Scale, rows: np.ndarray) -> np.ndarray:
    """Return columns scaled as some rows ask for; those that are constant there become 0."""
    if scale == "none":
        return values

    def own(array: np.ndarray) -> np.ndarray:
        # Not a copy of all rows: sums round by the order in memory.
        return array if rows.all() else array[rows]

    with np.errstate(over="ignore"):
        # By a power of 2 first, which is exact: spans and sums of the largest numbers overflow.
        values = values * np.where(np.abs(own(values)).max(0) > _SAFE, 2.0**-64, 1.0)
        low, high = own(values).min(0), own(values).max(0)
        varies = high > low
        if scale == "unit":
            width = np.where(varies, high - low, 1.0)
            return np.where(varies, (values - low) / width, 0.0)
        centred = np.where(varies, values - own(values).mean(0), 0.0)
        # By the largest entry first: squares of large numbers overflow, those of small ones vanish.
        size = np.where(varies, np.abs(own(centred)).max(0), 1.0)
        centred = centred / size
        return centred / np.where(varies, own(centred).std(0), 1.0)


def _looks_like_classes(y: np.ndarray) -> bool:
    """Return whether labels are texts, truth values, or whole numbers with few different values."""
    if y.ndim != 1:
        return False
    if y.dtype.kind in "Ub":
        return True
    return bool((y == np.round(y)).all()) and len(np.unique(y)) <= min(MOST_CLASSES, len(y) - 1)


def _classes(name: str, y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the labels 0, 1, ... [n] in the order of the given ones, and how many there are.

    Raises:
        InputError: for what are no classes, or a class that no training row has.
    """
    if y.ndim != 1:
        raise InputError(f"{name}: y has the shape {y.shape}; accepted for classes: [n]")
    if y.dtype.kind == "f" and not (y == np.round(y)).all():
        wrong = y[y != np.round(y)][0]
        raise InputError(f"{name}: the label {wrong:g} is no class; accepted: whole numbers")
    found, labels = np.unique(y, return_inverse=True)
    if len(found) < 2:
        raise InputError(f"{name} has one class only ({found[0]}); accepted: at least two")
    missing = np.setdiff1d(labels, labels[rows])
    if len(missing):
        raise InputError(
            f"{name}: no training row has the class {found[missing[0]]}; accepted: held-out rows "
            "whose classes the training rows have, too"
        )
    return labels.astype(np.int32), len(found)
