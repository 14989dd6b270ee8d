"""Options that would have no effect are refused, and questions are no settings of runs."""

import sys

import jax
import pytest

from jaxsim import cli, runtime
from jaxsim.errors import InputError
from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.layout import choose_layouts
from jaxsim.launch.simulate import open_results, simulate
from jaxsim.questions.ask import exceedance
from tests.studies import study, toml
from tests.studies import table as tables

SMALL = {"replicates": 16, "steps": 2, "checkpoints": [1]}
on_a_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="about CPUs")


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["jaxsim", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return stopped.value.code or 0, captured.err.strip()


@on_a_cpu
@pytest.mark.parametrize("precision", ["high", "default", "tensorfloat32", "bfloat16"])
def test_precisions_that_a_cpu_ignores_are_refused_when_it_computes(precision, tmp_path):
    asked = study(**SMALL, execution={"width": 16, "matmul_precision": precision})
    with pytest.raises(InputError, match=rf'matmul_precision = "{precision}" .* "highest"'):
        simulate(asked, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    assert runtime.setting("jax_default_matmul_precision") == "highest"


@on_a_cpu
@pytest.mark.parametrize(
    "command", [["plan"], ["launch", "--prepare"], ["run", "-o", "out"]], ids=str
)
def test_commands_that_measure_or_compute_refuse_it_too(command, tmp_path, monkeypatch, capsys):
    tree = tables(**SMALL, execution={"width": 16, "matmul_precision": "bfloat16"})
    (tmp_path / "study.toml").write_text(toml(tree))
    code, error = call(monkeypatch, capsys, command[0], "study.toml", *command[1:])
    assert code == 2
    assert 'execution.matmul_precision = "bfloat16" is not accepted on a CPU' in error


@on_a_cpu
def test_results_computed_elsewhere_in_another_precision_can_be_read(tmp_path):
    asked = study(**SMALL, execution={"width": 16, "matmul_precision": "bfloat16"})
    bind(asked, tmp_path / "out")
    assert exceedance(open_results(reopen(tmp_path / "out")), 0.1)[0].runs == 0


@pytest.mark.parametrize(
    ("execution", "part"),
    [
        ({"engine": "vmap", "width": 16}, 'execution.engine = "vmap"'),
        ({"width": 16}, "a width is given and no engine"),
        ({"engine": "pallas", "width": 16}, 'execution.engine = "pallas"'),
    ],
)
def test_lanes_where_nothing_has_lanes_are_refused(execution, part):
    with pytest.raises(InputError, match=r"execution\.lanes = 8 has no effect") as error:
        choose_layouts(study(**SMALL, execution={**execution, "lanes": 8}))
    assert part in str(error.value)


def test_lanes_of_an_experiment_without_are_refused():
    asked = study(**SMALL, execution={"lanes": 8}, training={"batch_size": "population"})
    with pytest.raises(InputError, match=r"lanes = 8 has no effect for 'small': gradients of the"):
        choose_layouts(asked)


@on_a_cpu
@pytest.mark.slow
def test_lanes_alone_choose_an_engine_that_has_them():
    (layout,) = choose_layouts(study(**SMALL, execution={"lanes": 8})).values()
    assert layout.config.engine in ("lanes", "native")
    assert layout.config.lanes == 8


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("options") / "out"
    simulate(study(**SMALL), directory)
    return directory


@pytest.mark.parametrize(
    "setting",
    ["network.hidden=[5]", "seed=4", "problem.optimum=0.0", "name=other", "steps=3",
     "replicates=8", "slurm.cpus=2", "execution.width=8", "grid={}", "nonsense=1",
     "optimizer.b1=0.5", "paired=[]"],
)  # fmt: skip
def test_a_report_refuses_settings_that_are_no_questions(setting, finished, monkeypatch, capsys):
    code, error = call(monkeypatch, capsys, "report", finished, "--no-plots", "--set", setting)
    assert code == 2
    assert error.startswith(f"error: --set {setting.partition('=')[0]} = ")
    assert (
        "accepted: confidence, epsilon, events, interval, post_stratify, published, title" in error
    )


def test_a_report_answers_other_questions(finished):
    asked = reopen(finished).study.with_questions(["epsilon=[0.5]", "confidence=0.9", "title=new"])
    assert (asked.spec.epsilon, asked.spec.confidence, asked.spec.title) == ([0.5], 0.9, "new")
    assert [e.id for e in asked.experiments] == [e.id for e in study(**SMALL).experiments]
    with pytest.raises(InputError, match="confidence = 2"):
        reopen(finished).study.with_questions(["confidence=2"])


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["export", "OUT", "--format", "schema"], "directory = "),
        (["launch", "STUDY", "--prepare", "--time", "1:00"], "--time is not accepted"),
        (["launch", "STUDY", "--prepare", "--dry-run"], "--dry-run is not accepted"),
        (["launch", "STUDY", "--prepare", "--repair"], "--repair is not accepted"),
        (["launch", "STUDY", "--dry-run", "--repair"], "--repair is not accepted"),
        (["launch", "STUDY", "--local", "1", "--tasks", "3"], "--tasks is not accepted"),
    ],
)
def test_options_without_effect_are_refused(
    arguments, part, finished, tmp_path, monkeypatch, capsys
):
    (tmp_path / "study.toml").write_text(toml(tables(**SMALL)))
    given = [{"OUT": finished, "STUDY": "study.toml"}.get(a, a) for a in arguments]
    code, error = call(monkeypatch, capsys, *given)
    assert code == 2
    assert part in error
