"""Records of workers: for everybody to read, so without secrets."""

import json

import pytest

from jaxsim import runtime
from jaxsim.launch.tasks import RECORDED_VARIABLES, TaskRecord

SECRETS = ("SLURM_JWT", "SLURM_JWT_KEY", "JAXSIM_TOKEN", "JAX_API_KEY", "XLA_SECRET", "CCPASS")


def test_a_record_holds_the_listed_variables_and_no_others(tmp_path, monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node[1-4]")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    record = TaskRecord(tmp_path, None)
    record.write()
    text = record.path.read_text()
    assert "hunter2" not in text
    there = json.loads(text)["environment"]
    assert there["SLURM_JOB_NODELIST"] == "node[1-4]"
    assert there["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false"
    assert set(there) <= set(RECORDED_VARIABLES)


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_listed(name):
    assert name not in RECORDED_VARIABLES


def test_the_c_library_is_recorded(tmp_path):
    versions = TaskRecord(tmp_path, None).facts["versions"]
    assert versions["c_library"] == runtime.c_library() != ""
