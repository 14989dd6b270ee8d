import errno
import io
import os
import resource
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxsim.errors import InputError
from jaxsim.results import files
from jaxsim.results.schema import concatenate, from_arrow, head, to_arrow
from jaxsim.results.store import DamagedShard, Shard, Store
from jaxsim.training.records import Records

SHARD = Shard("00ff", first=10, stop=17, checkpoints=3, layers=2)


def some_records(first=10, rows=7, checkpoints=3, layers=2, seed=0):
    rng = np.random.default_rng(seed)
    risk = rng.random((rows, checkpoints))
    risk[1, 2] = np.nan
    risk[2, 1] = np.inf
    risk[3, 0] = 5e-324
    risk[4, 0] = -0.0
    return Records(
        replicate=np.arange(first, first + rows),
        status=np.zeros(rows, np.int8),
        diverged_step=np.full(rows, -1),
        risk=risk,
        error=rng.random((rows, checkpoints)),
        inactive=rng.integers(0, 9, (rows, checkpoints, layers)).astype(np.int32),
        gradient_norm=rng.random(rows),
        dead_layer=np.zeros(rows, np.int16),
        dead_neurons=np.arange(rows, dtype=np.int32),
        constant=rng.integers(-1, 2, (rows, checkpoints)).astype(np.int8),
    )


def same_bits(a: Records, b: Records) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_shard_comes_back_bit_for_bit(tmp_path, layers):
    shard = Shard("00ff", 10, 17, 3, layers)
    records = some_records(layers=layers)
    store = Store(tmp_path)
    assert not store.has(shard)
    store.write(shard, records, {"device_kind": "test"})
    assert store.has(shard)
    assert same_bits(store.read(shard), records)
    assert store.facts(shard)["device_kind"] == "test"


@pytest.mark.parametrize("layers", [0, 2])
def test_risks_alone_are_those_of_the_whole_shard(tmp_path, layers):
    shard, records, store = (
        Shard("00ff", 10, 17, 3, layers),
        some_records(layers=layers),
        Store(tmp_path),
    )
    store.write(shard, records, {})
    risk, error = store.read_risks(shard)
    assert (risk.tobytes(), error.tobytes()) == (records.risk.tobytes(), records.error.tobytes())
    assert risk.shape == error.shape == records.risk.shape
    other = Shard("00ff", 10, 16, 3, layers)
    store.path(shard).rename(store.path(other))
    with pytest.raises(DamagedShard, match="holds 7 replicates"):
        store.read_risks(other)


def test_damage_to_the_risks_is_seen_where_they_alone_are_read(tmp_path):
    store = Store(tmp_path)
    store.write(SHARD, some_records(), {})
    path = store.path(SHARD)
    place = pq.ParquetFile(path).metadata.row_group(0).column(3).data_page_offset
    content = bytearray(path.read_bytes())
    content[place + 60] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedShard):
        store.read_risks(SHARD)


def test_writing_again_replaces_by_the_same_bytes(tmp_path):
    store = Store(tmp_path)
    store.write(SHARD, some_records(), {"a": "b"})
    first = store.path(SHARD).read_bytes()
    store.write(SHARD, some_records(), {"a": "b"})
    assert store.path(SHARD).read_bytes() == first
    assert [p.name for p in store.path(SHARD).parent.iterdir()] == [store.path(SHARD).name]


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.99])
def test_a_torn_shard_is_named(tmp_path, keep):
    store = Store(tmp_path)
    store.write(SHARD, some_records(), {})
    content = store.path(SHARD).read_bytes()
    kept = keep if isinstance(keep, int) else int(keep * len(content))
    store.path(SHARD).write_bytes(content[:kept])
    with pytest.raises(DamagedShard, match=str(store.path(SHARD))) as error:
        store.read(SHARD)
    assert "--repair" in str(error.value)
    assert error.value.shard == SHARD


def test_no_flipped_bit_changes_what_is_read(tmp_path):
    store = Store(tmp_path)
    records = some_records()
    store.write(SHARD, records, {"device_kind": "test"})
    content = bytearray(store.path(SHARD).read_bytes())
    rng = np.random.default_rng(1)
    noticed = 0
    for place in rng.choice(len(content), 600, replace=False):
        flipped = content.copy()
        flipped[place] ^= 1 << int(rng.integers(8))
        store.path(SHARD).write_bytes(flipped)
        try:
            assert same_bits(store.read(SHARD), records), f"byte {place}"
        except DamagedShard:
            noticed += 1
    assert noticed > 300


def test_a_shard_is_decoded_by_the_thread_that_asks_for_it(tmp_path, monkeypatch):
    # A thread of the reader's that outlives an error would abort the process at its end.
    shard = Shard("00ff", 0, 4096, 17, 2)
    store = Store(tmp_path)
    store.write(shard, some_records(0, 4096, 17), {})
    readers = set()

    class Watched(io.FileIO):
        def read(self, *size):
            readers.add(threading.get_ident())
            return super().read(*size)

    monkeypatch.setattr("jaxsim.results.store.open_regular", Watched)
    before = threading.active_count()
    store.read(shard)
    store.facts(shard)
    assert readers == {threading.get_ident()}
    assert threading.active_count() == before


