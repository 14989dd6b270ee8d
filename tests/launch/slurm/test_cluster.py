"""Real jobs on a real Slurm of one node (`scripts/slurm-node`): the bits of a quiet run.

They run only where JAXSIM_TEST_SLURM=1 says that the Slurm of SLURM_CONF is there for tests.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxsim.launch.simulate import simulate
from jaxsim.launch.slurm.launch import read_jobs
from jaxsim.launch.status import status
from jaxsim.launch.tasks import read_records
from jaxsim.report.status import sentences
from tests.studies import TWO, all_bits, study, table, toml

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        os.environ.get("JAXSIM_TEST_SLURM") != "1", reason="JAXSIM_TEST_SLURM is not 1"
    ),
]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """Return a function that gives changes of a study for so many seconds of one core of here."""

    def sized(steps, optimizers):
        runs = {"steps": steps, "checkpoints": [1, 10_000], "replicates": 96}
        return runs | ({"grid": TWO} if optimizers == 2 else {"grid": {}})

    def seconds(steps):
        begin = time.monotonic()
        simulate(study(**sized(steps, 1)), tmp_path_factory.mktemp("size"), devices=1)
        return time.monotonic() - begin

    seconds(20_000)  # compiles
    few = seconds(20_000)
    per_step = max(seconds(120_000) - few, 0.05) / 100_000
    return lambda length, optimizers: sized(
        max(20_000, int(length / optimizers / per_step)), optimizers
    )


@pytest.fixture(scope="module")
def long(lasting):
    """Work of a core for long enough to be found at work."""
    return lasting(4, 2)


@pytest.fixture(scope="module")
def quiet(long, tmp_path_factory):
    directory = tmp_path_factory.mktemp("quiet")
    simulate(study(**long), directory, devices=1)
    return all_bits(directory)


@pytest.fixture
def launched(long, tmp_path, monkeypatch):
    """Return a function that launches a study into DIR/out; jobs are cancelled at the end.

    The job that makes the report is cancelled at once, unless it is asked for.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    out = tmp_path / "out"

    def launch(*options, report=False, **changes):
        (tmp_path / "study.toml").write_text(toml(table(**(long | changes))))
        done = jaxsim("launch", "study.toml", "-o", str(out), *options)
        assert done.returncode == 0, done.stderr
        if not report:  # one test that waits for it is enough
            reports = [job.job for job in read_jobs(out) if job.kind == "collect"]
            subprocess.run(["scancel", *reports], check=True)
        return out

    yield launch
    if (out / "launch" / "jobs").exists():
        jaxsim("cancel", str(out))


def jaxsim(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "jaxsim", *arguments], capture_output=True, text=True
    )


def wait(condition, seconds=180, what="it"):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.5)
    return found


def logs(out):
    return "\n".join(p.read_text() for p in sorted((out / "launch" / "logs").glob("*.log")))


def over(out, seconds=400):
    """Wait until no job of a directory is in the queue; return the status."""

    def ended():
        found = status(out)
        return found if found.queue == {} else None

    try:
        return wait(ended, seconds, "the end of the jobs")
    except AssertionError as error:
        raise AssertionError(f"{error}: {status(out).queue}\n{logs(out)}") from None


def working(out, count=1):
    """Wait until workers are at work; return their records."""
    return wait(
        lambda: (found := status(out).running) and len(found) >= count and found,
        what="work",
    )


def halted(out, count=1):
    """Stop workers for a moment, so that none is done before it is meddled with; Slurm wakes them.

    Returns:
        Their records.
    """
    found = working(out, count)
    time.sleep(0.5)
    for record in found:
        os.kill(record["pid"], signal.SIGSTOP)
    return found


def assert_same(out, quiet):
    """Check that the runs of a directory are all there, with the bits of a quiet run."""
    found = status(out)
    ends = [(r["attempt"], r.get("reason"), r.get("message")) for r in records(out)]
    assert found.done == found.planned, f"{ends}\n{logs(out)}"
    assert all_bits(out) == quiet, logs(out)


def records(out):
    return [record for record, _ in read_records(out)]


def test_an_array_ends_with_the_bits_of_a_quiet_run_and_a_report(launched, quiet):
    out = launched("--tasks", "2", report=True)
    seen = jaxsim("status", str(out))
    assert "runs are there" in seen.stdout, seen.stderr
    found = over(out)
    assert_same(out, quiet)
    assert found.ended == {"finished": 2}
    assert (out / "report.html").exists(), logs(out)
    assert "P (95 % interval)" in logs(out)
    one, two = records(out)
    assert one["shards"] + two["shards"] >= 6
    assert min(one["shards"], two["shards"]) > 0
    assert {one["index"], two["index"]} == {"0", "1"}
    assert one["devices"][0].startswith("cpu")
    assert jaxsim("launch", "study.toml", "-o", str(out)).stdout == f"jaxsim status {out}\n"


