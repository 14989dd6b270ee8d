"""Scripts of a launch: what they say, and that a shell reads them as it should."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import jaxsim
from jaxsim import InputError
from jaxsim.launch import worker_process
from jaxsim.launch.directory import bind
from jaxsim.launch.slurm.launch import dry_run
from jaxsim.launch.slurm.settings import seconds_of, slurm_settings, variables
from jaxsim.launch.tasks import read_records
from jaxsim.study.slurm_spec import SlurmSpec
from tests.studies import CACHE, slow_but, study, toml


@pytest.fixture(autouse=True)
def no_site_file(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("JAXSIM_CACHE_DIR", "/scratch/a cache")


def scripts(directory="/scratch/run 1", execution=None, allow_code=False, **settings):
    changes = {} if execution is None else {"execution": execution}
    # 128 shards: any array of the tests has work for all its tasks.
    asked = study(replicates=4096, **changes)
    return dict(dry_run(asked, Path(directory), SlurmSpec(**settings)))


WORK = f"""\
#!/bin/bash
# jaxsim launch: work of the study small
#SBATCH --job-name=jaxsim-work-small
#SBATCH --output="/scratch/run 1/launch/logs/work-%A_%a.log"
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --time=02:00:00
#SBATCH --partition="gpu"
#SBATCH --constraint="a100|h100"
#SBATCH --mem=16G
#SBATCH --gpus-per-node=a100:1
#SBATCH --exclude=node7
#SBATCH --array=0-63%8
#SBATCH --requeue
#SBATCH --signal=B:USR2@60
set -e
module load apptainer/1.3
export PYTHONUNBUFFERED=1
export PYTHONPYCACHEPREFIX='/scratch/a cache/pycache'
export JAX_PLATFORMS=cuda
export JAXSIM_CACHE_DIR='/scratch/a cache'
export OMP_NUM_THREADS=4
export XLA_PYTHON_CLIENT_MEM_FRACTION=0.9
export GREETING='it'"'"'s $HOME'
export PYTHONPATH='CODE'
trap '' USR2
exec {shlex.quote(sys.executable)} -P -m jaxsim.launch.process '/scratch/run 1' --all-devices \
--platform gpu --grace-period 60 --index "$SLURM_ARRAY_TASK_ID" --of 64
"""


def test_the_script_of_an_array():
    found = scripts(
        tasks=64,
        parallel=8,
        cpus=4,
        time="02:00:00",
        partition="gpu",
        constraint="a100|h100",
        memory="16G",
        gpus="a100:1",
        options=["--exclude=node7"],
        modules=["apptainer/1.3"],
        environment={"GREETING": "it's $HOME"},
    )
    assert list(found) == ["work", "collect"]
    lines = found["work"].splitlines()
    (code,) = (line for line in lines if line.startswith("export PYTHONPATH"))
    assert code.startswith("export PYTHONPATH='/scratch/run 1/launch/code/")
    assert code.endswith("'${PYTHONPATH:+:$PYTHONPATH}")
    wanted = WORK.replace("export PYTHONPATH='CODE'", code)
    assert found["work"] == wanted


def test_a_new_study_with_open_widths_is_prepared_on_a_node():
    found = scripts(execution={"width": "auto"}, gpus=1)
    assert list(found) == ["prepare", "work", "collect"]
    assert "--prepare" in found["prepare"]
    assert "gpus-per-node=1" in found["prepare"]


def test_the_report_needs_no_gpu():
    collect = scripts(gpus=1)["collect"]
    assert "gpus" not in collect
    assert "JAX_PLATFORMS=cpu" in collect
    assert "-m jaxsim report '/scratch/run 1'" in collect


def test_a_container_gets_the_directory_and_the_gpu():
    work = scripts(gpus=1, container="/images/my jaxsim.sif")["work"]
    (line,) = (line for line in work.splitlines() if "apptainer" in line)
    words = shlex.split(line.replace('"$SLURM_ARRAY_TASK_ID"', "0"))
    assert words[:3] == ["apptainer", "exec", "--nv"]
    assert words[3:8] == ["--bind", "/scratch/run 1", "--bind", "/scratch/a cache",
                          "/images/my jaxsim.sif"]  # fmt: skip
    assert words[8:12] == ["sh", "-c", 'trap "" USR2; exec "$@"', "sh"]
    assert words[12] == "python3"
    assert words[-2:] == ["&", "worker=$!"]


APPTAINER = """#!/bin/bash
shift 6  # exec --bind DIR --bind CACHE IMAGE
exec env --default-signal=USR2 PATH="$NO_SLURM" "$@"
"""


def task(tmp_path, seconds, container="/x.sif", python=sys.executable, before="", **changes):
    """Start the script of a task, by default in a container; Slurm and Apptainer are stand-ins."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    for name, text in (
        ("apptainer", APPTAINER),
        ("squeue", f"#!/bin/bash\n{before}\necho {seconds // 60}:{seconds % 60:02d}\n"),
        ("scontrol", f'#!/bin/bash\necho "$@" >> {tmp_path}/scontrol\n'),
    ):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    asked = study(**changes)
    bind(asked, tmp_path / "out")
    settings = SlurmSpec(container=container, python=python, time="10")
    text = dict(dry_run(asked, tmp_path / "out", settings))["work"]
    lines = [line for line in text.splitlines() if not line.startswith("export PYTHONPATH")]
    (tmp_path / "work.sh").write_text("\n".join(lines))
    path = os.environ["PATH"]
    environment = {
        **os.environ, "SLURM_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "0",
        "PATH": f"{tools}:{path}", "NO_SLURM": path, "JAXSIM_CACHE_DIR": str(CACHE),
        "PYTHONPATH": str(Path(jaxsim.__file__).parents[1]),
    }  # fmt: skip
    return subprocess.Popen(
        ["bash", str(tmp_path / "work.sh")], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


LONG = {"steps": 5_000_000, "checkpoints": [1]}


@pytest.mark.slow
def test_a_task_in_a_container_is_put_back_by_its_script(tmp_path):
    # 70 seconds are left, 60 of them are the grace period.
    script = task(tmp_path, 70, **LONG)
    said, _ = script.communicate(timeout=300)
    assert script.returncode == 0, said
    assert (tmp_path / "scontrol").read_text() == "requeue 17\n"
    (record,) = (record for record, _ in read_records(tmp_path / "out"))
    assert record["reason"] == "time limit"
    assert list((tmp_path / "out" / "partial").iterdir())


@pytest.mark.parametrize(
    ("number", "again", "code"),
    [
        (signal.SIGUSR2, True, 0),
        pytest.param(signal.SIGTERM, False, 143, marks=pytest.mark.slow),
    ],
)
def test_signals_reach_the_worker_in_a_container(tmp_path, number, again, code):
    script = task(tmp_path, 59 * 60, **LONG)
    while not list((tmp_path / "out").glob("tasks/*.json")):
        assert script.poll() is None, script.communicate()[0]
        time.sleep(0.1)
    time.sleep(0.3)
    script.send_signal(number)
    said, _ = script.communicate(timeout=300)
    assert script.returncode == code, said
    assert (tmp_path / "scontrol").exists() == again
    (record,) = (record for record, _ in read_records(tmp_path / "out"))
    assert record["reason"] == ("time limit" if again else "terminated")


SLOW = f"""#!/bin/bash
# A Python that starts slowly: only what ignores the signal lives through it.
touch "$STARTED"
sleep 1
exec {shlex.quote(sys.executable)} "$@"
"""


@pytest.mark.parametrize("container", slow_but([], [None, "/x.sif"]))
def test_a_notice_while_python_starts_harms_nothing(tmp_path, monkeypatch, container):
    started, slow = tmp_path / "started", tmp_path / "slow-python"
    slow.write_text(SLOW)
    slow.chmod(0o755)
    monkeypatch.setenv("STARTED", str(started))
    script = task(tmp_path, 59 * 60, container, str(slow))
    while not started.exists():
        assert script.poll() is None, script.communicate()[0]
        time.sleep(0.01)
    time.sleep(0.2)
    script.send_signal(signal.SIGUSR2)
    said, _ = script.communicate(timeout=300)
    assert script.returncode == 0, said
    (record,) = (record for record, _ in read_records(tmp_path / "out"))
    assert record["reason"] == "finished"


@pytest.mark.slow
def test_an_early_notice_waits_for_the_first_steps(tmp_path):
    # It comes as soon as the worker hears it: when it asks for the time that is left.
    script = task(tmp_path, 59 * 60, None, before="kill -USR2 $PPID", **LONG)
    said, _ = script.communicate(timeout=300)
    assert script.returncode == 0, said
    (record,) = (record for record, _ in read_records(tmp_path / "out"))
    assert (record["reason"], record["advanced"]) == ("time limit", True)
    assert (tmp_path / "scontrol").read_text() == "requeue 17\n"
    steps = [np.load(path)["step"] for path in (tmp_path / "out" / "partial").iterdir()]
    assert 0 < max(steps) < LONG["steps"]


@pytest.mark.slow
def test_a_task_that_twice_does_nothing_before_its_limit_fails(tmp_path, monkeypatch):
    for attempt, code in ((0, 0), (1, 2)):
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(attempt))
        script = task(tmp_path, 59, None, **LONG)  # the grace period is 60 s
        said, _ = script.communicate(timeout=300)
        assert script.returncode == code, said
    assert (tmp_path / "scontrol").read_text() == "requeue 17\n"
    assert "twice not one step was done before it" in said
    first, second = sorted((record for record, _ in read_records(tmp_path / "out")), key=_attempt)
    assert (first["reason"], first["advanced"]) == ("time limit", False)
    assert second["reason"] == "failed"