def test_no_flipped_bit_makes_the_facts_unreadable(tmp_path):
    store = Store(tmp_path)
    store.write(SHARD, some_records(), {"device_kind": "test", "host": "node"})
    content = bytearray(store.path(SHARD).read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    rng, noticed = np.random.default_rng(2), 0
    for place in rng.integers(footer, len(content), 1500):
        flipped = content.copy()
        flipped[place] ^= 1 << int(rng.integers(8))
        store.path(SHARD).write_bytes(flipped)
        try:
            store.facts(SHARD)
        except DamagedShard:
            noticed += 1
    assert noticed > 100


def test_a_shard_of_another_experiment_is_damaged(tmp_path):
    store = Store(tmp_path)
    other = Shard("00fe", SHARD.first, SHARD.stop, SHARD.checkpoints, SHARD.layers)
    store.write(other, some_records(), {})
    store.path(SHARD).parent.mkdir(parents=True)
    store.path(other).rename(store.path(SHARD))
    for read in (store.read, store.facts):
        with pytest.raises(DamagedShard, match="it is of another experiment"):
            read(SHARD)


def test_a_shard_that_cannot_be_opened_now_is_not_called_damaged(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(DamagedShard, match="it is not there"):
        store.read(SHARD)
    store.path(SHARD).mkdir(parents=True)  # whatever keeps it from being opened
    with pytest.raises(InputError, match="cannot be read: Is a directory") as error:
        store.read(SHARD)
    assert not isinstance(error.value, DamagedShard)


def test_a_shard_under_another_name_is_damaged(tmp_path):
    store = Store(tmp_path)
    store.write(SHARD, some_records(first=11), {})
    with pytest.raises(DamagedShard, match="not those its name says"):
        store.read(SHARD)
    other = Shard("00ff", 10, 17, 4, 2)
    with pytest.raises(DamagedShard, match="columns"):
        store.read(other)


def test_a_failed_write_leaves_no_trace_and_says_why(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(SHARD, some_records(), {})
    before = store.path(SHARD).read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(InputError, match="has no room left"):
        store.write(SHARD, some_records(seed=1), {})
    assert store.path(SHARD).read_bytes() == before
    assert len(list(store.path(SHARD).parent.iterdir())) == 1


def test_a_file_in_the_way_of_the_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "file").write(SHARD, some_records(), {})


def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path):
    program = (
        "import resource, sys; from jaxsim.results.files import write_atomically;"
        "from pathlib import Path; from jaxsim.errors import InputError; import signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomically(Path(sys.argv[1]) / 'x', b'0' * 100000)\n"
        "except InputError as e: print(e)"
    )
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "has no room left" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_concatenate_and_head_cut_along_replicates():
    both = concatenate([some_records(0), some_records(7)])
    assert both.replicate.tolist() == list(range(14))
    assert same_bits(head(both, 7), some_records(0))


def test_shards_of_versions_that_did_not_look_for_constant_networks_are_read(tmp_path):
    store, records = Store(tmp_path), some_records()
    store.write(SHARD, records, {})
    path = store.path(SHARD)
    table = pq.read_table(path, use_threads=False)
    old = table.drop_columns(["constant"])
    pq.write_table(old, path, write_statistics=False, write_page_checksum=True)
    unknown = np.full((7, 3), -1, np.int8)
    assert same_bits(store.read(SHARD), records._replace(constant=unknown))
    store.facts(SHARD)
    both = concatenate([records, store.read(SHARD)])
    assert both.constant.shape == (14, 3)
    pq.write_table(table.drop_columns(["risk"]), path, write_page_checksum=True)
    with pytest.raises(DamagedShard, match="columns"):
        store.read(SHARD)


def test_columns_of_another_type_hold_the_same_numbers_or_are_refused(tmp_path):
    shard, store = Shard("00ff", 10, 17, 3, 2), Store(tmp_path)
    records = some_records()
    store.write(shard, records._replace(dead_neurons=np.arange(7)), {})
    assert same_bits(store.read(shard), records)
    with pytest.raises(ValueError, match="int64 numbers do not fit int32"):
        to_arrow(records._replace(dead_neurons=np.arange(7) + 2**31), {})


def test_rows_without_a_value_are_refused():
    table = to_arrow(some_records(), {})
    place = table.schema.get_field_index("gradient_norm")
    gap = pa.array([None, *range(6)], pa.float64())
    with pytest.raises(InputError, match="rows without a value"):
        from_arrow(table.set_column(place, "gradient_norm", gap), 3, 2)


def test_a_part_of_a_table_has_its_own_rows():
    table = to_arrow(some_records(), {})
    part, whole = (from_arrow(t, 3, 2) for t in (table.slice(2, 4), table))
    assert part.replicate.tolist() == [12, 13, 14, 15]
    for name in ("risk", "error", "inactive", "gradient_norm", "constant"):
        assert getattr(part, name).tobytes() == getattr(whole, name)[2:6].tobytes()
