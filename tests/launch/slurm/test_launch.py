"""Submission, with commands that only look like Slurm's."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jaxsim import InputError, cli
from jaxsim.launch.directory import bind
from jaxsim.launch.request import read_request
from jaxsim.launch.simulate import simulate
from jaxsim.launch.slurm import cluster
from jaxsim.launch.slurm import launch as submission
from jaxsim.launch.slurm.launch import cancel, dry_run, launch, read_jobs
from jaxsim.launch.status import status
from jaxsim.optimum import solve
from jaxsim.report.status import sentences
from jaxsim.study.slurm_spec import SlurmSpec
from tests.optimum.toy import GOAL, Toy
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
    dependent = "sbatch --parsable --dependency=afterany:1 --kill-on-invalid-dep=yes"
    assert submitted == ["sbatch --parsable", dependent]
    work = (tmp_path / "script.1").read_text()
    assert (tmp_path / "out" / "launch" / "work.sbatch").read_text() == work
    assert "--array=0-1" in work


def test_open_widths_are_prepared_first(slurm, tmp_path):
    jobs = launch(study(execution={"width": "auto"}), tmp_path / "out", SlurmSpec(tasks=2))
    assert [j.kind for j in jobs] == ["prepare", "work", "collect"]
    dependent = "sbatch --parsable --dependency=afterok:1 --kill-on-invalid-dep=yes"
    assert dependent in calls(tmp_path)
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


def test_a_copy_that_is_as_it_should_be_is_used_again(slurm, tmp_path):
    launch(study(), tmp_path / "out", SlurmSpec())
    (home,) = (tmp_path / "out" / "launch" / "code").iterdir()
    before = {p: p.stat().st_ino for p in home.rglob("*")}
    launch(study(), tmp_path / "out", SlurmSpec())
    assert {p: p.stat().st_ino for p in home.rglob("*")} == before


@pytest.mark.parametrize("change", ["package", "compiled", "home"])
def test_links_in_the_copied_code_are_not_followed(slurm, tmp_path, change):
    launch(study(), tmp_path / "out", SlurmSpec())
    (home,) = (tmp_path / "out" / "launch" / "code").iterdir()
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "__init__.py").write_text("raise SystemExit('evil')\n")
    if change == "home":
        home.rename(evil / "home")
        (evil / "home" / "jax.py").write_text("raise SystemExit('evil')\n")
        home.symlink_to(evil / "home")
    else:
        # A package wins over the module of its name.
        name = "launch/process" if change == "package" else "launch/__pycache__"
        (home / "jaxsim" / name).symlink_to(evil)
    launch(study(), tmp_path / "out", SlurmSpec())
    assert not home.is_symlink()
    assert not any(p.is_symlink() for p in home.rglob("*"))
    assert (evil / "__init__.py").exists()
    assert not (home / "jax.py").exists()


@pytest.mark.parametrize("folder", ["launch", "launch/jobs", "launch/logs", "launch/code"])
def test_nothing_is_launched_through_a_link(slurm, tmp_path, folder):
    away, link = tmp_path / "away", tmp_path / "out" / folder
    away.mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(away)
    with pytest.raises(InputError, match="is a symbolic link inside a directory of results"):
        launch(study(execution={"width": "auto"}), tmp_path / "out", SlurmSpec())
    assert list(away.iterdir()) == []


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
    path = tmp_path / "out" / "launch" / "jobs" / "1.json"
    path.write_text(path.read_text().replace('"job": "1"', '"job": "--user=me"'))
    with pytest.raises(InputError, match=r"1\.json' cannot be read: a job's id is not a number"):
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


def test_what_is_left_beside_the_runs_is_submitted(slurm, tmp_path, monkeypatch):
    """Searches that were cut short, and runs to polish: the shards are all there."""
    toy = Toy(at_most=1)
    monkeypatch.setattr(solve, "STRATEGIES", {"toy": toy})
    searched = {"optimum": {"budget": 20}, "problem__target": "sin(x)", "network__hidden": [1]}
    simulate(study(**searched), tmp_path / "out", devices=1)
    said = []
    left = dry_run(study(**searched), tmp_path / "out", SlurmSpec(tasks=4), said.append)
    assert [kind for kind, _ in left] == ["work", "collect"]
    assert said == [
        "every shard of the plan is there; searches for inf L or runs to polish are left",
        "1 task is enough: so many searches and experiments are left",
    ]
    jobs = launch(study(**searched), tmp_path / "out", SlurmSpec(tasks=4))
    assert [(job.kind, job.tasks) for job in jobs] == [("work", 1), ("collect", 1)]
    # Without a budget nothing is searched; polishing is work of its own.
    none = searched | {"optimum": {"budget": 0}}
    assert not dry_run(study(**none), tmp_path / "out", SlurmSpec(tasks=4))
    polish = study(**none, levels={"runs": 8})
    assert dry_run(polish, tmp_path / "out", SlurmSpec(tasks=4))
    toy.at_most = GOAL
    solve._VERIFIED.clear()
    simulate(study(**searched), tmp_path / "out", devices=1)
    assert not dry_run(study(**searched), tmp_path / "out", SlurmSpec(tasks=4))


def queued(logs):
    """Return a squeue in which an array waits whose output goes to a folder."""
    told = f'printf "%-32s%s\\n" 1 "{logs}/work-%A_%a.log"'
    return f'case "$*" in *StdOut*) {told};; *) echo "1_[0-1] PENDING";; esac'


def test_cancel(slurm, tmp_path):
    launch(study(), tmp_path / "out", SlurmSpec(tasks=2))
    assert cancel(tmp_path / "out") == {}
    slurm("squeue", queued(tmp_path / "out" / "launch" / "logs"))
    assert cancel(tmp_path / "out") == {"1_[0-1]": "PENDING"}
    assert calls(tmp_path)[-1] == "scancel 1"
    assert "Jobs 1 (work), 2 (collect): 2 pending." in sentences(status(tmp_path / "out"))
    bind(study(), tmp_path / "other")
    with pytest.raises(InputError, match="has no jobs; accepted"):
        cancel(tmp_path / "other")


def test_jobs_of_another_directory_are_not_cancelled(slurm, tmp_path):
    launch(study(), tmp_path / "50% out", SlurmSpec(tasks=2))
    slurm("squeue", queued(str(tmp_path / "50% out" / "launch" / "logs").replace("%", "%%")))
    shutil.copytree(tmp_path / "50% out", tmp_path / "copy")
    with pytest.raises(InputError, match=r"names job 1, which writes to .* for another one"):
        cancel(tmp_path / "copy")
    assert not any(call.startswith("scancel") for call in calls(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path / "50% out")
    assert cancel(tmp_path / "link") == {"1_[0-1]": "PENDING"}
    assert calls(tmp_path)[-1] == "scancel 1"


@pytest.mark.parametrize(
    ("told", "refused"), [("true", False), ('printf "%-32s\\n" 1', True)], ids=["ended", "blank"]
)
def test_a_job_is_cancelled_only_if_slurm_tells_where_it_writes(slurm, tmp_path, told, refused):
    launch(study(), tmp_path / "out", SlurmSpec(tasks=2))
    slurm("squeue", f'case "$*" in *StdOut*) {told};; *) echo "1_[0-1] PENDING";; esac')
    if refused:
        with pytest.raises(InputError, match="names job 1, which writes to ''"):
            cancel(tmp_path / "out")
    else:
        cancel(tmp_path / "out")
    assert not any(call.startswith("scancel") for call in calls(tmp_path))


@pytest.mark.parametrize(
    "job",
    [
        {"job": "017"}, {"job": "9" * 5000}, {"job": "\u0661"}, {"job": 17}, {"tasks": "1"},
        {"kind": 5}, {"submitted": None}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_odd_records_of_jobs_get_a_sentence(tmp_path, job):
    folder = tmp_path / "out" / "launch" / "jobs"
    folder.mkdir(parents=True)
    usual = {"kind": "work", "job": "17", "tasks": 1, "submitted": "2026-01-01T00:00:00+00:00"}
    (folder / "17.json").write_text(json.dumps(usual | job))
    with pytest.raises(InputError, match=r"17\.json' cannot be read"):
        read_jobs(tmp_path / "out")


def test_two_launches_at_the_same_moment_are_both_recorded(slurm, tmp_path):
    # Whatever either has read before, each job has a file of its own.
    launch(study(), tmp_path / "out", SlurmSpec())
    there = {p.name: p.read_bytes() for p in (tmp_path / "out" / "launch" / "jobs").iterdir()}
    launch(study(), tmp_path / "out", SlurmSpec())
    now = {p.name: p.read_bytes() for p in (tmp_path / "out" / "launch" / "jobs").iterdir()}
    assert now.items() > there.items()
    assert [job.job for job in read_jobs(tmp_path / "out")] == ["1", "2", "3", "4"]


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
        launch(study(replicates=4096), tmp_path / "out", SlurmSpec(tasks=65))
    assert not (tmp_path / "out").exists()
    # What counts is what is submitted.
    assert launch(study(), tmp_path / "few", SlurmSpec(tasks=65))[0].tasks == 3


def test_what_is_in_the_queue_is_said_when_a_later_job_is_rejected(slurm, tmp_path):
    slurm("sbatch", 'case "$*" in *afterany*) echo "error: no" >&2; exit 1;; *) echo 7;; esac')
    with pytest.raises(InputError, match=r"no; already in the queue: 7 \(work\), which `jaxsim c"):
        launch(study(), tmp_path / "out", SlurmSpec())
    assert [job.job for job in read_jobs(tmp_path / "out")] == ["7"]
    slurm("sbatch", "exit 0")
    with pytest.raises(InputError, match="sbatch does not say the job's number, but ''"):
        launch(study(), tmp_path / "out", SlurmSpec())


def test_variables_of_sbatch_do_not_outdo_the_script(slurm, tmp_path, monkeypatch):
    for name in ("TIMELIMIT", "ARRAY_INX", "NO_REQUEUE", "SIGNAL", "OPEN_MODE", "ACCOUNT"):
        monkeypatch.setenv(f"SBATCH_{name}", "x")
    slurm("sbatch", f"env | grep SBATCH_ | sort > {tmp_path}/seen; echo 1")
    launch(study(), tmp_path / "out", SlurmSpec())
    # The collecting job is no array; an account of the user's holds where no other is asked for.
    left = "SBATCH_ACCOUNT=x\nSBATCH_ARRAY_INX=x\nSBATCH_NO_REQUEUE=x\nSBATCH_SIGNAL=x\n"
    assert (tmp_path / "seen").read_text() == left
    cluster.submit("#!/bin/bash\n#SBATCH --array=0-1\n#SBATCH --requeue\n#SBATCH --signal=B:USR2@9")
    left = "SBATCH_ACCOUNT=x\nSBATCH_OPEN_MODE=x\nSBATCH_TIMELIMIT=x\n"
    assert (tmp_path / "seen").read_text() == left


def test_a_study_whose_jobs_wait_is_not_replaced_by_another(slurm, tmp_path):
    launch(study(execution={"width": "auto"}), tmp_path / "out", SlurmSpec())
    other = study(execution={"width": "auto"}, seed=9)
    slurm("squeue", 'echo "1 PENDING"')
    with pytest.raises(InputError, match=r"seed: 3 there, 9 asked for; choose another directory"):
        launch(other, tmp_path / "out", SlurmSpec())
    # More of the same is welcome, and another one when the jobs are gone.
    launch(study(execution={"width": "auto"}, replicates=96), tmp_path / "out", SlurmSpec())
    slurm("squeue", "exit 0")
    launch(other, tmp_path / "out", SlurmSpec())
    left = json.loads((tmp_path / "out" / "launch" / "study.json").read_text())
    assert left["study"]["seed"] == 9


def test_of_two_studies_launched_into_a_new_directory_at_once_one_is_refused(
    slurm, tmp_path, monkeypatch
):
    first = study(execution={"width": "auto"})
    real = submission.left_study

    def late(directory):  # at this moment the other one is left
        monkeypatch.setattr(submission, "left_study", real)
        launch(first, directory, SlurmSpec())

    monkeypatch.setattr(submission, "left_study", late)
    with pytest.raises(InputError, match=r"another study, which is being launched: seed: 3 there"):
        launch(study(execution={"width": "auto"}, seed=9), tmp_path / "out", SlurmSpec())
    assert read_request(tmp_path / "out", allow_code=False).spec == first.spec
    assert len(read_jobs(tmp_path / "out")) == 3
    # Two of the same study share the work.
    monkeypatch.setattr(submission, "left_study", late)
    launch(first, tmp_path / "again", SlurmSpec())
    assert len(read_jobs(tmp_path / "again")) == 6


@pytest.mark.parametrize("text", ["[]", "5", '{"study": 5, "base": null}', "{", "[" * 100_000])
def test_a_study_left_for_a_node_that_is_none(slurm, tmp_path, text):
    open_widths = study(execution={"width": "auto"})
    launch(open_widths, tmp_path / "out", SlurmSpec())
    (tmp_path / "out" / "launch" / "study.json").write_text(text)
    with pytest.raises(InputError, match=r"launch/study.json' cannot be read|is of type"):
        read_request(tmp_path / "out", allow_code=False)
    slurm("squeue", 'echo "1 PENDING"')
    launch(open_widths, tmp_path / "out", SlurmSpec())
    assert read_request(tmp_path / "out", allow_code=False).spec == open_widths.spec


def test_damaged_shards_are_made_anew_if_asked_for(slurm, tmp_path):
    simulate(study(), tmp_path / "out")
    path = next((tmp_path / "out" / "shards").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    assert launch(study(), tmp_path / "out", SlurmSpec()) == []
    said = []
    (work, _) = launch(study(), tmp_path / "out", SlurmSpec(tasks=9), said.append, repair=True)
    assert work.tasks == 1
    assert said[0].startswith("computing again: shard ")


def test_a_dry_run_shows_what_would_be_submitted_and_writes_nothing(slurm, tmp_path):
    simulate(study(), tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    more, said = study(replicates=112), []
    (_, text), _ = dry_run(more, tmp_path / "out", SlurmSpec(tasks=4), said.append)
    assert "--array=0-1\n" in text
    assert said == ["2 tasks are enough: so many shards are missing"]
    assert dry_run(study(), tmp_path / "out", SlurmSpec(), said.append) == []
    with pytest.raises(InputError, match="holds another study"):
        dry_run(study(seed=9), tmp_path / "out", SlurmSpec())
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_directory_that_cannot_be_written(slurm, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written|is a file"):
        launch(study(), tmp_path / "file" / "out", SlurmSpec())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    with pytest.raises(InputError, match="holds other files"):
        launch(study(), tmp_path / "other", SlurmSpec())


def test_the_command_shows_submits_and_follows(slurm, tmp_path, monkeypatch, capsys):
    (tmp_path / "study.toml").write_text(toml(table(slurm={"tasks": 3})))

    def jaxsim(*arguments):
        monkeypatch.setattr(sys, "argv", ["jaxsim", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, stopped.value.code or 0, said.out, said.err)

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
    for options in (["--dry-run"], ["--prepare"], ["--time", "30"], ["--env", "A=b"]):
        mixed = jaxsim("launch", "study.toml", "-o", "local", "--local", "2", *options)
        assert mixed.returncode == 2
        assert mixed.stderr.startswith(f"error: {options[0]} is not accepted together with --local")
    assert not Path("local").exists()