def test_a_run_in_a_job_of_the_users_does_not_manage_it(tmp_path, monkeypatch):
    # `jaxsim run --workers` there: the job's time limit and queue are the user's own business.
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("squeue", "scontrol"):
        (tools / name).write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/calls\necho 0:10\n')
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(CACHE))
    for name, value in (("SLURM_JOB_ID", "17"), ("SLURM_RESTART_COUNT", "3")):
        monkeypatch.setenv(name, value)
    bind(study(**LONG), tmp_path / "out")
    worker = subprocess.Popen(
        worker_process.command(str(tmp_path / "out"), "--index", "0", "--of", "2"),
        env=worker_process.environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list((tmp_path / "out").glob("tasks/*.json")):
        assert worker.poll() is None
        time.sleep(0.1)
    time.sleep(0.3)
    worker.send_signal(signal.SIGUSR2)
    said = worker.communicate(timeout=300)
    assert worker.returncode == 143, said
    assert not (tmp_path / "calls").exists()
    found = [record for record, _ in read_records(tmp_path / "out")]
    assert [(r["job"], r["attempt"], r["reason"]) for r in found] == [(None, 0, "time limit")]


def _attempt(record):
    return record["attempt"]


@pytest.mark.slow
def test_the_end_of_a_task_in_a_container_is_that_of_its_worker(tmp_path):
    script = task(tmp_path, 59 * 60)
    said, _ = script.communicate(timeout=300)
    assert script.returncode == 0, said
    assert not (tmp_path / "scontrol").exists()


@pytest.mark.parametrize("kind", ["work", "collect"])
def test_a_shell_can_read_it(kind):
    text = scripts(modules=["a b"], environment={"A": "b; rm -rf /"})[kind]
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    said = subprocess.run(
        ["bash"],
        input='module() { echo $#; }\nexec() { echo "$A"; }\n' + text,
        text=True,
        capture_output=True,
    )
    assert said.stdout.splitlines() == ["2", "b; rm -rf /"]


def test_the_notice_of_a_short_limit_is_short():
    assert "--signal=B:USR2@30" in scripts(time="1")["work"]
    assert "--signal=B:USR2@600" in scripts(time="1-0", grace_period=600)["work"]


def test_a_directory_that_no_script_can_name_is_refused():
    for name in ('a "b"', "a\\b", "a\nb", "12:30", "\udcff"):
        with pytest.raises(InputError, match="without quotes, backslashes, colons and line breaks"):
            scripts(directory=f"/scratch/{name}")
    scripts(directory="/scratch/a,b")
    with pytest.raises(InputError, match="colons, commas and"):
        scripts(directory="/scratch/a,b", container="/x.sif")


def test_the_copied_package_comes_before_whatever_else_is_on_the_path(monkeypatch):
    text = scripts(environment={"PYTHONPATH": "/mine"}, modules=["m"])["work"]
    shown = subprocess.run(
        ["bash"], text=True, capture_output=True, check=True,
        input='module() { :; }\nexec() { echo "$PYTHONPATH"; }\n' + text,
    )  # fmt: skip
    first, second = shown.stdout.strip().split(":")
    assert first.startswith("/scratch/run 1/launch/code/")
    assert second == "/mine"


@pytest.mark.parametrize(
    ("site", "own", "given", "asked"),
    [
        ({}, {"gres": "gpu:1"}, {"gpus": "4"}, ["gpus-per-node=4"]),
        ({}, {"gres": "gpu:1"}, {"gpus": "0"}, []),
        ({"gpus": 2}, {}, {"gres": "gpu:a100:1"}, ["gres=gpu:a100:1"]),
        ({"gres": "lustre:1"}, {}, {"gpus": "2"}, ["gres=lustre:1", "gpus-per-node=2"]),
        ({}, {}, {"gres": "lustre:1"}, ["gres=lustre:1"]),
    ],
)
def test_the_later_way_to_ask_for_gpus_wins(site, own, given, asked, tmp_path):
    (tmp_path / "config" / "jaxsim").mkdir(parents=True)
    (tmp_path / "config" / "jaxsim" / "slurm.toml").write_text(toml(site))
    found = slurm_settings(study(slurm=own).spec.slurm, given)
    work = dict(dry_run(study(), Path("/scratch/run"), found))["work"]
    lines = [line.removeprefix("#SBATCH --") for line in work.splitlines()]
    assert [x for x in lines if x.startswith(("gres", "gpus"))] == asked
    assert ("--platform gpu" in work) == any("gpu" in x for x in asked)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 60), ("90", 5400), ("1:30", 90), ("00:01:00", 60), ("2-0", 172800),
     ("1-1:30", 91800), ("1-00:00:01", 86401)],
)  # fmt: skip
def test_times_as_slurm_has_them(text, seconds):
    assert seconds_of(text) == seconds