def test_engines_and_widths_are_measured_on_the_node(launched, long, tmp_path):
    asked = {"engine": "vmap", "width": "auto"}
    out = launched("--tasks", "2", steps=500, checkpoints=[1, 250], execution=asked)
    over(out)
    recorded = json.loads((out / "study.json").read_text())["experiments"]
    form = {key: recorded[0][key] for key in ("engine", "width", "lanes", "shard")}
    again = study(**long | {"steps": 500, "checkpoints": [1, 250], "execution": form})
    simulate(again, tmp_path / "quiet", devices=1)
    assert_same(out, all_bits(tmp_path / "quiet"))


def test_a_requeued_task_goes_on(launched, quiet):
    out = launched()
    (record,) = halted(out)
    subprocess.run(["scontrol", "requeue", record["job"]], check=True)
    found = over(out)
    assert_same(out, quiet)
    first, second = sorted(records(out), key=lambda r: r["attempt"])
    assert (first["attempt"], first["reason"]) == (0, "terminated")
    assert (second["attempt"], second["reason"]) == (1, "finished")
    assert found.ended == {"terminated": 1, "finished": 1}


def test_cancelled_jobs_are_gone_and_a_second_launch_goes_on(launched, quiet):
    out = launched("--tasks", "2", "--parallel", "1")
    halted(out)
    said = jaxsim("cancel", str(out))
    assert "were in the queue and are cancelled" in said.stdout, said.stderr
    over(out, 60)
    before = status(out).done
    assert before < 192
    launched("--tasks", "2")
    over(out)
    assert_same(out, quiet)


def test_the_time_limit_is_reached_and_the_task_continued(launched, lasting, tmp_path):
    # A minute is Slurm's shortest limit, and its signal comes after half of it at the latest: one
    # attempt does not hold this.
    work = lasting(32, 1)
    out = launched("--time", "1", "--set", "slurm.grace_period=45", **work)
    found = over(out, 600)
    simulate(study(**work), tmp_path / "quiet", devices=1)
    assert_same(out, all_bits(tmp_path / "quiet"))
    assert found.ended.get("finished") == 1
    assert found.ended.get("time limit", 0) >= 1
    assert "DUE TO TIME LIMIT" not in logs(out)


def test_a_preempted_task_goes_on(launched, quiet):
    out = launched("--cpus", "4")
    halted(out)
    urgent = "#!/bin/bash\nsleep 5\n"
    subprocess.run(
        ["sbatch", "--partition=urgent", "--cpus-per-task=4", "--output=/dev/null"],
        input=urgent, text=True, check=True, capture_output=True,
    )  # fmt: skip
    found = over(out)
    assert_same(out, quiet)
    assert found.ended == {"terminated": 1, "finished": 1}


def test_a_killed_task_is_made_up_for_by_the_others(launched, quiet):
    out = launched("--tasks", "2")
    one, other = halted(out, 2)
    os.kill(one["pid"], signal.SIGKILL)
    os.kill(other["pid"], signal.SIGCONT)
    found = over(out)
    assert_same(out, quiet)
    assert found.ended == {"lost": 1, "finished": 1}


@pytest.mark.slow
def test_a_failed_node_costs_no_runs(launched, quiet):
    out = launched()
    (record,) = halted(out)
    node = record["host"].partition(".")[0]
    try:
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"],
                       check=True)  # fmt: skip
        wait(lambda: "RUNNING" not in (status(out).queue or {}).values(), what="the failure")
    finally:
        # It may have come back by itself: then this is refused.
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"])
    found = over(out)
    assert_same(out, quiet)
    assert max(record["attempt"] for record in records(out)) == 1
    assert found.ended["finished"] == 1


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")
@pytest.mark.parametrize("width", [16, "auto"], ids=["work", "prepare"])
def test_a_missing_gpu_fails_at_once_and_nothing_waits_for_it(launched, width):
    # Whoever meets it first, the task or what prepares for it.
    out = launched("--gpus", "1", steps=100, checkpoints=[1, 50], execution={"width": width})
    found = over(out, 90)
    assert "error: this job needs a GPU and has none that JAX can use" in logs(out)
    assert "Traceback" not in logs(out)
    assert found.done == 0
    assert found.ended == {"failed": 1}
    assert "this job needs a GPU and has none" in sentences(found)[-2]


def test_what_slurm_rejects_is_said(launched, tmp_path):
    for options, words in (
        (["--partition", "moon"], "does not accept the job"),
        (
            ["--tasks", "64", "--replicates", "4096"],
            "slurm.tasks = 64 is more than this cluster allows",
        ),
    ):
        (tmp_path / "study.toml").write_text(toml(table()))
        done = jaxsim("launch", "study.toml", "-o", str(tmp_path / "out"), *options)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert words in done.stderr
        assert "Traceback" not in done.stderr
