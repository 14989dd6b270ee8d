"""Where a study stands: counted from files that are there."""

import io
import json
import os
import signal
import sys
import time

import jax
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from jaxsim import InputError
from jaxsim.errors import is_control
from jaxsim.launch import process
from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.simulate import open_results, simulate
from jaxsim.launch.status import status
from jaxsim.launch.tasks import TaskRecord
from jaxsim.launch.worker import work
from jaxsim.report.status import _size, print_status, sentences
from jaxsim.report.write import write_report
from jaxsim.results.store import DamagedShard, Shard
from tests.studies import TWO, study


def record(directory, name, age=0.0, **facts):
    folder = directory / "tasks"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    there = {"host": "node1", "job": None, "seconds": 10.0, "replicates": 40, **facts}
    path.write_text(json.dumps(there))
    os.utime(path, (time.time() - age,) * 2)


def test_runs_are_counted_by_experiment_with_the_diverged(tmp_path):
    wild = {"optimizer": [{"name": "sgd", "learning_rate": 30.0}, TWO["optimizer"][1]]}
    directory = bind(study(grid=wild, steps=400), tmp_path / "out")
    work(directory, directory.missing()[:4], jax.local_devices()[:1])
    found = status(tmp_path / "out")
    sgd, adam = found.experiments
    assert (sgd.planned, sgd.done) == (80, 80)
    assert (adam.planned, adam.done, adam.diverged) == (80, 32, 0)
    results = simulate(study(grid=wild, steps=400), tmp_path / "out")
    wanted = sum(int((r.status == 1).sum()) for r in results.chunks(results.experiments[0]))
    assert sgd.diverged == wanted
    assert wanted > 10
    assert sentences(found)[0] == "112 of 160 runs are there (70.0%)."


def test_workers_are_running_ended_or_lost(tmp_path):
    bind(study(), tmp_path / "out")
    record(tmp_path / "out", "a")
    record(tmp_path / "out", "b", age=30.0)
    record(tmp_path / "out", "c", age=600.0)
    record(tmp_path / "out", "d", reason="finished")
    record(tmp_path / "out", "e", reason="failed", message="no room left")
    (tmp_path / "out" / "tasks" / "f.json").write_text("{")
    found = status(tmp_path / "out")
    assert len(found.running) == 2
    assert found.rate == 8.0
    assert found.seconds_left == 10.0
    assert found.ended == {"lost": 1, "finished": 1, "failed": 1}
    said = sentences(found)
    assert said[1:] == [
        "2 workers are at work at 8.0 runs/s, 10 s left.",
        "Workers that ended: 1 failed, 1 finished, 1 lost.",
        "A worker failed on node1: no room left",
    ]


def test_compilation_is_no_part_of_the_rate(tmp_path):
    bind(study(), tmp_path / "out")
    # 20 s to compile and 2 s for 40 runs, again and again; written in the middle of a shard.
    first = {"first_shard_seconds": 22.0, "first_shard_replicates": 40}
    record(tmp_path / "out", "a", seconds=31.0, replicates=160, last_shard_seconds=28.0, **first)
    record(tmp_path / "out", "b", seconds=23.0, replicates=40, last_shard_seconds=22.0, **first)
    found = status(tmp_path / "out")
    assert found.rate == 120 / 6
    assert found.seconds_left == 4.0


def test_a_worker_records_when_its_shards_were_done(tmp_path):
    task = TaskRecord(tmp_path, None)
    for shard in (Shard("00ff", 0, 32, 3, 1), Shard("00ff", 32, 48, 3, 1)):
        task.shard(shard, 16, 1.0)
    task.write()
    written = json.loads(task.path.read_text())
    assert written["first_shard_replicates"] == 32
    assert written["replicates"] == 48
    assert (
        0 <= written["first_shard_seconds"] <= written["last_shard_seconds"] <= written["seconds"]
    )


def test_records_that_somebody_else_wrote_are_not_counted(tmp_path):
    bind(study(), tmp_path / "out")
    wrong = [{"seconds": "a"}, {"seconds": None}, {"replicates": "x"}, {"reason": ["a"]},
             {"job": [1]}, {"life": "1"}, {"attempt": "1"},
             {"message": 5, "reason": "failed"}]  # fmt: skip
    for number, facts in enumerate(wrong):
        record(tmp_path / "out", str(number), **facts)
    found = status(tmp_path / "out")
    assert (found.running, found.ended) == ([], {})