def test_options_win_over_the_study_and_the_study_over_the_site(tmp_path):
    (tmp_path / "config" / "jaxsim").mkdir(parents=True)
    site = "partition = 'site'\naccount = 'site'\ncontainer = '/site.sif'\ntime = '10'\n"
    (tmp_path / "config" / "jaxsim" / "slurm.toml").write_text(site)
    own = study(slurm={"partition": "study", "account": "study"}).spec.slurm
    found = slurm_settings(own, {"partition": "option", "qos": None, "modules": []})
    assert (found.partition, found.account, found.time) == ("option", "study", "10")
    assert found.container == "/site.sif"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("container", "/images/x.sif"),
        ("modules", ["x"]),
        ("environment", {"LD_PRELOAD": "/images/x.so"}),
        ("options", ["--wrap=x"]),
        ("python", "/images/python"),
    ],
)
def test_a_study_cannot_say_what_runs_without_permission(key, value):
    own = study(slurm={key: value}).spec.slurm
    with pytest.raises(InputError, match=rf"slurm.{key} in the study .*--allow-code"):
        slurm_settings(own, {})
    assert getattr(slurm_settings(own, {}, allow_code=True), key) == value


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"partition": "a; rm -rf /"}, r"slurm.partition = 'a; rm -rf /' is not accepted"),
        ({"partition": "a\n#SBATCH --wrap=x"}, r"slurm.partition"),
        ({"time": "soon"}, r"slurm.time = 'soon' is not accepted"),
        ({"options": ["rm"]}, r"slurm.options: 'rm' is not accepted"),
        ({"options": ["--output=x"]}, r"slurm.options: '--output=x' is not accepted: what jobs"),
        ({"options": ["--outp x"]}, r"slurm.options: '--outp x' is not accepted: what jobs"),
        ({"environment": {"a b": "c"}}, r"'a b' is not the name of an environment variable"),
        ({"environment": {"a\n": "c"}}, r"is not the name of an environment variable"),
        ({"colour": "red"}, r"slurm.colour is not known; accepted: partition"),
        ({"gpus": "a100:0"}, r"slurm.gpus = 'a100:0' is not accepted"),
        ({"gpus": "00"}, r"slurm.gpus = '00' is not accepted"),
        ({"grace_period": 100_000}, r"slurm.grace_period = 100000 is not accepted"),
    ],
)
def test_bad_settings_get_one_sentence(settings, message):
    with pytest.raises(InputError, match=message):
        slurm_settings(SlurmSpec(), settings)


