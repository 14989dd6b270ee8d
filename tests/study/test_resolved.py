"""`show`: every default, wherever it is, and a study that can be read again."""

import json
import sys

import pytest

from jaxsim import cli
from jaxsim.study.catalogue import READY
from jaxsim.study.resolved import resolved
from jaxsim.study.study import Study
from tests.studies import table
from tests.study.test_round_trip import EXPERIMENTS, own_code

__all__ = ["own_code"]


def test_defaults_of_data_laws_methods_and_schedules():
    tree = table(
        problem={"data": "diabetes", "loss": "huber"},
        network={"hidden": [2], "activation": "leaky_relu", "weights": {"law": "uniform"}},
        optimizer={"name": "adamax", "learning_rate": {
            "schedule": "cosine_decay", "init_value": 0.1, "decay_steps": 9}},
    )  # fmt: skip
    shown = resolved(Study.from_dict(tree).spec.model_dump(mode="json"))
    assert shown["problem"]["data"] == {
        "name": "diabetes", "scale": "standardize", "task": "auto", "target_scale": "none",
        "test": None, "risk_over": None,
    }  # fmt: skip
    assert shown["problem"]["loss"] == {"name": "huber", "delta": 1.0}
    assert shown["network"]["activation"] == {"name": "leaky_relu", "negative_slope": 0.01}
    assert shown["network"]["weights"] == {
        "law": "uniform", "bound": 1.0, "fan_in_power": 0.0, "fan_out_power": 0.0,
    }  # fmt: skip
    assert shown["optimizer"]["b2"] == 0.999
    assert shown["optimizer"]["variant"] == "optax"
    assert shown["optimizer"]["learning_rate"]["alpha"] == 0.0


def test_a_file_of_data_and_a_teacher(tmp_path):
    (tmp_path / "mine.csv").write_text("a,y\n1,2.5\n2,3.5\n")
    data = {"data": {"path": "mine.csv"}}
    shown = resolved(Study.from_dict(table(problem=data)).spec.model_dump(mode="json"))
    assert shown["problem"]["data"]["label"] is None
    teacher = {"teacher": {"hidden": [2]}}
    tree = table(problem__target=teacher)
    shown = resolved(Study.from_dict(tree).spec.model_dump(mode="json"))["problem"]["target"]
    assert (shown["seed"], shown["outputs"]) == (0, 1)
    assert shown["teacher"]["weights"] == "he_normal"


def laws(study):
    return [
        [(s.weights.name, s.biases.name if s.biases else None) for s in e.network.layer_specs]
        for e in study.experiments
    ]


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_what_is_shown_means_the_same_study(kind, own_code):
    for changes in EXPERIMENTS[kind]:
        study = Study.from_dict(table(experiment=[changes]), allow_code=True)
        tables = study.experiments[0].spec
        shown = resolved(tables)
        assert resolved(shown) == shown
        again = Study.from_dict({"name": "again", **shown}, allow_code=True)
        one, two = study.experiments[0], again.experiments[0]
        assert laws(again) == laws(study)
        assert two.optimizer.hyperparameters == one.optimizer.hyperparameters
        assert two.network.size == one.network.size
        assert two.problem.outputs == one.problem.outputs
        assert two.problem.loss.name == one.problem.loss.name


@pytest.mark.parametrize("name", READY)
def test_the_command_shows_a_study_and_warns_beside_it(name, monkeypatch, capsys):
    settings = ["--set", "training={batch_size=3, set={size=10}}"]
    monkeypatch.setattr(sys, "argv", ["jaxsim", "show", name, *settings])
    with pytest.raises(SystemExit):
        cli.main()
    captured = capsys.readouterr()
    shown = json.loads(captured.out)
    assert len(Study.from_dict(shown).experiments) == len(Study.load(name).experiments)
    assert "warning: 1 of the 10 rows" in captured.err
