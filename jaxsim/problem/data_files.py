"""A user's own data: .npz and .csv files read within limits, with a sentence for what is wrong."""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxsim.errors import InputError

LARGEST_BYTES = 2**31
"""Memory that the arrays of a file may take."""
_INDEX_NAMES = ("", "index", "id", "row", "unnamed: 0")


def read_file(file: Path, path: str, label: str | None) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return (names of the inputs, x, y) of a file.

    Raises:
        InputError: if it is missing or malformed.
    """
    try:
        is_file = file.is_file()
    except OSError as error:  # a name that no file can have
        shown = path if len(path) <= 80 else f"{path[:80]}..."
        raise InputError(f"path = {shown!r} cannot be read: {error.strerror}") from None
    if not is_file:
        raise InputError(f"path = {path!r}: there is no such file")
    if file.suffix not in (".csv", ".npz"):
        raise InputError(f"path = {path!r} is not accepted: it should end with .csv or .npz")
    if file.suffix == ".npz":
        if label is not None:
            raise InputError(f"label = {label!r} is not accepted for an .npz file, whose y is 'y'")
        return [], *_read_npz(file)
    return _read_csv(file, label)


def index_columns(name: str, header: list[str], x: np.ndarray) -> Iterator[str]:
    """Yield a sentence for every column of the inputs that numbers the rows."""
    for number, column in enumerate(header):
        with np.errstate(over="ignore"):
            steps = np.diff(x[:, number])
        counting = len(steps) > 0 and bool((steps == 1).all()) and x[0, number] in (0, 1)
        if not column or (counting and column.lower() in _INDEX_NAMES):
            name_text = f"named {column!r}" if column else "without a name"
            what = ", which numbers the rows," if counting else ""
            yield (
                f"the column {number + 1} of {name}, {name_text}{what or ','} is read as an input; "
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
    """Return (names of the inputs, x, y) of a file; y holds texts if the labels are names."""
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
    named = 2 * sum(map(_is_name, texts)) > len(texts)  # the others are what is wrong
    inputs = [i for i in range(len(header)) if i != target]
    x = [[_cell(file, line, row, header, i) for i in inputs] for line, row in rows[1:]]
    if named:
        for (line, _), text in zip(rows[1:], texts, strict=True):
            if not _is_name(text):
                raise InputError(
                    f"{file.name}, line {line}, column {target + 1} ({header[target]}): "
                    f"{text[:40]!r} is no label beside {next(filter(_is_name, texts))[:40]!r}; "
                    "accepted: all names, or all numbers"
                )
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


def _is_name(text: str) -> bool:
    """Return whether a label is a name: not empty, and no number."""
    return bool(text) and _number(text) is None


def _number(text: str) -> float | None:
    """Return the number that a cell holds; Python alone reads 1_0 as 10."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
