"""Batch jobs on a real GPU by a real Slurm of one node: put back into the queue, and continued."""

import os
import subprocess

import pytest

from jaxsim.launch.simulate import simulate
from jaxsim.launch.status import status
from tests.launch.slurm.test_cluster import (
    assert_same,
    halted,
    launched,
    logs,
    over,
    records,
)  # fmt: skip
from tests.studies import TWO, all_bits, study

__all__ = ["launched"]

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        os.environ.get("JAXSIM_TEST_SLURM") != "1", reason="JAXSIM_TEST_SLURM is not 1"
    ),
]


@pytest.fixture
def long():
    return {
        "steps": 10_000, "checkpoints": [1, 5000], "replicates": 1024, "grid": TWO,
        "execution": {"engine": "vmap", "width": 256, "shard": 256},
    }  # fmt: skip


def test_a_job_on_a_gpu_is_put_back_and_ends_with_the_bits_of_a_quiet_run(launched, long, tmp_path):
    out = launched("--gpus", "1", "--tasks", "2", report=True)
    (record,) = halted(out)
    assert record["devices"][0].startswith("gpu ")
    assert record["driver"]
    subprocess.run(["scontrol", "requeue", record["job"]], check=True)
    found = over(out)
    assert found.ended["terminated"] == 1, logs(out)
    assert max(r["attempt"] for r in records(out)) == 1
    simulate(study(**long), tmp_path / "quiet")
    assert_same(out, all_bits(tmp_path / "quiet"))
    assert (out / "report.html").exists(), logs(out)


def test_engine_and_width_are_measured_on_the_gpu_node(launched, tmp_path):
    out = launched("--gpus", "1", steps=500, checkpoints=[1, 250], execution={"width": "auto"})
    over(out)
    found = status(out)
    assert found.done == found.planned, logs(out)
    assert all(r["devices"][0].startswith("gpu ") for r in records(out) if r["devices"])
