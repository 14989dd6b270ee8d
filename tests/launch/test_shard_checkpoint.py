"""Blocks that are left and taken up again: the bits of those that were not."""

import threading
import time

import jax
import numpy as np
import pytest

from jaxsim.engines import block
from jaxsim.engines.block import SegmentSizer, Stopped, run_block
from jaxsim.engines.registry import ExecutionConfig, make_engine, unsupported_reason
from jaxsim.errors import InputError
from jaxsim.launch import computation
from jaxsim.launch.deadline import Deadline
from jaxsim.launch.directory import bind
from jaxsim.launch.shard_checkpoint import Partial, ShardCheckpoint
from jaxsim.launch.simulate import simulate
from jaxsim.launch.worker import work
from jaxsim.results.files import sealed, unsealed
from tests.studies import TWO, all_bits, slow_but, study

CONFIGS = [
    ExecutionConfig("vmap", 16),
    ExecutionConfig("lanes", 16, 8),
    ExecutionConfig("native", 16, 16),
]
CHANGES = [
    {},
    {"optimizer": {"name": "nadamax", "learning_rate": 0.01}},
    {"training": {"batch_size": 4, "set": {"size": 10}}},
    {"training": {"batch_size": 4, "set": {"size": 10, "replacement": True}}},
]


class Now:
    """Says stop at the n-th question."""

    def __init__(self, question):
        self.left = question

    def __call__(self):
        self.left -= 1
        return self.left < 0


# Lanes draw as the native engine does, whose states are theirs.
CASES = [(config, changes) for config in CONFIGS for changes in CHANGES]
OFTEN = {"native": CHANGES[3:4], "vmap": CHANGES[1:2], "lanes": []}
QUICK = [case for case in CASES if case[1] in OFTEN[case[0].engine]]


@pytest.mark.parametrize("case", slow_but(QUICK, CASES), ids=lambda c: f"{c[0].engine}-{c[1]}"[:46])
def test_a_block_left_many_times_has_the_bits_of_one_that_was_not(case, tmp_path):
    config, changes = case
    (experiment,) = study(**changes).experiments
    if unsupported_reason(config.engine, experiment):
        pytest.skip(unsupported_reason(config.engine, experiment))
    engine = make_engine(experiment, config)
    quiet = run_block(engine, experiment, 16, 16)
    directory = bind(study(**changes), tmp_path / "out")
    ((_, shard), *_) = directory.missing()
    checkpoint = ShardCheckpoint(
        directory.store, shard, engine, experiment, config, jax.local_devices()[0]
    )
    checkpoint.first = 16
    sizer = SegmentSizer(steps=7)
    sizer.learn = lambda steps, elapsed: None
    attempts, found = [], None
    while found is None:
        # Through the file, as the next process would have it: the state must be whole.
        begin = checkpoint.load().snapshot
        try:
            found = run_block(engine, experiment, 16, 16, stop=Now(2), begin=begin, sizer=sizer)
        except Stopped as stopped:
            attempts.append(stopped.snapshot.step)
            checkpoint.save(Partial([], stopped.snapshot))
    assert len(attempts) >= 4
    assert attempts == sorted(set(attempts))
    for one, other in zip(found, quiet, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    directory = tmp_path_factory.mktemp("quiet")
    simulate(study(grid=TWO), directory, devices=1)
    return all_bits(directory)


def stopped_again_and_again(monkeypatch, directory, times, questions=3):
    """Work in attempts that end after a few questions whether to stop."""
    monkeypatch.setattr(computation, "SegmentSizer", lambda: SegmentSizer(steps=5, seconds=1e-9))
    computation._segment_sizer.cache_clear()
    attempts = 0
    while directory.missing():
        deadline, asked = Deadline(), Now(questions)
        # Every stop is asked for by this counter.
        deadline.passed = lambda d=deadline, a=asked: (a() and d.stop("test")) or d._stop.is_set()
        work(directory, directory.missing(), jax.local_devices()[:1], deadline=deadline)
        attempts += 1
        assert attempts < times
    computation._segment_sizer.cache_clear()
    return attempts


def test_workers_that_are_stopped_lose_nothing(quiet, tmp_path, monkeypatch):
    directory = bind(study(grid=TWO), tmp_path / "out")
    attempts = stopped_again_and_again(monkeypatch, directory, 200, questions=8)
    assert attempts > 10
    assert all_bits(tmp_path / "out") == quiet
    assert list((tmp_path / "out" / "partial").iterdir()) == []


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "other", "pickle", "encrypted"])
def test_a_damaged_or_foreign_beginning_is_not_used(quiet, tmp_path, monkeypatch, damage):
    directory = bind(study(grid=TWO), tmp_path / "out")
    monkeypatch.setattr(computation, "SegmentSizer", lambda: SegmentSizer(steps=5, seconds=1e-9))
    computation._segment_sizer.cache_clear()
    deadline, asked = Deadline(), Now(12)
    deadline.passed = lambda: (asked() and deadline.stop("test")) or deadline._stop.is_set()
    work(directory, directory.missing(), jax.local_devices()[:1], deadline=deadline)
    (path,) = (tmp_path / "out" / "partial").iterdir()
    content = bytearray(path.read_bytes())
    if damage == "torn":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pickle":
        np.savez(path, whose=np.array([{"a": 1}], dtype=object))
        path.write_bytes(sealed(path.read_bytes()))
    elif damage == "encrypted":
        content = content[:-32]
        content[6] |= 1  # of the first file's header
        content[content.find(b"PK\1\2") + 8] |= 1
        path.write_bytes(sealed(bytes(content)))
    elif damage == "flipped":
        with np.load(path) as file:
            place = content.find(file["state0"].tobytes())
        assert place > 0
        content[place + 5] ^= 16
        path.write_bytes(content)
    else:
        with np.load(path) as file:
            arrays = dict(file) | {"whose": np.array("another")}
        np.savez(path, **arrays)
        path.write_bytes(sealed(path.read_bytes()))
    work(directory, directory.missing(), jax.local_devices()[:1])
    computation._segment_sizer.cache_clear()
    assert all_bits(tmp_path / "out") == quiet


