"""A shard's content: `Records` as an Arrow table and back, bit for bit."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa

from jaxsim.errors import InputError
from jaxsim.training.records import Records

VERSION = "1"
STORED = {"dead_layer": "permanent", "dead_neurons": "certified"}
"""Columns of a shard that are not called as the fields of `Records` are: files keep their names."""
_FIELDS: dict[str, str] = {column: name for name, column in STORED.items()}


def arrow_schema(
    checkpoints: int,
    layers: int,
    optional: bool = True,
    error_rate: bool = False,
    weight: bool = False,
    pattern: bool = False,
) -> pa.Schema:
    """Return the schema of shards with K+1 checkpoints and L hidden layers.

    Args:
        checkpoints: K+1.
        layers: L.
        optional: whether the columns are there that shards of earlier versions lack.
        error_rate: whether error rates were recorded, each followed by its error.
        weight: whether the rows are families of clones, which have weights.
        pattern: whether changes of activation patterns were recorded.
    """
    per_checkpoint = pa.list_(pa.float64(), checkpoints)
    fields = [
        ("replicate", pa.int64()),
        ("status", pa.int8()),
        ("diverged_step", pa.int64()),
        ("risk", per_checkpoint),
        ("error", per_checkpoint),
        ("inactive", pa.list_(pa.int32(), checkpoints * layers)),
        ("gradient_norm", pa.float64()),
        (STORED["dead_layer"], pa.int16()),
        (STORED["dead_neurons"], pa.int32()),
    ]
    if optional:
        fields.append(("constant", pa.list_(pa.int8(), checkpoints)))
    if error_rate:
        fields.append(("error_rate", pa.list_(pa.float64(), 2 * checkpoints)))
    if weight:
        fields.append(("weight", per_checkpoint))
    if pattern:
        fields.append(("pattern_changes", pa.list_(pa.int32(), checkpoints)))
    # Parquet has no lists of length zero: without hidden layers there is no such column.
    return pa.schema([f for f in fields if layers or f[0] != "inactive"])


OTHER_COLUMNS = "its columns are not those of this experiment"


def has_schema(schema: pa.Schema, checkpoints: int, layers: int) -> bool:
    """Return whether a table's columns are those of such an experiment."""
    plain = schema.remove_metadata()
    return any(plain.equals(form) for form in _schemas(checkpoints, layers))


@lru_cache(maxsize=32)
def _schemas(checkpoints: int, layers: int) -> tuple[pa.Schema, ...]:
    """Return what the columns of such an experiment can be."""
    forms = (
        (True, False, False), (True, True, False), (False, False, False),
        (True, False, True), (True, True, True),
        (True, False, False, True), (True, True, False, True),
    )  # fmt: skip
    return tuple(arrow_schema(checkpoints, layers, *form) for form in forms)


def to_arrow(records: Records, metadata: dict[str, str]) -> pa.Table:
    """Return the records as a table with the metadata attached to its schema."""
    rates = records.error_rate.shape[1] > 0
    weights = records.weight.shape[1] > 0
    pattern = records.pattern_changes.shape[1] > 0
    schema = arrow_schema(
        records.risk.shape[1],
        records.inactive.shape[2],
        error_rate=rates,
        weight=weights,
        pattern=pattern,
    )
    columns = []
    for field in schema:
        values = np.ascontiguousarray(
            getattr(records, _FIELDS.get(str(field.name), str(field.name)))
        )
        if pa.types.is_fixed_size_list(field.type):
            flat = _array(values.reshape(-1), field.type.value_type)
            columns.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type))
        else:
            columns.append(_array(values, field.type))
    return pa.table(columns, schema=schema.with_metadata(metadata))


def _array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Return contiguous numbers as an Arrow array.

    Not by `pa.array`, which imports pandas: 40 MiB and a third of a second in every worker.
    """
    numbers = values if values.dtype == kind.to_pandas_dtype() else _cast(values, kind)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def _cast(values: np.ndarray, kind: pa.DataType) -> np.ndarray:
    """Return the same numbers in another type.

    Raises:
        ValueError: if it does not hold them.
    """
    numbers = values.astype(kind.to_pandas_dtype())
    if not np.array_equal(numbers, values, equal_nan=values.dtype.kind == "f"):
        raise ValueError(f"{values.dtype} numbers do not fit {kind}")
    return numbers


def from_arrow(table: pa.Table, checkpoints: int, layers: int) -> Records:
    """Return the records of a table.

    Raises:
        InputError: if the table's columns are not those of such an experiment.
    """
    if not has_schema(table.schema, checkpoints, layers):
        raise InputError(OTHER_COLUMNS)
    rows = table.num_rows
    values = {
        "inactive": np.zeros((rows, checkpoints, 0), np.int32),
        "constant": np.full((rows, checkpoints), -1, np.int8),
        "error_rate": np.zeros((rows, 0, 2)),
        "weight": np.zeros((rows, 0)),
        "pattern_changes": np.zeros((rows, 0), np.int32),
    }
    shapes = {"inactive": (rows, checkpoints, layers), "error_rate": (rows, checkpoints, 2)}
    for field in table.schema:
        name = _FIELDS.get(str(field.name), str(field.name))
        values[name] = _numbers(table.column(field.name))
        if pa.types.is_fixed_size_list(field.type):
            values[name] = values[name].reshape(shapes.get(name, (rows, checkpoints)))
    return Records(**values)


def per_checkpoint(table: pa.Table, name: str) -> np.ndarray:
    """Return one column of a table with a number for every checkpoint, [R, T]."""
    return _numbers(table.column(name)).reshape(table.num_rows, -1)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Return the numbers of a column, those of lists one after the other, without a copy.

    Raises:
        InputError: if there are rows without a value.
    """
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if array.null_count:
        raise InputError("it has rows without a value")
    if isinstance(array, pa.FixedSizeListArray):
        size = array.type.list_size
        array = array.values.slice(array.offset * size, len(array) * size)
        if array.null_count:
            raise InputError("it has rows without a value")
    # Not by `to_numpy`, which imports pandas.
    kind, content = array.type.to_pandas_dtype(), array.buffers()[1]
    if content is None:
        return np.zeros(0, kind)
    return np.frombuffer(
        content, kind, offset=array.offset * np.dtype(kind).itemsize, count=len(array)
    )


def concatenate(parts: list[Records]) -> Records:
    """Return the records of several blocks as one."""
    return Records(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def head(records: Records, rows: int) -> Records:
    """Return the first rows: the padding of a last block is dropped here."""
    return Records(*(column[:rows] for column in records))
