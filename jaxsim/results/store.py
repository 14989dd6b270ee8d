"""The results are the state: a directory of immutable shards and the study they belong to.

    DIR/study.json                           the resolved study and its layout
    DIR/shards/<experiment>/<first>-<stop>.parquet

One shard holds the replicates first, ..., stop - 1 of one experiment. Writers need no locks: a
shard appears by one rename, and a second writer replaces it by the same content.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxsim.engines.registry import ExecutionConfig, current_name
from jaxsim.errors import InputError
from jaxsim.results.files import (
    MANIFEST,
    NoRegularFile,
    create_atomically,
    names_in,
    open_regular,
    read_regular,
    write_atomically,
)
from jaxsim.results.schema import (
    OTHER_COLUMNS,
    VERSION,
    from_arrow,
    has_schema,
    per_checkpoint,
    to_arrow,
)
from jaxsim.training.records import Records

_EXPERIMENT = "jaxsim.experiment"
# What the Parquet reader raises on damaged input: besides its own, errors of decoding and
# allocation.
_UNREADABLE = (OSError, ValueError, OverflowError, MemoryError, pa.ArrowException)


@dataclass(frozen=True)
class Shard:
    """The replicates first, ..., stop - 1 of one experiment.

    Attributes:
        experiment: the experiment's id.
        first: index of the first replicate.
        stop: one past the last.
        checkpoints: number of checkpoints K+1.
        layers: number of hidden layers L.
        config: how its blocks are executed; None if that is not known, and so not checked.
    """

    experiment: str
    first: int
    stop: int
    checkpoints: int
    layers: int
    config: ExecutionConfig | None = None

    @property
    def name(self) -> str:
        """Path relative to the store."""
        return f"shards/{self.experiment}/{self.first:010d}-{self.stop:010d}.parquet"


class DamagedShard(InputError):
    """A shard that cannot be trusted; `shard` says which."""

    def __init__(self, shard: Shard, path: Path, reason: str) -> None:
        super().__init__(
            f"shard {str(path)!r} is damaged ({reason}); `jaxsim run` or `launch` with "
            "--repair computes it again, to the same bits"
        )
        self.shard = shard


class Store:
    """A directory of shards."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest, or None if the directory holds no study.

        Raises:
            InputError: if there is a manifest that cannot be read.
        """
        path = self.directory / MANIFEST
        try:
            return json.loads(read_regular(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{str(path)!r} cannot be read as a jaxsim study: {error}") from None

    def create_manifest(self, manifest: dict[str, Any]) -> bool:
        """Write the manifest of a new directory; return False if somebody else has written one."""
        return create_atomically(self.directory / MANIFEST, _text(manifest))

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Replace the manifest atomically, by one of the same study and layout."""
        write_atomically(self.directory / MANIFEST, _text(manifest))

    def path(self, shard: Shard) -> Path:
        """Return where a shard stands or will stand."""
        return self.directory / shard.name

    def finished(self, experiment: str) -> set[str]:
        """Return the names of all shards of an experiment that are there, unread, by one listing.

        Raises:
            InputError: if the directory cannot be listed.
        """
        names = names_in(self.directory / "shards" / experiment)
        return {f"shards/{experiment}/{name}" for name in names}

    def has(self, shard: Shard) -> bool:
        """Return whether a shard is there, unread."""
        return self.path(shard).exists()

    def write(self, shard: Shard, records: Records, facts: dict[str, str]) -> None:
        """Write a shard: all of it appears, or nothing."""
        buffer = io.BytesIO()
        table = to_arrow(
            records, {"jaxsim.schema": VERSION, _EXPERIMENT: shard.experiment, **facts}
        )
        pq.write_table(
            table, buffer, compression="zstd", write_statistics=False, write_page_checksum=True
        )
        write_atomically(self.path(shard), buffer.getvalue())

    def read(self, shard: Shard) -> Records:
        """Read a shard and check it: page checksums, columns, replicates.

        Raises:
            DamagedShard: naming the file and what is wrong with it.
        """
        return self.read_with_facts(shard)[0]

    def read_with_facts(self, shard: Shard) -> tuple[Records, dict[str, str]]:
        """Read and check a shard as `read`, with the provenance stored with it."""
        with self._parquet(shard, whole=True) as file:
            facts = self._facts(shard, file)
            table = file.read(use_threads=False)
        return from_arrow_checked(table, shard, self.path(shard)), facts

    def read_risks(self, shard: Shard) -> tuple[np.ndarray, np.ndarray]:
        """Read the risks and their errors alone, [R, T] each: a third of the time of `read`.

        The pages of these columns, all columns' names and the number of rows are checked; the
        other pages are not.

        Raises:
            DamagedShard: as `read`.
        """
        with self._parquet(shard, whole=True) as file:
            self._facts(shard, file)
            self._check_shape(shard, file)
            table = file.read(["risk", "error"], use_threads=False)
            risk, error = (per_checkpoint(table, name) for name in ("risk", "error"))
        return risk, error

    def facts(self, shard: Shard) -> dict[str, str]:
        """Return the provenance stored with a shard, after a look at it that reads its end only.

        Raises:
            DamagedShard: if its end cannot be read, it is another experiment's or another
                layout's, or its columns or the number of its rows are not the planned ones.
        """
        with self._parquet(shard) as file:
            facts = self._facts(shard, file)
            self._check_shape(shard, file)
            return facts

    def _check_shape(self, shard: Shard, file: pq.ParquetFile) -> None:
        if not has_schema(file.schema_arrow, shard.checkpoints, shard.layers):
            raise DamagedShard(shard, self.path(shard), OTHER_COLUMNS)
        rows, planned = file.metadata.num_rows, shard.stop - shard.first
        if rows != planned:
            reason = f"it holds {rows} replicates, its name says {planned}"
            raise DamagedShard(shard, self.path(shard), reason)

    def _facts(self, shard: Shard, file: pq.ParquetFile) -> dict[str, str]:
        raw = file.schema_arrow.metadata or {}
        try:
            facts = {k.decode(): v.decode() for k, v in raw.items() if not k.startswith(b"ARROW")}
        except UnicodeDecodeError as error:
            raise DamagedShard(shard, self.path(shard), _first_line(error)) from None
        if facts.get(_EXPERIMENT, shard.experiment) != shard.experiment:
            raise DamagedShard(shard, self.path(shard), "it is of another experiment")
        differences = [] if shard.config is None else _differences(shard.config, facts)
        if differences:
            raise DamagedShard(shard, self.path(shard), "; ".join(differences))
        return facts

    @contextlib.contextmanager
    def _parquet(self, shard: Shard, whole: bool = False) -> Iterator[pq.ParquetFile]:
        # Closed here, not when pyarrow's threads let go of it: its disk may be unmounted next.
        # What is decoded comes from memory, on this thread: a thread of pyarrow's that still asks
        # a Python file for bytes while the process ends with an error would abort it.
        path = self.path(shard)
        try:
            source = open_regular(path)
        except FileNotFoundError:
            raise DamagedShard(shard, path, "it is not there") from None
        except NoRegularFile as error:
            raise DamagedShard(shard, path, str(error.strerror)) from None
        except OSError as error:
            # No reason to compute it again.
            raise InputError(f"shard {str(path)!r} cannot be read: {error.strerror}") from None
        with source:
            try:
                content = pa.BufferReader(source.read()) if whole else source
                yield _parquet_file(content)
            except DamagedShard:
                raise
            except _UNREADABLE as error:
                raise DamagedShard(shard, path, _first_line(error)) from None


