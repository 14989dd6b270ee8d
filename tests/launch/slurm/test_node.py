"""scripts/slurm-node: a cluster of one node that leaves nothing behind."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "slurm-node"


def slurm_node(*arguments):
    return subprocess.run([SCRIPT, *arguments], text=True, stdout=subprocess.PIPE, check=True)


@pytest.mark.slurm
@pytest.mark.skipif(os.environ.get("JAXSIM_TEST_SLURM") != "1", reason="JAXSIM_TEST_SLURM is not 1")
def test_once_stopped_it_writes_no_more(tmp_path):
    # CI removes the directory next, so that a daemon or job that still wrote would fail it.
    node, told = tmp_path / "node", tmp_path / "told"
    started = slurm_node("start", node).stdout
    assert started == f"export SLURM_CONF={node}/slurm.conf\n"
    environment = os.environ | {"SLURM_CONF": str(node / "slurm.conf")}
    job = f"echo $$ > {told}; exec sleep 1000"
    try:
        submit = ["sbatch", "-o", "/dev/null", "--wrap", job]
        subprocess.run(submit, env=environment, check=True, capture_output=True)
        subprocess.run(["timeout", "30", "sh", "-c", f"until [ -s {told} ]; do sleep 0.1; done"])
        pids = [int((node / f"{name}.pid").read_text()) for name in ("slurmctld", "slurmd")]
        pids.append(int(told.read_text()))
        assert all(map(alive, pids))
    finally:
        slurm_node("stop", node)
    assert not any(map(alive, pids))
    shutil.rmtree(node)


@pytest.mark.slurm
@pytest.mark.skipif(os.environ.get("JAXSIM_TEST_SLURM") != "1", reason="JAXSIM_TEST_SLURM is not 1")
def test_a_daemon_that_does_not_start_is_said_and_the_other_stopped(tmp_path):
    node, fake = tmp_path / "node", tmp_path / "bin" / "slurmd"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho no control groups >&2; exit 1\n")
    fake.chmod(0o755)
    done = subprocess.run(
        [SCRIPT, "start", node], capture_output=True, text=True,
        env=os.environ | {"PATH": f"{fake.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 2
    said = f"error: slurmd does not start: no control groups; see {node}/log\n"
    assert (done.stdout, done.stderr) == ("", said)
    assert not (node / "slurmctld.pid").exists() or not alive(
        int((node / "slurmctld.pid").read_text())
    )


def test_a_directory_without_a_node_is_left_as_it_is(tmp_path):
    (tmp_path / "file").touch()
    slurm_node("stop", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def alive(pid):
    """Return whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
