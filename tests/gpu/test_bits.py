"""The bits of a study on a GPU: any process, any number of them, killed or told to go."""

import os
import random
import signal
import subprocess
import sys
import time

import jax
import pytest

from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.simulate import simulate
from jaxsim.launch.tasks import read_records
from tests.launch.test_chaos import assert_nothing_twice, worker
from tests.studies import TWO, all_bits, study, table, toml

pytestmark = pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")


def asked(engine, **changes):
    execution = {"engine": engine, "width": 256, "shard": 512}
    network = {"hidden": [16, 16]}
    runs = {"steps": 3000, "checkpoints": [1, 1500], "replicates": 1536, "grid": TWO}
    return runs | {"execution": execution, "network": network} | changes


@pytest.fixture(scope="module", params=["vmap", "pallas"])
def engine(request):
    return request.param


@pytest.fixture(scope="module")
def quiet(engine, tmp_path_factory):
    directory = tmp_path_factory.mktemp("quiet")
    simulate(study(**asked(engine)), directory)
    return all_bits(directory)


def jaxsim(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "jaxsim", *arguments],
        env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip


def test_a_process_that_compiles_anew_gives_the_same_bits(engine, quiet, tmp_path):
    (tmp_path / "study.toml").write_text(toml(table(**asked(engine))))
    done = jaxsim("run", "study.toml", "-o", "out", "--no-plots", JAXSIM_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert all_bits(tmp_path / "out") == quiet


def test_workers_that_share_the_gpus_give_the_same_bits(engine, quiet, tmp_path):
    (tmp_path / "study.toml").write_text(toml(table(**asked(engine))))
    done = jaxsim("launch", "study.toml", "-o", "out", "--local", "3")
    assert done.returncode == 0, done.stderr
    assert all_bits(tmp_path / "out") == quiet
    assert_nothing_twice(tmp_path / "out")
    used = [record["devices"] for record, _ in read_records(tmp_path / "out")]
    assert len(used) == 3
    assert all(len(d) == max(1, jax.local_device_count() // 3) for d in used)
    assert all(name.startswith("gpu ") for d in used for name in d)


def test_killed_workers_lose_nothing(engine, quiet, tmp_path):
    bind(study(**asked(engine)), tmp_path / "out")
    chance = random.Random(5)
    for _ in range(4):
        process = worker(tmp_path / "out")
        time.sleep(chance.uniform(2.0, 9.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    last = worker(tmp_path / "out")
    _, said = last.communicate()
    assert last.returncode == 0, said
    assert all_bits(tmp_path / "out") == quiet
    assert_nothing_twice(tmp_path / "out")


def test_told_to_go_it_keeps_its_block_and_the_next_goes_on(engine, tmp_path):
    long = asked(engine, grid={}, steps=300_000, checkpoints=[1, 150_000], replicates=512)
    long["execution"] |= {"width": 512}
    simulate(study(**long), tmp_path / "quiet")
    bind(study(**long), tmp_path / "out")
    for _ in range(3):
        process = worker(tmp_path / "out")
        while not list((tmp_path / "out").glob("tasks/*.json")):
            time.sleep(0.1)
        time.sleep(3)
        process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        _, said = process.communicate()
        assert time.monotonic() - begin < 15
        assert process.returncode in (0, 143), said
        if process.returncode == 143 and list((tmp_path / "out" / "partial").iterdir()):
            break
    else:
        pytest.fail("it was never caught in the middle of a block")
    assert len(reopen(tmp_path / "out").missing()) == 1
    _, said = worker(tmp_path / "out").communicate()
    assert all_bits(tmp_path / "out") == all_bits(tmp_path / "quiet"), said
