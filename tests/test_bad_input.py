"""Whatever a user gets wrong: one sentence on standard error, exit code 2, nothing lost."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxsim import cli
from jaxsim.errors import InputError
from jaxsim.launch.directory import bind
from jaxsim.launch.simulate import simulate
from tests.studies import TWO, all_bits, slow_but, study, table, toml


def call(monkeypatch, capsys, *arguments):
    """Run the command line in this process and return (exit code, standard error)."""
    monkeypatch.setattr(sys, "argv", ["jaxsim", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    error = capsys.readouterr().err
    assert "Traceback" not in error
    # Lines of progress may come before the sentence.
    return stopped.value.code, error.splitlines()[-1]


def succeed(monkeypatch, *arguments):
    """Run the command line in this process and expect success."""
    monkeypatch.setattr(sys, "argv", ["jaxsim", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code


def require_sentence(code, error, *parts):
    assert code == 2, error
    assert error.startswith("error: ")
    for part in parts:
        assert part in error, error


MALICIOUS = [
    "__import__('os').system('touch owned')",
    "x.__class__",
    "(lambda: x)()",
    "x[0]",
    "open('owned')",
    "[x for x in (1, 2)]",
    "eval('1')",
    "exec('1')",
    "'text'",
    "globals()",
    "x if x else 9**9**9",
    "9**9**9**9",
    "(" * 300 + "x" + ")" * 300,
    "+".join(["x"] * 20000),
    "x; import os",
    "x := 3",
    "f'{x}'",
    "1j * x",
    "sin(x, x, x)",
    "sin(x=1)",
    "sin(*x)",
    "x2",
    "y",
    "",
    "x +",
]

WRONG = [
    # unknown keys and wrong types
    ({"sede": 1}, "sede = 1 is not a key"),
    ({"steps": "many"}, "steps = 'many'"),
    ({"network__hiden": [3]}, "network.hiden"),
    ({"training__batchsize": 3}, "training.batchsize"),
    ({"problem__risk": {"pionts": 3}}, "problem.risk.pionts"),
    ({"replicates": 2.5}, "replicates = 2.5"),
    # impossible values
    ({"steps": -1}, "steps = -1"),
    ({"replicates": 0}, "replicates = 0"),
    ({"confidence": 1.5}, "confidence = 1.5"),
    ({"epsilon": [-1.0]}, "epsilon"),
    ({"checkpoints": [100]}, "checkpoints = 100 is past the last step"),
    ({"network__hidden": [0]}, "network.hidden"),
    ({"training__batch_size": 0}, "training.batch_size = 0"),
    ({"execution__shard": 17}, "execution.shard = 17"),
    ({"problem__optimum": [2.0, 1.0]}, "problem.optimum"),
    ({"problem__optimum": [1.0]}, "problem.optimum"),
    # optimizers and hyperparameters
    ({"optimizer__name": "adem"}, "optimizer.name = 'adem' is not known (did you mean 'adam'?)"),
    ({"optimizer__name": "lbfgs"}, "optimizer.name = 'lbfgs' cannot be used"),
    ({"optimizer__b7": 0.5}, "optimizer.b7"),
    ({"optimizer__b1": 1.5}, "b1 = 1.5"),
    ({"optimizer": {"name": "adadelta"}}, "optimizer.learning_rate is missing"),
    ({"optimizer__learning_rate": -1.0}, "optimizer.learning_rate = -1.0"),
    ({"optimizer__learning_rate": {"schedule": "cosin"}}, "optimizer.learning_rate"),
    (
        {"optimizer__learning_rate": {"schedule": "constant", "value": 1e-50}},
        "optimizer.learning_rate.value = 1e-50",
    ),
    # problem
    ({"problem__input": {"law": "uniforn"}}, "problem.input"),
    ({"problem__input": {"law": "uniform", "low": 1.0, "high": 0.0}}, "problem.input"),
    ({"problem__input": {"law": "normal", "std": -1.0}}, "problem.input"),
    ({"problem__input": {"law": "points", "points": [[0.0], [1.0, 2.0]]}}, "problem.input"),
    ({"problem__input": {"law": "ball", "radius": 0.0}}, "problem.input"),
    ({"problem__input": None}, "problem.input is missing"),
    ({"problem__target": None}, "problem.target is missing"),
    ({"problem__target": {"teecher": 1}}, "problem.target"),
    ({"problem__target": {"function": "os:system"}}, "--allow-code"),
    ({"problem__loss": "sqared"}, "problem.loss = 'sqared' is not known (did you mean 'squared'?)"),
    ({"problem__loss": {"name": "huber", "delta": -1.0}}, "problem.loss"),
    ({"problem__loss": "softmax_cross_entropy"}, "problem.loss"),
    ({"problem__loss": {"name": "function", "function": "os:system"}}, "--allow-code"),
    ({"problem__noise": {"law": "normal", "std": -0.1}}, "problem.noise"),
    ({"problem__data": "digits"}, "problem.input"),
    # data sets
    ({"problem": {"data": "mnist"}}, "problem.data"),
    ({"problem": {"data": {"path": "none.csv"}}}, "none.csv"),
    ({"problem": {"data": {"path": "a" * 4000 + ".csv"}}}, "cannot be read: File name too long"),
    ({"problem": {"data": {"path": "large.csv", "scale": "none"}}}, "3e+39 are infinite"),
    ({"problem": {"data": {"path": "ragged.csv"}}}, "ragged.csv"),
    ({"problem": {"data": {"path": "words.csv"}}}, "words.csv"),
    ({"problem": {"data": {"path": "uneven.npz"}}}, "uneven.npz"),
    ({"problem": {"data": {"path": "pickled.npz"}}}, "pickled.npz"),
    # network
    ({"network__activation": "rely"}, "network.activation = 'rely'"),
    ({"network__activation": "os:system"}, "network.activation"),
    ({"network__weights": {"law": "normal", "std": 0.0}}, "network.weights"),
    ({"network__weights": ["he_normal"]}, "network.weights has 1 entries"),
    ({"network__biases": "orthogonal"}, "orthogonal"),
    ({"network__freeze": ["layer9.weights"]}, "network.freeze = 'layer9.weights'"),
    ({"network__freeze": ["layer²"]}, "network.freeze = 'layer²'"),
    ({"network__freeze": ["layer01"]}, "network.freeze = 'layer01'"),
    ({"network__freeze": ["layer1."]}, "network.freeze = 'layer1.'"),
    ({"network__freeze": ["layer"]}, "network.freeze = 'layer'"),
    ({"network__biases": ["zero", False], "network__output_bias": True}, "network.output_bias"),
    ({"network": {"module": "os:system"}}, "--allow-code"),
    ({"network": {"module": "os:system", "hidden": [3]}}, "network.hidden"),
    ({"network": {}}, "network.hidden is missing"),
    # training
    ({"training__batch_size": "full"}, 'training.batch_size = "full"'),
    ({"training": {"batch_size": 8, "set": {"size": 4}}}, "training.batch_size = 8 is too large"),
    ({"training": {"batch_size": "population", "set": {"size": 4}}}, "population"),
    ({"training": {"set": {"size": 40, "distinct": True}}}, "training.set.distinct"),
    ({"training": {"batch_size": "full", "set": {"size": 4, "replacement": True}}}, "replacement"),
    # grid
    ({"grid": {"network.hiden": [[3]]}}, "network.hiden"),
    ({"grid": {"steps": []}}, "is empty"),
    ({"grid": {"steps": [5, 5]}}, "are the same"),
]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "ragged.csv").write_text("a,b,label\n1,2,0\n1,2\n")
    (tmp_path / "large.csv").write_text("a,y\n1,2.5\n-3e39,1.5\n")
    (tmp_path / "words.csv").write_text("a,b,label\n1,two,0\n1,2,1\n")
    np.savez(tmp_path / "uneven.npz", x=np.zeros((3, 2)), y=np.zeros(4))
    np.savez(tmp_path / "pickled.npz", x=np.array([{}, {}], object), y=np.zeros(2))


@pytest.mark.parametrize(("changes", "part"), WRONG, ids=[str(w[1])[:40] for w in WRONG])
def test_a_wrong_study_gets_one_sentence(changes, part, files, tmp_path, monkeypatch, capsys):
    tree = copy.deepcopy(table(**{k: v for k, v in changes.items() if v is not None}))
    for key in (k for k, v in changes.items() if v is None):
        section, name = key.split("__")
        del tree[section][name]
    (tmp_path / "study.toml").write_text(toml(tree))
    code, error = call(monkeypatch, capsys, "run", "study.toml", "-o", "out")
    require_sentence(code, error, part)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("expression", MALICIOUS, ids=range(len(MALICIOUS)))
def test_a_malicious_expression_is_refused_unrun(expression, tmp_path, monkeypatch, capsys):
    quoted = expression.replace("'", '"')
    (tmp_path / "study.toml").write_text(toml(table(problem__target=quoted)))
    code, error = call(monkeypatch, capsys, "run", "study.toml", "-o", "out")
    require_sentence(code, error, "problem.target")
    assert len(error) < 2000
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "nonesuch"], ["study = 'nonesuch'", "quickstart"]),
        (["run", "none.toml"], ["study = 'none.toml'"]),
        (["run", "quickstart", "--set", "steps"], ["--set 'steps'"]),
        (["run", "quickstart", "--set", "stps=3"], ["stps = 3 is not a key"]),
        (["show", "quickstart", "--set", "grid.steps=3"], ["grid"]),
        (["report", "nowhere"], ["nowhere", "holds no jaxsim study"]),
        (["replay", "nowhere", "adam", "0"], ["nowhere"]),
        (["export", "nowhere"], ["nowhere"]),
        (["export", "nowhere", "--format", "xlsx"], ["format = 'xlsx'"]),
        (["export"], ["directory is missing"]),
    ],
)
def test_wrong_arguments_get_one_sentence(arguments, parts, monkeypatch, capsys):
    require_sentence(*call(monkeypatch, capsys, *arguments), *parts)


@pytest.fixture
def finished(tmp_path):
    simulate(study(grid=TWO), tmp_path / "out")
    (tmp_path / "study.toml").write_text(toml(table(grid=TWO)))
    return tmp_path / "out"


def shards(directory):
    return sorted(directory.glob("shards/*/*.parquet"))


def test_another_study_in_the_directory_is_refused_with_the_difference(
    finished, monkeypatch, capsys
):
    before = all_bits(finished)
    code, error = call(
        monkeypatch, capsys, "run", "study.toml", "-o", finished, "--set", "steps=61"
    )
    require_sentence(code, error, "holds another study", "steps: 60 there, 61 asked for")
    assert all_bits(finished) == before


def test_a_number_that_is_written_otherwise_is_said_to_be(tmp_path):
    bind(study(optimizer__learning_rate=1), tmp_path / "out")
    with pytest.raises(InputError, match=r"learning_rate is written 1 there, 1.0 here") as error:
        bind(study(optimizer__learning_rate=1.0), tmp_path / "out")
    assert "content" not in str(error.value)


def test_changed_data_are_another_study(tmp_path, monkeypatch, capsys):
    rows = "a,label\n" + "".join(f"{i},{i * i}\n" for i in range(20))
    (tmp_path / "mine.csv").write_text(rows)
    tree = table(problem={"data": {"path": "mine.csv"}}, replicates=16)
    (tmp_path / "study.toml").write_text(toml(tree))
    run = ["run", "study.toml", "-o", "out", "--no-plots"]
    succeed(monkeypatch, *run)
    capsys.readouterr()
    (tmp_path / "mine.csv").write_text(rows.replace("19,361", "19,362"))
    require_sentence(*call(monkeypatch, capsys, *run), "holds another study", "content")


BIND = """
from jaxsim import Study
from jaxsim.launch.directory import bind
bind(Study.load({!r}, allow_code=True), {!r})
"""


def test_changed_code_is_another_study(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine_targets.py").write_text("def wave(x):\n    return x**3\n")
    tree = table(problem__target={"function": "mine_targets:wave"}, replicates=16)
    (tmp_path / "study.toml").write_text(toml(tree))
    first = BIND.format("study.toml", "out")
    # In a process of its own: a module is imported once.
    begun = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True)
    assert begun.returncode == 0, begun.stderr
    (tmp_path / "mine_targets.py").write_text("def wave(x):\n    return x**3 + 1\n")
    run = ["run", "study.toml", "-o", "out", "--no-plots", "--allow-code"]
    said = call(monkeypatch, capsys, *run)
    sys.modules.pop("mine_targets", None)
    require_sentence(*said, "holds another study", "content")


def test_another_width_in_the_directory_is_refused(finished, monkeypatch, capsys):
    code, error = call(
        monkeypatch, capsys, "run", "study.toml", "-o", finished, "--set", "execution.width=32"
    )
    require_sentence(code, error, "execution.width")


def test_new_questions_are_answered_without_new_runs(finished, monkeypatch, capsys):
    stamps = [p.stat().st_mtime_ns for p in shards(finished)]
    question = ["--set", "epsilon=[0.02]", "--no-plots"]
    succeed(monkeypatch, "run", "study.toml", "-o", finished, *question)
    assert "0.02" in capsys.readouterr().out
    assert [p.stat().st_mtime_ns for p in shards(finished)] == stamps


def test_other_peoples_files_are_left_alone(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    require_sentence(
        *call(monkeypatch, capsys, "run", "quickstart", "-o", "mine"), "holds other files"
    )
    (tmp_path / "file").write_text("")
    require_sentence(*call(monkeypatch, capsys, "run", "quickstart", "-o", "file"), "is a file")


def test_a_directory_that_cannot_be_made_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "study.toml").write_text(toml(table()))
    (tmp_path / "file").write_text("")
    code, error = call(monkeypatch, capsys, "run", "study.toml", "-o", "file/out")
    require_sentence(code, error, "file", "cannot be written")


def test_a_read_only_directory_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "study.toml").write_text(toml(table()))
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    if os.access(locked, os.W_OK):
        if subprocess.run(["chattr", "+i", str(locked)], capture_output=True).returncode:
            pytest.skip("this user can write everywhere, and files cannot be made immutable")
    try:
        code, error = call(monkeypatch, capsys, "run", "study.toml", "-o", "locked")
        require_sentence(code, error, "cannot be written")
    finally:
        subprocess.run(["chattr", "-i", str(locked)], capture_output=True)
        locked.chmod(0o700)


@pytest.mark.parametrize(
    "damage", slow_but(["flipped", "pipe"], ["truncated", "flipped", "empty", "pipe"])
)
def test_a_damaged_shard_is_named_and_computed_again_on_request(
    finished, damage, monkeypatch, capsys
):
    before = all_bits(finished)
    victim = shards(finished)[2]
    content = bytearray(victim.read_bytes())
    if damage == "flipped":
        # A page, and not only a field of its header that nobody reads.
        third = len(content) // 3
        content[third : third + 64] = bytes(byte ^ 16 for byte in content[third : third + 64])
    if damage == "pipe":
        victim.unlink()
        os.mkfifo(victim)
    else:
        victim.write_bytes({"truncated": content[:700], "flipped": content, "empty": b""}[damage])
    code, error = call(monkeypatch, capsys, "report", finished)
    require_sentence(code, error, victim.name, "--repair")
    code, error = call(monkeypatch, capsys, "run", "study.toml", "-o", finished)
    require_sentence(code, error, victim.name, "--repair")
    succeed(monkeypatch, "run", "study.toml", "-o", finished, "--repair", "--no-plots")
    assert all_bits(finished) == before


def test_a_broken_manifest_is_named(finished, monkeypatch, capsys):
    (finished / "study.json").write_text('{"study": ')
    require_sentence(*call(monkeypatch, capsys, "report", finished), "study.json", "cannot be read")


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path):
    """On a real file system of 64 KiB if it can be mounted."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system needs privileges")
    (tmp_path / "study.toml").write_text(toml(table(grid=TWO, replicates=640)))
    run = [sys.executable, "-m", "jaxsim", "run", "study.toml", "--no-plots", "-o"]
    try:
        done = subprocess.run([*run, str(mount / "out")], capture_output=True, text=True)
        require_sentence(done.returncode, done.stderr.strip().splitlines()[-1], "has no room left")
        kept = shards(mount / "out")
        assert kept
        stamps = [p.stat().st_mtime_ns for p in kept]
        subprocess.run(["mount", "-o", "remount,size=4m", str(mount)], check=True)
        done = subprocess.run([*run, str(mount / "out")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert [p.stat().st_mtime_ns for p in kept] == stamps
        all_bits(mount / "out")
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=False)


def test_diverging_runs_are_counted_and_shown(tmp_path, monkeypatch, capsys):
    grid = {"optimizer.learning_rate": [0.05, 40.0]}
    tree = table(optimizer={"name": "sgd", "learning_rate": 1.0}, grid=grid, steps=200)
    (tmp_path / "study.toml").write_text(toml(tree))
    succeed(monkeypatch, "run", "study.toml", "-o", "out")
    shown = capsys.readouterr().out
    assert "runs diverged" in shown
    frame = simulate(study(**{k: v for k, v in tree.items() if k != "name"}), "out").to_pandas()
    last = frame[frame.n == 200]
    diverged = last[last.status == "diverged"]
    assert 0 < len(diverged)
    assert set(diverged.experiment) == {"learning_rate 40.0"}
    assert (diverged.risk == np.inf).all()
    assert ((diverged.diverged_step > 0) & (diverged.diverged_step <= 200)).all()
    assert (tmp_path / "out" / "plots" / "risk_distribution.png").exists()


def test_a_study_of_a_name_that_no_file_can_have(monkeypatch, capsys):
    for command in ("run", "launch"):
        require_sentence(*call(monkeypatch, capsys, command, "x" * 300), "study =", "too long")