def test_an_attempt_that_is_followed_by_another_is_over(tmp_path):
    bind(study(), tmp_path / "out")
    record(tmp_path / "out", "17.0", job="17", life=0)  # as records had it before
    record(tmp_path / "out", "17.1", job="17", attempt=1)
    found = status(tmp_path / "out")
    assert [r["attempt"] for r in found.running] == [1]
    assert found.ended == {"lost": 1}


def test_slurm_is_only_believed_of_the_jobs_it_was_asked_for(tmp_path, monkeypatch):
    bind(study(), tmp_path / "out")
    (tmp_path / "out" / "launch" / "jobs").mkdir(parents=True)
    job = {"kind": "work", "job": "5", "tasks": 1, "submitted": ""}
    (tmp_path / "out" / "launch" / "jobs" / "5.json").write_text(json.dumps(job))
    monkeypatch.setattr("jaxsim.launch.slurm.cluster.states", lambda jobs: {})
    record(tmp_path / "out", "6.0", job="6", array="6", index="0")
    record(tmp_path / "out", "5.0", job="5", array="5", index="0")
    found = status(tmp_path / "out")
    assert [r["job"] for r in found.running] == ["6"]
    assert found.ended == {"lost": 1}


WRONG = [
    [], {}, {"schema": "1"}, {"study": None}, {"study": []}, {"experiments": None},
    {"experiments": {}}, {"experiments": [{}]}, {"experiments": [{"id": 1}]}, {"base": 5},
    {"experiments.width": 0}, {"experiments.width": "16"}, {"experiments.shard": None},
    {"experiments.engine": []}, {"experiments.engine": "none"}, {"experiments.lanes": 3},
    {"experiments.shard": 17}, {"schema": "0"}, {"schema": 1}, "deep",
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_manifest_that_is_not_ours_gets_a_sentence(tmp_path, wrong):
    directory = bind(study(), tmp_path / "out")
    path = tmp_path / "out" / "study.json"
    manifest = directory.store.manifest()
    if wrong == "deep":
        path.write_text('{"a":' * 100_000)
    elif not wrong or wrong == {"schema": "1"}:
        path.write_text(json.dumps(wrong))
    else:
        ((key, value),) = wrong.items()
        if "." in key:
            manifest["experiments"][0][key.partition(".")[2]] = value
        else:
            manifest[key] = value
        path.write_text(json.dumps(manifest))
    before = path.read_bytes()
    for read in (status, reopen, lambda out: bind(study(), out)):
        with pytest.raises(InputError, match=r"cannot be read as a jaxsim study|with schema"):
            read(tmp_path / "out")
    assert path.read_bytes() == before


def test_ages_do_not_depend_on_this_machines_clock(tmp_path, monkeypatch):
    bind(study(), tmp_path / "out")
    record(tmp_path / "out", "a")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert len(status(tmp_path / "out").running) == 1


def test_a_damaged_shard_is_no_finished_one(tmp_path):
    simulate(study(), tmp_path / "out")
    path = next((tmp_path / "out" / "shards").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    found = status(tmp_path / "out")
    assert found.experiments[0].damaged == 1
    assert found.done == 48
    assert "1 shards are damaged" in " ".join(sentences(found))


def test_damage_inside_a_shard_is_found_when_asked_for_and_what_was_looked_at_is_said(tmp_path):
    simulate(study(), tmp_path / "out")
    path = next((tmp_path / "out" / "shards").rglob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 255
    path.write_bytes(content)
    found = status(tmp_path / "out")
    assert found.done == 80
    assert "Of the shards only the ends were read; --verify reads all of them." in sentences(found)
    found = status(tmp_path / "out", verify=True)
    assert (found.done, found.experiments[0].damaged) == (48, 1)
    assert "1 shards are damaged" in " ".join(sentences(found))
    path.unlink()
    said = sentences(status(tmp_path / "out", verify=True))
    assert "All shards that are there were read and are whole." in said


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda table: table.slice(1), "it holds 31 replicates, its name says 32"),
        (lambda table: table.drop_columns("error"), "its columns are not those"),
    ],
)
def test_a_shard_that_holds_something_else_is_no_finished_one(tmp_path, changed, reason):
    simulate(study(), tmp_path / "out")
    path = min((tmp_path / "out" / "shards").rglob("*.parquet"))
    pq.write_table(changed(pq.read_table(path)), path)
    assert status(tmp_path / "out").experiments[0].damaged == 1
    opened = reopen(tmp_path / "out")
    with pytest.raises(DamagedShard, match=reason):
        opened.store.facts(next(opened.planned())[1])