def test_no_flipped_bit_goes_unnoticed():
    # Zip files check the content of their members, but not all of what says which there are.
    content = sealed(bytes(range(256)))
    assert unsealed(content) == bytes(range(256))
    for place in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match="damaged"):
            unsealed(bytes(flipped))
    for short in range(len(content)):
        with pytest.raises(ValueError, match="damaged"):
            unsealed(content[:short])


def test_a_long_block_is_kept_now_and_then_in_case_of_a_crash(quiet, tmp_path, monkeypatch):
    monkeypatch.setattr(block, "KEPT_EVERY", 0.0)
    monkeypatch.setattr(computation, "SegmentSizer", lambda: SegmentSizer(steps=5, seconds=1e-9))
    computation._segment_sizer.cache_clear()
    directory = bind(study(grid=TWO), tmp_path / "out")
    deadline, asked = Deadline(), Now(6)

    def crash():
        if asked():
            raise ZeroDivisionError("as if the node had failed")
        return False

    deadline.passed = crash
    with pytest.raises(ZeroDivisionError):
        work(directory, directory.missing(), jax.local_devices()[:1], deadline=deadline)
    (path,) = (tmp_path / "out" / "partial").iterdir()
    with np.load(path) as file:
        assert file["step"] > 0
    begun = []
    monkeypatch.setattr(
        computation, "run_block",
        lambda *a, begin, **o: begun.append(begin) or run_block(*a, begin=begin, **o),
    )  # fmt: skip
    work(directory, directory.missing(), jax.local_devices()[:1])
    computation._segment_sizer.cache_clear()
    assert begun[0].step > 0
    assert all_bits(tmp_path / "out") == quiet


def test_a_request_to_stop_is_heard_within_a_block(tmp_path):
    directory = bind(study(steps=5_000_000, checkpoints=[1]), tmp_path / "out")
    deadline = Deadline()
    threading.Timer(1.0, lambda: deadline.stop("test")).start()
    work(directory, directory.missing(), jax.local_devices()[:1], deadline=deadline)
    assert directory.missing()
    assert deadline.advanced
    assert len(list((tmp_path / "out" / "partial").iterdir())) == 1


def test_no_block_is_begun_that_the_remaining_time_will_not_hold():
    deadline = Deadline(2.0)
    assert deadline.holds_block("p")  # of unknown length
    deadline.note_block("p", 1.9)  # compiled, too
    deadline.note_block("p", 1.0)
    assert deadline.holds_block("p")
    deadline.note_block("p", 1.5)
    deadline.note_block("p", 0.1)
    time.sleep(0.1)
    assert not deadline.holds_block("p")  # 1.3 times that is within the limit, not what is left
    assert deadline.reason == "time limit"
    long = Deadline(100.0)
    long.note_block("p", 500.0)
    assert long.holds_block("p")  # no attempt would hold it: it is left in the middle
    assert Deadline().holds_block("p")


def test_the_limit_itself_stops():
    deadline = Deadline(0.0)
    assert deadline.passed()
    assert deadline.reason == "time limit"


def test_out_of_memory_is_said_and_the_recorded_width_is_kept(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 byte")

    directory = bind(study(), tmp_path / "out")
    monkeypatch.setattr(computation, "run_block", full)
    with pytest.raises(InputError, match=r"width 16, which this study has recorded.*width = 8"):
        work(directory, directory.missing(), jax.local_devices()[:1])
