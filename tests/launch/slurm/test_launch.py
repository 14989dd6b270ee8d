"""Submission, with commands that only look like Slurm's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxsim import InputError
from jaxsim.launch.directory import bind
from jaxsim.launch.simulate import simulate
from jaxsim.launch.slurm import cluster
from jaxsim.launch.slurm.launch import cancel, launch, read_jobs
from jaxsim.launch.status import status
from jaxsim.report.status import sentences
from jaxsim.study.spec import SlurmSpec
from tests.studies import study, table, toml


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Return a function that puts a command on the path; all of them note their arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def command(name, body):
        path = folder / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n{body}\n')
        path.chmod(0o755)

    command(
        "sbatch",
        f"n=$(($(cat {tmp_path}/n 2>/dev/null || echo 0) + 1)); echo $n > {tmp_path}/n\n"
        f"cat > {tmp_path}/script.$n; echo $n",
    )
    command("scontrol", 'echo "MaxArraySize            = 65"')
    command("squeue", "exit 0")
    command("scancel", "exit 0")
    return command


def calls(tmp_path):
    return [c for c in (tmp_path / "calls").read_text().splitlines() if "show config" not in c]


def test_array_and_report_are_submitted_and_recorded(slurm, tmp_path):
    jobs = launch(study(), tmp_path / "out", SlurmSpec(tasks=2))
    assert [(j.kind, j.job, j.tasks) for j in jobs] == [("work", "1", 2), ("collect", "2", 1)]
    assert read_jobs(tmp_path / "out") == jobs
    submitted = [c for c in calls(tmp_path) if c.startswith("sbatch")]
    assert submitted == ["sbatch --parsable", "sbatch --parsable --dependency=afterany:1"]
    work = (tmp_path / "script.1").read_text()
    assert (tmp_path / "out" / "launch" / "work.sbatch").read_text() == work
    assert "--array=0-1" in work


def test_open_widths_are_prepared_first(slurm, tmp_path):
    jobs = launch(study(execution={"width": "auto"}), tmp_path / "out", SlurmSpec(tasks=2))
    assert [j.kind for j in jobs] == ["prepare", "work", "collect"]
    assert "sbatch --parsable --dependency=afterok:1" in calls(tmp_path)
    assert not (tmp_path / "out" / "study.json").exists()
    said = sentences(status(tmp_path / "out"))
    assert said[0] == "Engines and widths are not settled yet: that is the first job's work."


def test_the_code_that_runs_is_the_code_that_was_submitted(slurm, tmp_path):
    launch(study(), tmp_path / "out", SlurmSpec())
    (home,) = (tmp_path / "out" / "launch" / "code").iterdir()
    there = [p for p in Path(home, "jaxsim").rglob("*.py")]
    package = Path(sys.modules["jaxsim"].__file__).parent
    assert len(there) == len(list(package.rglob("*.py")))
    for path in there:
        assert path.read_bytes() == (package / path.relative_to(home / "jaxsim")).read_bytes()
    assert set(json.loads((home / "SOURCE.json").read_text())) == {"commit", "version", "versions"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import jaxsim.results.provenance as p, jaxsim; "
         "print(jaxsim.__file__); print(p.commit())"],
        env={**os.environ, "PYTHONPATH": str(home)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    file, commit = done.stdout.splitlines()
    assert file.startswith(str(home))
    assert commit == json.loads((home / "SOURCE.json").read_text())["commit"]


@pytest.mark.parametrize("change", ["changed", "added", "beside", "compiled"])
def test_code_that_was_changed_in_the_directory_does_not_run(slurm, tmp_path, change):
    launch(study(), tmp_path / "out", SlurmSpec())
    (home,) = (tmp_path / "out" / "launch" / "code").iterdir()
    path = {
        "changed": home / "jaxsim" / "errors.py",
        "added": home / "jaxsim" / "evil.py",
        "beside": home / "jax.py",
        "compiled": home / "jaxsim" / "__pycache__" / "errors.cpython-311.pyc",
    }[change]
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise SystemExit('evil')\n")
    launch(study(), tmp_path / "out", SlurmSpec())
    assert not path.exists() or "evil" not in path.read_text()


def test_ids_of_jobs_are_numbers(slurm, tmp_path):
    launch(study(), tmp_path / "out", SlurmSpec())
    path = tmp_path / "out" / "launch" / "jobs.json"
    path.write_text(path.read_text().replace('"job": "1"', '"job": "--user=me"'))
    with pytest.raises(InputError, match="a job's id is not a number"):
        cancel(tmp_path / "out")
    assert not any(call.startswith("scancel") for call in calls(tmp_path))


def test_a_finished_study_is_not_submitted_again(slurm, tmp_path):
    simulate(study(), tmp_path / "out")
    said = []
    assert launch(study(), tmp_path / "out", SlurmSpec(tasks=4), said.append) == []
    assert said == ["nothing is missing: every shard of the plan is there"]
    # 80 replicates in shards of 32 are three shards; one more of 16 is missing.
    more = study(replicates=112)
    jobs = launch(more, tmp_path / "out", SlurmSpec(tasks=4), said.append)
    assert said[-1] == "2 tasks are enough: so many shards are missing"
    assert jobs[0].tasks == 2


def test_cancel(slurm, tmp_path):
    launch(study(), tmp_path / "out", SlurmSpec(tasks=2))
    assert cancel(tmp_path / "out") == {}
    slurm("squeue", 'echo "1_[0-1] PENDING"')
    assert cancel(tmp_path / "out") == {"1_[0-1]": "PENDING"}
    assert calls(tmp_path)[-1] == "scancel 1"
    assert "Jobs 1 (work), 2 (collect): 2 pending." in sentences(status(tmp_path / "out"))
    bind(study(), tmp_path / "other")
    with pytest.raises(InputError, match="has no jobs; accepted"):
        cancel(tmp_path / "other")


def test_a_job_that_slurm_has_forgotten_does_not_hide_the_others(slurm, tmp_path):
    forgotten = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
    slurm("squeue", f'case "$*" in *=1,2*|*=1) {forgotten};; *) echo "2 PENDING";; esac')
    assert cluster.states(["1", "2"]) == {"2": "PENDING"}


def test_a_slurm_that_does_not_answer_has_not_forgotten_the_jobs(slurm, tmp_path):
    launch(study(), tmp_path / "out", SlurmSpec())
    slurm("squeue", "echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1")
    found = status(tmp_path / "out")
    assert found.queue is None
    assert "Jobs 1 (work), 2 (collect); no Slurm here tells their states." in sentences(found)
    with pytest.raises(InputError, match="states of jobs: Unable to contact slurm controller"):
        cancel(tmp_path / "out")


def test_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        InputError, match=r"there is no Slurm here \(scontrol is not found\).*--local"
    ):
        launch(study(), tmp_path / "out", SlurmSpec())


def test_a_rejected_job(slurm, tmp_path):
    said = "sbatch: error: invalid partition specified: moon\\nsbatch: fatal: Batch job failed"
    slurm("sbatch", f'printf "{said}" >&2; exit 1')
    with pytest.raises(
        InputError, match=r"accept the job: invalid partition specified: moon; Batch job failed$"
    ):
        launch(study(), tmp_path / "out", SlurmSpec(partition="moon"))
    assert read_jobs(tmp_path / "out") == []


def test_an_array_over_the_limit(slurm, tmp_path):
    with pytest.raises(InputError, match=r"slurm.tasks = 65 is more .* accepted: up to 64"):
        launch(study(), tmp_path / "out", SlurmSpec(tasks=65))
    assert not (tmp_path / "out").exists()


def test_a_directory_that_cannot_be_written(slurm, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written|is a file"):
        launch(study(), tmp_path / "file" / "out", SlurmSpec())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    with pytest.raises(InputError, match="holds other files"):
        launch(study(), tmp_path / "other", SlurmSpec())


def test_the_command_shows_submits_and_follows(slurm, tmp_path):
    (tmp_path / "study.toml").write_text(toml(table(slurm={"tasks": 3})))

    def jaxsim(*arguments):
        command = [sys.executable, "-m", "jaxsim", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    shown = jaxsim("launch", "study.toml", "-o", "out", "--dry-run", "--time", "30")
    assert shown.returncode == 0, shown.stderr
    assert "#SBATCH --array=0-2" in shown.stdout
    assert "#SBATCH --time=30" in shown.stdout
    assert not Path("out").exists()
    done = jaxsim("launch", "study.toml", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "job 1: work, 3 tasks",
        "job 2: collect",
        "jaxsim status out",
    ]
    seen = jaxsim("status", "out")
    assert "0 of 80 runs are there (0.0%)." in seen.stdout, seen.stderr
    assert "Jobs 1 (work), 2 (collect): none is in Slurm's queue any more." in seen.stdout
    ready = jaxsim("launch", "study.toml", "-o", "ready", "--prepare")
    assert ready.stdout == "ready is ready: 3 shards are to be computed\n", ready.stderr
    refused = jaxsim("launch", "study.toml", "--set", 'slurm.container="/x.sif"', "--dry-run")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: slurm.container in the study is not accepted")
