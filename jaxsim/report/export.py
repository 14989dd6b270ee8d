"""Results in other forms: CSV, one Parquet file, and the JSON schema of the study format."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from jaxsim.errors import InputError, unknown
from jaxsim.launch.directory import reopen
from jaxsim.launch.simulate import open_results
from jaxsim.results.files import unwritable
from jaxsim.results.results import Results, frame
from jaxsim.study.spec import StudySpec

FORMATS = ("csv", "parquet", "schema")


def export(directory: Path | None, form: str, output: Path | None, allow_code: bool = False) -> str:
    """Write the results of a directory in another form and return where.

    One row per replicate and checkpoint, as `Results.to_pandas`; written shard by shard, so that
    memory does not grow with the number of replicates. The form "schema" needs no directory and
    returns the schema itself unless an output is given.

    Raises:
        InputError: for an unknown form, a missing directory, or a file that cannot be written.
    """
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    if form == "schema":
        text = json.dumps(study_schema(), indent=2)
        if output is None:
            return text
        _write(output, lambda path: path.write_text(text + "\n", encoding="utf-8"))
        return str(output)
    if directory is None:
        raise InputError(f"directory is missing; --format {form} needs one made by `jaxsim run`")
    results = open_results(reopen(directory, allow_code))
    output = output or Path(directory) / f"results.{form}"
    _write(output, lambda path: _rows(results, path, form))
    return str(output)


def study_schema() -> dict:
    """Return the JSON schema of study files."""
    return StudySpec.model_json_schema()


def _write(output: Path, write) -> None:
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise unwritable(output, error) from None


def _rows(results: Results, path: Path, form: str) -> None:
    """Write the rows of all shards; columns of the deepest network, missing ones empty."""
    layers = max((len(e.network.hidden) for e in results.experiments), default=0)
    names = [f"inactive_{layer + 1}" for layer in range(layers)]
    writer = None
    with open(path, "wb") as file:
        for experiment in results.experiments:
            for records in results.chunks(experiment):
                rows = _aligned(frame(experiment, records), names)
                if form == "csv":
                    text = io.StringIO()
                    rows.to_csv(text, index=False, header=file.tell() == 0)
                    file.write(text.getvalue().encode())
                    continue
                table = pa.Table.from_pandas(rows, preserve_index=False)
                writer = writer or pq.ParquetWriter(file, table.schema)
                writer.write_table(table)
        if writer is not None:
            writer.close()


def _aligned(rows: pd.DataFrame, inactive: list[str]) -> pd.DataFrame:
    place = list(rows.columns).index("error") + 1
    for offset, name in enumerate(inactive):
        if name not in rows:
            rows.insert(place + offset, name, pd.array([pd.NA] * len(rows), dtype="Int32"))
        else:
            rows[name] = rows[name].astype("Int32")
    return rows
