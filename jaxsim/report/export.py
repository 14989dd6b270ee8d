"""Results in other formats: CSV, one Parquet file, and the JSON schemas of studies and answers."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from jaxsim.errors import InputError, unknown
from jaxsim.launch.directory import reopen
from jaxsim.launch.simulate import open_results
from jaxsim.questions.answer import Answer
from jaxsim.report.typeset import table
from jaxsim.results.files import unwritable
from jaxsim.results.frame import axes_of, frame, meaning
from jaxsim.results.results import Results
from jaxsim.results.text_cells import harmless
from jaxsim.study.spec import StudySpec

SCHEMAS: dict[str, Callable[[], dict]] = {
    "schema": StudySpec.model_json_schema,
    "answer-schema": lambda: Answer.model_json_schema(mode="serialization"),
}
TABLES = {"latex": "tex", "markdown": "md"}
"""Formats of the table of the answer, and how their files end."""
FORMATS = ("csv", "parquet", *TABLES, *SCHEMAS)


def export(
    directory: Path | None, file_format: str, output: Path | None, allow_code: bool = False
) -> str:
    """Write the results of a directory in another format and return where.

    "latex" and "markdown" are the table of the answer. The other formats hold the runs, one row
    per replicate and checkpoint as `Results.to_pandas`, and are written shard by shard, so that
    memory does not grow with the number of replicates. Schemas need no directory and are returned
    themselves unless an output is given.

    Raises:
        InputError: for an unknown format, a missing directory, one without finished runs, or a file
            that cannot be written.
    """
    if file_format not in FORMATS:
        raise unknown("format", file_format, FORMATS)
    if file_format in SCHEMAS:
        if directory is not None:
            raise InputError(
                f"directory = {str(directory)!r} is not accepted with --format {file_format}, "
                "which is the same for all studies"
            )
        text = json.dumps(SCHEMAS[file_format](), indent=2)
        if output is None:
            return text
        _write(output, lambda path: path.write_text(text + "\n", encoding="utf-8"))
        return str(output)
    if directory is None:
        raise InputError(
            f"directory is missing; --format {file_format} needs one made by `jaxsim run`"
        )
    results = open_results(reopen(directory, allow_code))
    if not any(results.finished(e) for e in results.experiments):
        raise InputError(
            f"directory = {str(directory)!r} has no finished runs yet; there is nothing to export"
        )
    if file_format in TABLES:
        text = table(results, file_format)
        output = output or Path(directory) / f"estimates.{TABLES[file_format]}"
        _write(output, lambda path: path.write_text(text, encoding="utf-8"))
        return str(output)
    output = output or Path(directory) / f"results.{file_format}"
    _write(output, lambda path: _rows(results, path, file_format))
    return str(output)


def study_schema() -> dict:
    """Return the JSON schema of study files."""
    return SCHEMAS["schema"]()


def _write(output: Path, write: Callable[[Path], object]) -> None:
    _require_replaceable(output)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, output)
    except OSError as error:
        raise unwritable(output, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def _require_replaceable(output: Path) -> None:
    """Check that a name is free or a file's: a device would be gone, a link another file's.

    Raises:
        InputError: if it is not.
    """
    try:
        mode = os.lstat(output).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise unwritable(output, error) from None
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link"}
        kind = kinds.get(stat.S_IFMT(mode), "no regular file")
        raise InputError(
            f"output = {str(output)!r} is {kind}; accepted: a new file, or a regular one to replace"
        )


def _rows(results: Results, path: Path, file_format: str) -> None:
    """Write the rows of all shards; columns of the deepest network, missing ones empty."""
    layers = max((len(e.network.hidden) for e in results.experiments), default=0)
    axes = axes_of(results.experiments)
    over = any(e.problem.over for e in results.experiments)
    writer = None
    with open(path, "wb") as file:
        for experiment, grid_columns in zip(results.experiments, axes, strict=True):
            for records, stratum, share in results.weighted(experiment):
                rows = frame(experiment, records, grid_columns, layers, over, stratum, share)
                if file_format == "parquet":
                    _settle(rows, axes)
                if file_format == "csv":
                    text = io.StringIO()
                    harmless(rows).to_csv(text, index=False, header=file.tell() == 0)
                    file.write(text.getvalue().encode())
                    continue
                writer = writer or pq.ParquetWriter(file, _schema(axes, rows))
                schema = writer.schema
                for name in grid_columns:
                    if schema.field(name).type == pa.string():
                        rows[name] = [None if v is None else str(v) for v in rows[name]]
                writer.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False))
        if writer is not None:
            writer.close()


def _settle(rows: pd.DataFrame, axes: list[dict]) -> None:
    """Give axes whose numbers Arrow's integers cannot hold the type they have in all experiments.

    Integers beyond 2^63 are rounded to float64, those beyond its range become text.
    """
    for name in axes[0]:
        kind = _common_type([table[name] for table in axes])
        if kind == pa.float64():
            rows[name] = rows[name].astype(float)
        elif kind == pa.string():
            rows[name] = [None if v is None else str(v) for v in rows[name]]


def _schema(axes: list[dict], rows) -> pa.Schema:
    """Return the Parquet schema: axes have one type in all experiments, columns are described."""
    fields = []
    plain = pa.Schema.from_pandas(rows, preserve_index=False)
    for field in plain:
        kind = field.type
        if field.name in axes[0]:
            kind = _common_type([table[field.name] for table in axes])
        fields.append(pa.field(field.name, kind, metadata={"description": meaning(field.name)}))
    return pa.schema(fields)


def _common_type(values: list) -> pa.DataType:
    known = [v for v in values if v is not None]
    if known and all(isinstance(v, bool) for v in known):
        return pa.bool_()
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)
    if known and numbers and all(isinstance(v, int) and -(2**63) <= v < 2**63 for v in known):
        return pa.int64()
    if known and numbers and all(isinstance(v, float) or abs(v) < 2**1023 for v in known):
        return pa.float64()
    return pa.string()
