"""The same bits, whatever computes them: real processes, real signals."""

import os
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxsim import cli, runtime
from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.simulate import simulate
from jaxsim.launch.worker import work
from tests.studies import TWO, all_bits, study, table, toml


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The bits of a run on one device, start to end."""
    directory = tmp_path_factory.mktemp("quiet")
    simulate(study(grid=TWO), directory, devices=1)
    return all_bits(directory)


def command(path, *more):
    return [
        sys.executable,
        "-m",
        "jaxsim",
        "run",
        "study.toml",
        "-o",
        str(path),
        "--no-plots",
        *more,
    ]


@pytest.fixture
def study_file(tmp_path):
    (tmp_path / "study.toml").write_text(toml(table(grid=TWO)))


def test_two_threads_give_the_bits_of_one(quiet, tmp_path):
    simulate(study(grid=TWO), tmp_path / "two", devices=2)
    assert all_bits(tmp_path / "two") == quiet


TWO_DEVICES = """
import jax
from jaxsim.cli import main
try:
    main()
finally:
    assert len(jax.local_devices()) == 2
"""


def test_two_devices_give_the_bits_of_one(quiet, tmp_path):
    # As GPUs are: each has programs of its own.
    (tmp_path / "study.toml").write_text(toml(table()))
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, *command(tmp_path / "two", "--devices", "2")[3:]],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "2"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two = {
        name.replace("small.", "adam."): bits for name, bits in all_bits(tmp_path / "two").items()
    }
    assert two == {name: bits for name, bits in quiet.items() if name.startswith("adam.")}


def test_any_order_gives_the_same_bits(quiet, tmp_path):
    directory = bind(study(grid=TWO), tmp_path / "shuffled")
    tasks = directory.missing()
    random.Random(0).shuffle(tasks)
    work(directory, tasks[:3], jax.local_devices()[:1])
    work(directory, tasks, runtime.choose_devices(2))
    assert all_bits(tmp_path / "shuffled") == quiet


def test_worker_processes_give_the_same_bits_and_run_no_module_of_the_current_directory(
    quiet, tmp_path, study_file, monkeypatch
):
    # A stranger's study may come with files beside it; an honest user may have a random.py.
    for name in ("argparse", "random", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')\nraise SystemExit('evil')\n")
    options = command(tmp_path / "workers", "--workers", "2", "--devices", "1")[3:]
    monkeypatch.setattr(sys, "argv", ["jaxsim", *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert all_bits(tmp_path / "workers") == quiet
    assert not (tmp_path / "ran").exists()


def started(path):
    return subprocess.Popen(command(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def assert_resumed(path, bits):
    done = subprocess.run(command(path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all_bits(path) == bits


def test_a_run_killed_at_its_first_shard_gives_the_same_bits(quiet, tmp_path, study_file):
    process = started(tmp_path / "killed")
    while not list(tmp_path.glob("killed/shards/*/*.parquet")):
        assert process.poll() is None
        time.sleep(0.02)
    killed(process)
    assert reopen(tmp_path / "killed").missing()
    assert_resumed(tmp_path / "killed", quiet)


@pytest.mark.slow
def test_runs_killed_many_times_give_the_same_bits(quiet, tmp_path, study_file):
    chance = random.Random(2)
    for _ in range(25):
        process = started(tmp_path / "killed")
        time.sleep(chance.uniform(1.0, 9.0))
        killed(process)
    assert_resumed(tmp_path / "killed", quiet)


def test_more_replicates_keep_the_first_ones(quiet, tmp_path):
    simulate(study(grid=TWO, replicates=40), tmp_path / "grown")
    simulate(study(grid=TWO), tmp_path / "grown")
    assert all_bits(tmp_path / "grown") == quiet


def test_a_replicate_does_not_depend_on_the_rest_of_the_study(quiet, tmp_path):
    simulate(study(), tmp_path / "alone")
    alone = all_bits(tmp_path / "alone")
    assert alone["small.risk"] == quiet["adam.risk"]
    assert alone["small.gradient_norm"] == quiet["adam.gradient_norm"]


def test_checkpoints_do_not_change_the_run(tmp_path):
    fine = simulate(study(checkpoints=list(range(1, 60))), tmp_path / "fine")
    coarse = simulate(study(), tmp_path / "coarse")
    (e,), (f,) = coarse.experiments, fine.experiments
    there = np.concatenate([r.risk for r in coarse.chunks(e)])
    again = np.concatenate([r.risk for r in fine.chunks(f)])[:, list(e.checkpoints)]
    assert there.tobytes() == again.tobytes()


def test_a_longer_run_begins_as_the_shorter_one(tmp_path):
    short = simulate(study(steps=30), tmp_path / "short")
    long = simulate(study(), tmp_path / "long")
    first = next(short.chunks(short.experiments[0])).risk
    second = next(long.chunks(long.experiments[0])).risk
    assert first.tobytes() == second[:, :4].tobytes()


def test_paired_optimizers_share_initializations(tmp_path):
    results = simulate(study(grid=TWO, paired=["optimizer"]), tmp_path / "paired")
    sgd, adam = (next(results.chunks(e)) for e in results.experiments)
    assert sgd.risk[:, 0].tobytes() == adam.risk[:, 0].tobytes()
    assert (sgd.risk[:, 1] != adam.risk[:, 1]).all()
    own = simulate(study(grid=TWO), tmp_path / "own")
    sgd, adam = (next(own.chunks(e)) for e in own.experiments)
    assert (sgd.risk[:, 0] != adam.risk[:, 0]).any()


def test_identical_optimizers_under_pairing_never_disagree(tmp_path):
    same = [
        {"name": "sgd", "learning_rate": 0.1},
        {"name": "momentum", "decay": 0.0, "learning_rate": 0.1},
    ]
    results = simulate(study(grid={"optimizer": same}, paired=["optimizer"]), tmp_path / "same")
    one, two = (next(results.chunks(e)).risk for e in results.experiments)
    np.testing.assert_allclose(one, two, rtol=1e-4)


def test_the_layout_is_recorded_and_kept(tmp_path):
    simulate(study(), tmp_path / "kept")
    again = bind(study(execution={"width": "auto", "shard": "auto"}), tmp_path / "kept")
    assert {layout.width for layout in again.layouts.values()} == {16}
    assert reopen(tmp_path / "kept").missing() == []
