"""What goes wrong on GPUs is said in one sentence, and nothing falls back to a CPU."""

import os
import subprocess
import sys

import pytest

from jaxsim.launch.directory import bind
from tests.launch.test_chaos import worker
from tests.studies import study, table, toml

LITTLE = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.02"}
BIG = {"steps": 4, "checkpoints": [1], "replicates": 1 << 20, "network": {"hidden": [64, 64]}}


def test_a_job_whose_gpu_is_gone_fails_at_once(tmp_path):
    bind(study(), tmp_path / "out")
    command = [sys.executable, "-m", "jaxsim.launch.process", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--platform", "gpu"], capture_output=True, text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert "error: this job needs a GPU and has none that JAX can use" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_a_recorded_width_that_does_not_fit_is_said(tmp_path):
    bind(study(**BIG, execution={"engine": "vmap", "width": 1 << 19}), tmp_path / "out")
    process = worker(tmp_path / "out", environment=LITTLE)
    _, said = process.communicate()
    assert process.returncode == 2, said[-3000:]
    assert "the device's memory does not hold a block of width 524288" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("fraction", ["0.02", "0.004"])
def test_a_new_study_takes_a_width_that_fits(tmp_path, fraction):
    small = BIG | {"replicates": 32768}
    execution = {"engine": "vmap", "width": "auto"}
    (tmp_path / "study.toml").write_text(toml(table(**small, execution=execution)))
    done = subprocess.run(
        [sys.executable, "-m", "jaxsim", "run", "study.toml", "-o", "out", "--no-plots"],
        env=os.environ | {"XLA_PYTHON_CLIENT_MEM_FRACTION": fraction}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