def test_the_former_name_of_the_grace_period_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert study(slurm__notice=600).spec == study(slurm__grace_period=600).spec
    assert study(slurm__notice=None).spec == study().spec
    with pytest.raises(InputError, match="notice is the former name of grace_period"):
        study(slurm={"notice": 5, "grace_period": 6})
    (tmp_path / "jaxsim").mkdir()
    site = tmp_path / "jaxsim" / "slurm.toml"
    site.write_text("notice = 300\n")
    assert slurm_settings(SlurmSpec(), {}).grace_period == 300
    assert slurm_settings(SlurmSpec(grace_period=20), {}).grace_period == 20
    site.write_text("notice = 300\ngrace_period = 20\n")
    with pytest.raises(InputError, match="are not accepted: notice is the former name"):
        slurm_settings(SlurmSpec(), {})


def test_variables():
    assert variables(["A=b=c", "D="]) == {"A": "b=c", "D": ""}
    for wrong in ("A", "A\n=1", "=1"):
        with pytest.raises(InputError, match=r"accepted: NAME=VALUE"):
            variables([wrong])


def test_an_unreadable_file_of_the_user_is_called_by_its_name(tmp_path):
    (tmp_path / "config" / "jaxsim").mkdir(parents=True)
    (tmp_path / "config" / "jaxsim" / "slurm.toml").write_text("partition = ")
    with pytest.raises(InputError, match=r"settings = '.*slurm.toml' is not valid TOML"):
        slurm_settings(SlurmSpec(), {})


def test_the_table_does_not_change_the_runs(tmp_path):
    plain, asked = study(), study(slurm={"tasks": 4})
    assert [e.id for e in plain.experiments] == [e.id for e in asked.experiments]
    bind(plain, tmp_path / "out")
    assert len(bind(asked, tmp_path / "out").missing()) == 3
