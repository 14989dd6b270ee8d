"""Data sets as laws of (X, Y): every row with the same probability, so that the true risk is a sum.

By name those bundled with scikit-learn, which need no download; by path your own .npz file with the
arrays x [n, d] and y, or .csv file with a header whose last column, or column named "label", is y.
Columns of x are scaled, by default to mean 0 and standard deviation 1; constant ones become 0.

Rows can be held out: a share of them, or a file of their own. Then trainings draw from the training
rows alone, which also fix the scales, and the risk is over the rows that `risk_over` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jaxsim.errors import InputError, unknown
from jaxsim.problem.data_files import index_columns, read_file
from jaxsim.problem.held_out import (
    appended_rows,
    chosen_rows,
    held_rows,
    looks_like_classes,
    repeated_rows,
)
from jaxsim.registry import check_parameters

Scale = Literal["standardize", "unit", "none"]
Task = Literal["auto", "classes", "regression"]
Over = Literal["test", "train", "all"]

_SAFE = 2.0**900
"""Beyond it sums of a column may overflow."""

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
        checked["test"] = held_rows(checked["test"], f"{key}.test", base)
    elif checked.get("risk_over") is not None:
        raise InputError(
            f"{key}.risk_over = {checked['risk_over']!r} is not accepted without {key}.test: no "
            "row is held out"
        )
    try:
        return factory(**checked)
    except InputError as error:
        raise error.at(key) from None


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
    held: Any = test  # what `held_rows` made of it
    if isinstance(held, Path):
        raise InputError(
            f"test = {{ path = {str(held)!r} }} is not accepted beside a data set by name; "
            "accepted: { fraction = 0.2 }"
        )
    chosen = chosen_rows(name, y, held, task)
    return _prepare(name, x, y, scale, task, target_scale, chosen, risk_over)


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
    held: Any = test  # what `held_rows` made of it
    header, x, y = read_file(file, path, label)
    warnings = [*index_columns(file.name, header, x)]
    if isinstance(held, Path):
        columns, more_x, more_y = read_file(held, str(held), label)
        if columns != header or more_x.shape[1:] != x.shape[1:]:
            raise InputError(
                f"test = {{ path = {str(held)!r} }} has other columns than {file.name}; accepted: "
                f"the same {x.shape[1]:,} columns of x in the same order"
            )
        chosen = appended_rows(held.name, file.name, y, more_y, len(more_x))
        for name, array in (("x", more_x), ("y", more_y)):
            if array.dtype.kind == "f":
                _finite(held.name, name, array)  # now, for rows are counted in their own file
        warnings += repeated_rows((file.name, x, y), (held.name, more_x, more_y))
        x = np.concatenate([x, more_x])
        y = np.concatenate([y, more_y])
    else:
        chosen = chosen_rows(file.name, y, held, task)
    prepared = _prepare(file.name, x, y, scale, task, target_scale, chosen, risk_over)
    return replace(prepared, warnings=(*warnings, *prepared.warnings))


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
    if task == "classes" or (task == "auto" and looks_like_classes(y[rows])):
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
    classes, labels = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"{name} has one class only ({classes[0]}); accepted: at least two")
    missing = np.setdiff1d(labels, labels[rows])
    if len(missing):
        raise InputError(
            f"{name}: no training row has the class {classes[missing[0]]}; accepted: held-out rows "
            "whose classes the training rows have, too"
        )
    return labels.astype(np.int32), len(classes)
