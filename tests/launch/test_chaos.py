"""What happens to long campaigns: killed workers, full disks, directories that turn read-only."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta

import pytest

from jaxsim import cli
from jaxsim.errors import InputError
from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.process import share
from jaxsim.launch.simulate import simulate
from jaxsim.launch.tasks import read_records
from tests.studies import TWO, all_bits, study, table, toml

STUDY = {"grid": TWO, "steps": 20_000, "checkpoints": [1, 10_000], "replicates": 160}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    directory = tmp_path_factory.mktemp("quiet")
    simulate(study(**STUDY), directory, devices=1)
    return all_bits(directory)


def worker(directory, index=0, of=1, environment=None, **options):
    command = [sys.executable, "-m", "jaxsim.launch.process", str(directory)]
    command += ["--index", str(index), "--of", str(of)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **(environment or {})}, **options,
    )  # fmt: skip


def killed_at_random(directory, kills, workers, seed):
    """Keep some workers at work, killing one of them after another; then let one finish.

    Returns:
        How many were killed while something was missing.
    """
    chance, struck = random.Random(seed), 0
    running = {i: worker(directory, i, workers) for i in range(workers)}
    for _ in range(kills):
        time.sleep(chance.uniform(0.2, 7.0 / workers))
        index = chance.randrange(workers)
        struck += bool(reopen(directory).missing())
        running[index].send_signal(signal.SIGKILL)
        running[index].communicate()
        running[index] = worker(directory, index, workers)
    for process in running.values():
        process.send_signal(signal.SIGKILL)
        process.communicate()
    last = worker(directory)
    _, said = last.communicate()
    assert last.returncode == 0, said
    return struck


def assert_nothing_twice(directory):
    """Every shard of the plan is there once, and nothing else."""
    opened = reopen(directory)
    planned = {shard.name for _, shard in opened.planned()}
    there = {str(p.relative_to(directory)) for p in (directory / "shards").rglob("*.parquet")}
    assert there == planned


@pytest.mark.slow
def test_workers_killed_at_random_lose_nothing(quiet, tmp_path):
    bind(study(**STUDY), tmp_path / "out")
    assert killed_at_random(tmp_path / "out", kills=3, workers=2, seed=1) >= 2
    assert all_bits(tmp_path / "out") == quiet
    assert_nothing_twice(tmp_path / "out")


@pytest.mark.slow
def test_a_hundred_kills_over_four_workers(tmp_path):
    long = {**STUDY, "steps": 100_000, "checkpoints": [1, 50_000], "replicates": 640}
    simulate(study(**long), tmp_path / "quiet")
    bind(study(**long), tmp_path / "out")
    assert killed_at_random(tmp_path / "out", kills=110, workers=4, seed=2) >= 100
    assert all_bits(tmp_path / "out") == all_bits(tmp_path / "quiet")
    assert_nothing_twice(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR2"])
def test_a_signal_ends_a_worker_within_seconds_and_the_next_goes_on(tmp_path, name):
    long = {**STUDY, "grid": {}, "steps": 150_000, "execution": {"width": 160, "shard": 160}}
    simulate(study(**long), tmp_path / "quiet")
    bind(study(**long), tmp_path / "out")
    process = worker(tmp_path / "out")
    while not list((tmp_path / "out").glob("tasks/*.json")):
        time.sleep(0.1)
    time.sleep(2.5)
    process.send_signal(getattr(signal, name))
    begin = time.monotonic()
    _, said = process.communicate()
    assert time.monotonic() - begin < 10
    assert process.returncode == 143, said
    assert len(reopen(tmp_path / "out").missing()) > 0
    assert len(list((tmp_path / "out" / "partial").iterdir())) == 1
    last = worker(tmp_path / "out")
    last.communicate()
    assert all_bits(tmp_path / "out") == all_bits(tmp_path / "quiet")


@pytest.mark.slow
def test_four_devices_in_one_process_give_the_bits_of_one(tmp_path):
    # One experiment: each device compiles for itself.
    short = {**STUDY, "grid": {}, "steps": 2000, "checkpoints": [1, 1000]}
    simulate(study(**short), tmp_path / "quiet", devices=1)
    bind(study(**short), tmp_path / "out")
    command = [sys.executable, "-m", "jaxsim.launch.process", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--devices", "4"],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "4"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all_bits(tmp_path / "out") == all_bits(tmp_path / "quiet")


AHEAD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, now);
    if (id == CLOCK_REALTIME) now->tv_sec += 3 * 365 * 86400;
    return code;
}
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
def test_two_processes_give_the_bits_of_one_whatever_their_clocks_say(quiet, tmp_path):
    bind(study(**STUDY), tmp_path / "out")
    # One process lives three years ahead, in another time zone.
    (tmp_path / "ahead.c").write_text(AHEAD)
    build = ["cc", "-shared", "-fPIC", "-o", "ahead.so", "ahead.c", "-ldl"]
    subprocess.run(build, cwd=tmp_path, check=True)
    ahead = {"TZ": "Pacific/Kiritimati", "LD_PRELOAD": str(tmp_path / "ahead.so")}
    both = [worker(tmp_path / "out", 0, 2), worker(tmp_path / "out", 1, 2, ahead)]
    for process in both:
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert all_bits(tmp_path / "out") == quiet
    records = [record for record, _ in read_records(tmp_path / "out")]
    begun = sorted(datetime.fromisoformat(record["began"]) for record in records)
    assert begun[1] - begun[0] > timedelta(days=1000)


def test_helpers_choose_differently_and_everybody_covers_everything():
    tasks = list(range(40))
    orders = [share(tasks, i, 4) for i in range(4)]
    for i, order in enumerate(orders):
        assert sorted(order) == tasks
        assert order[:10] == tasks[10 * i : 10 * i + 10]
    assert len({tuple(order[10:14]) for order in orders}) == 4


@contextlib.contextmanager
def mounted(path, size):
    """Mount a small file system for a while, or skip where that is not allowed."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True
    )
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield
    finally:
        # Detached, not only unmounted: anybody who walks over /tmp at this moment keeps it busy.
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def held_open(directory):
    """Return the files under a directory that this process has open."""
    links = (os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd"))
    return [link for link in links if link.startswith(str(directory))]


@pytest.mark.slow
def test_a_full_disk_is_said_and_a_larger_one_goes_on(quiet, tmp_path):
    disk = tmp_path / "small"
    with mounted(disk, "64k"):
        bind(study(**STUDY), disk / "out")
        process = worker(disk / "out")
        _, said = process.communicate()
        assert process.returncode == 2
        assert said.startswith("error: output = ")
        assert "has no room left" in said
        assert "Traceback" not in said
        there = len(list(disk.rglob("*.parquet")))
        assert there > 0
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        simulate(study(**STUDY), disk / "out")
        assert all_bits(disk / "out") == quiet
        assert held_open(disk) == []


@pytest.mark.slow
def test_a_directory_that_turns_read_only_is_said(quiet, tmp_path):
    disk = tmp_path / "disk"
    with mounted(disk, "8m"):
        bind(study(**STUDY), disk / "out")
        process = worker(disk / "out")
        while not list(disk.rglob("*.parquet")):
            time.sleep(0.05)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        _, said = process.communicate()
        assert process.returncode == 2
        assert "cannot be written (Read-only file system)" in said
        assert "Traceback" not in said
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        simulate(study(**STUDY), disk / "out")
        assert all_bits(disk / "out") == quiet
        assert held_open(disk) == []


def test_two_studies_in_one_directory(tmp_path, monkeypatch, capsys):
    bind(study(), tmp_path / "out")
    with pytest.raises(InputError, match="holds another study: steps: 60 there, 70 asked for"):
        bind(study(steps=70), tmp_path / "out")
    (tmp_path / "study.toml").write_text(toml(table(steps=70)))
    asked = ["jaxsim", "launch", "study.toml", "-o", "out", "--local", "2"]
    monkeypatch.setattr(sys, "argv", asked)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "holds another study" in capsys.readouterr().err