_POOL_CHANGES = threading.Lock()  # shards are read on several threads


@lru_cache(maxsize=1)
def _pool() -> pa.MemoryPool:
    """Return the fastest memory pool for the small columns of shards that Arrow was built with.

    Its usual one, mimalloc, takes twice the time (measured: 3.4 against 1.6 ms for 10,000 runs).
    """
    try:
        return pa.jemalloc_memory_pool()
    except NotImplementedError:
        return pa.system_memory_pool()


def _parquet_file(content: Any) -> pq.ParquetFile:
    """Return a reader; that of `pyarrow.parquet` takes its pool from a setting of the process."""
    with _POOL_CHANGES:
        usual = pa.default_memory_pool()
        pa.set_memory_pool(_pool())
        try:
            return pq.ParquetFile(content, page_checksum_verification=True)
        finally:
            pa.set_memory_pool(usual)


def from_arrow_checked(table: pa.Table, shard: Shard, path: Path) -> Records:
    """Return the records of a shard after checking that they are the ones it should hold."""
    try:
        records = from_arrow(table, shard.checkpoints, shard.layers)
    except (InputError, ValueError, pa.ArrowException) as error:
        raise DamagedShard(shard, path, _first_line(error)) from None
    if not np.array_equal(records.replicate, np.arange(shard.first, shard.stop)):
        raise DamagedShard(shard, path, "its replicates are not those its name says")
    return records


def _differences(config: ExecutionConfig, facts: Mapping[str, str]) -> list[str]:
    """Return a text for each number of the layout that a shard was not computed with.

    Engine, width and lanes are part of the bits: shards of two layouts are no one sample.
    """
    recorded = {**facts, "engine": current_name(facts.get("engine", config.engine))}
    return [
        f"its {name} is {recorded[name]}, the study's is {wanted}"
        for name, wanted in asdict(config).items()
        if recorded.get(name, str(wanted)) != str(wanted)
    ]


def _text(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, sort_keys=False) + "\n").encode()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