def test_a_worker_that_is_interrupted_has_not_failed(tmp_path, monkeypatch):
    bind(study(), tmp_path / "out")
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)}
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path / "out")])
    monkeypatch.setattr(process, "work_through", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        assert process.main() == process.TERMINATED
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    found = status(tmp_path / "out")
    assert (found.ended, found.failures) == ({"interrupted": 1}, [])


def test_entries_of_the_queue():
    assert [_size(name) for name in ("17", "17_3", "17_[3-9]", "17_[0,2,5-6%4]")] == [1, 1, 7, 4]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"replicates": 1' + "0" * 400 + "}",
        '{"seconds": NaN}',
        '{"seconds": 1e999, "replicates": 1}',
        '{"replicates": 1e-320, "seconds": 1e15}',
        '{"first_shard_seconds": null}',
    ],
    ids=["deep", "huge", "nan", "infinity", "denormal", "null"],
)
def test_records_with_numbers_of_nobody_are_not_counted(tmp_path, text):
    bind(study(), tmp_path / "out")
    record(tmp_path / "out", "a")
    (tmp_path / "out" / "tasks" / "b.json").write_text(text)
    found = status(tmp_path / "out")
    assert (len(found.running), found.rate) == (1, 4.0)
    assert "1 worker is at work" in sentences(found)[1]


@pytest.mark.parametrize("text", ["abc", "-1", "\u00b2", "9" * 5000, "81", ""])
def test_a_shard_that_does_not_count_its_diverged_runs_is_said_to_be_unknown(tmp_path, text):
    simulate(study(execution={"width": 16, "shard": 80}), tmp_path / "out")
    (path,) = (tmp_path / "out").glob("shards/*/*.parquet")
    content = pq.read_table(path)
    facts = content.schema.metadata | {b"diverged": text.encode()}
    pq.write_table(content.replace_schema_metadata(facts), path)
    (one,) = status(tmp_path / "out").experiments
    assert (one.done, one.diverged, one.damaged) == (80, None, 0)


def test_what_strangers_wrote_does_not_control_the_terminal(tmp_path):
    simulate(study(execution={"width": 16, "shard": 80}), tmp_path / "out")
    (path,) = (tmp_path / "out").glob("shards/*/*.parquet")
    content = pq.read_table(path)
    wild = dict.fromkeys((b"version.jaxsim", b"device_kind", b"commit"), b"\x1b[31mred\x07")
    pq.write_table(content.replace_schema_metadata(content.schema.metadata | wild), path)
    facts = {"reason": "failed", "host": "\x1b[31mhost", "message": "\x1b]0;title\x07"}
    record(tmp_path / "out", "a", **facts)
    record(tmp_path / "out", "b", reason="\x9b31mred\u202e")
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    print_status(status(tmp_path / "out"), console)
    opened = reopen(tmp_path / "out")
    write_report(open_results(opened), opened.study, tmp_path / "out", console, plots=False)
    said = stream.getvalue()
    assert "\\x1b[31mhost: \\x1b]0;title\\x07" in said
    assert "\\x1b[31mred\\x07" in said
    assert not [c for c in said if c != "\n" and is_control(c)]


@pytest.mark.parametrize("place", ["study.json", "shards", "tasks/a.json", "launch/jobs/7.json"])
def test_a_pipe_in_place_of_a_file_does_not_wait(tmp_path, place):
    simulate(study(execution={"width": 16, "shard": 80}), tmp_path / "out")
    path = tmp_path / "out" / place
    if place == "shards":
        (path,) = path.glob("*/*.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    if place == "tasks/a.json":
        assert status(tmp_path / "out").running == []
        return
    if place == "shards":
        with pytest.raises(DamagedShard, match="it is no regular file"):
            open_results(reopen(tmp_path / "out")).provenance("engine")
        return
    with pytest.raises(InputError, match="it is no regular file"):
        status(tmp_path / "out")
