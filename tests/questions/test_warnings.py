"""Sentences of warning: what a reader of a study's numbers should know."""

import numpy as np
import pytest

from jaxsim.launch.simulate import simulate
from jaxsim.questions.ask import analyse
from jaxsim.study.study import Study
from tests.studies import study, table


def only(**changes):
    (warning,) = study(**changes).warnings
    return warning


def test_a_plain_study_has_none():
    assert study().warnings == ()
    assert Study.load("quickstart").warnings == ()


def test_one_training_set_for_all_replicates():
    said = only(training={"batch_size": 4, "set": {"size": 20, "scope": "study"}})
    assert "conditional on this set" in said
    assert study(training={"batch_size": 4, "set": {"size": 20}}).warnings == ()


@pytest.mark.parametrize(
    ("size", "batch", "more", "unused"),
    [(100, 64, {}, 36), (10, 3, {}, 1), (10, 5, {}, 0), (10, "full", {}, 0),
     (10, 3, {"replacement": True}, 0), (10, 3, {"partial": "keep"}, 0)],
)  # fmt: skip
def test_rows_that_an_epoch_leaves(size, batch, more, unused):
    found = study(training={"batch_size": batch, "set": {"size": size, **more}}).warnings
    assert [w.split(" of the ")[0] for w in found] == ([str(unused)] if unused else [])
    assert all('"keep"' in w for w in found)


SCHEDULES = [
    ({"schedule": "cosine_decay", "init_value": 0.1, "decay_steps": 61}, 61),
    ({"schedule": "cosine_decay", "init_value": 0.1, "decay_steps": 60}, None),
    ({"schedule": "linear", "init_value": 0.1, "end_value": 0.0, "transition_steps": 50,
      "transition_begin": 20}, 70),
    ({"schedule": "piecewise_constant", "init_value": 0.1, "boundaries": [5, 80],
      "scales": [0.5, 0.5]}, 80),
    ({"schedule": "sgdr", "peak_values": [0.1, 0.1], "warmup_steps": [2, 2],
      "decay_steps": [40, 40]}, 80),
    ({"schedule": "power", "init_value": 0.1, "exponent": 0.5}, None),
]  # fmt: skip


@pytest.mark.parametrize(("rate", "end"), SCHEDULES, ids=str)
def test_a_schedule_that_outlasts_the_training(rate, end):
    found = study(optimizer={"name": "sgd", "learning_rate": rate}).warnings
    assert len(found) == (end is not None)
    assert all(f"ends at step {end}, after the last step of the training, 60" in w for w in found)


@pytest.mark.parametrize(("rate", "end"), [s for s in SCHEDULES if s[1]], ids=str)
def test_the_end_of_a_schedule_is_where_it_becomes_constant(rate, end):
    (experiment,) = study(optimizer={"name": "sgd", "learning_rate": rate}).experiments
    schedule = experiment.optimizer.learning_rate
    values = [float(schedule(n)) for n in (end - 1, end, end + 1, end + 500)]
    assert values[1] == pytest.approx(values[2])
    assert values[1] == pytest.approx(values[3])


def test_values_that_are_not_scaled_beside_inputs_that_are():
    said = only(problem={"data": "diabetes"})
    assert "mean 152.1, standard deviation 77" in said
    for data in (
        {"name": "diabetes", "target_scale": "standardize"},
        {"name": "diabetes", "scale": "none"},
    ):
        assert study(problem={"data": data}).warnings == ()


@pytest.mark.parametrize(("name", "warned"), [("", True), ("Unnamed: 0", True), ("dose", False)])
def test_a_column_that_numbers_the_rows(name, warned, tmp_path):
    rows = [f"{i},{np.sin(i):.3f},{np.cos(i):.3f}" for i in range(9)]
    (tmp_path / "mine.csv").write_text("\n".join([f"{name},a,y", *rows]) + "\n")
    found = study(problem={"data": {"path": "mine.csv"}}).warnings
    assert len(found) == warned
    assert all("column 1 of mine.csv" in w and "read as an input" in w for w in found)


@pytest.mark.parametrize(
    ("problem", "option", "idle"),
    [
        ({"data": "iris", "loss": "softmax_cross_entropy"}, {"points": 4096}, True),
        ({"data": "iris", "loss": "softmax_cross_entropy"}, {"nodes": 5}, True),
        (table()["problem"], {"points": 4096}, True),
        (table()["problem"], {"nodes": 5}, False),
        (table()["problem"], {"pieces": 50}, False),
        ({"input": {"law": "uniform", "dimension": 2}, "target": "x1"}, {"points": 4096}, False),
        ({"input": {"law": "uniform", "dimension": 2}, "target": "x1"}, {"pieces": 50}, True),
    ],
    ids=str,
)
def test_options_of_the_risk_that_its_rule_does_not_read(problem, option, idle):
    found = study(problem={**problem, "risk": option}).warnings
    assert len(found) == idle
    (key, value), = option.items()  # fmt: skip
    assert all(w.startswith(f"problem.risk.{key} = {value} has no effect") for w in found)


def test_an_activation_without_a_layer_and_biases_frozen_that_are_not_there():
    assert "no hidden layer" in only(network={"hidden": [], "activation": "tanh"})
    frozen = {"hidden": [2], "output_bias": False, "freeze": ["output.biases"]}
    assert "'output.biases' has no effect" in only(network=frozen)


def test_a_warning_names_the_experiments_it_is_about():
    grid = {"training.set": [{"size": 20}, {"size": 20, "scope": "study", "label": "common"}]}
    (said,) = study(grid=grid, training__batch_size=4).warnings
    assert said.endswith("(1 of 2 experiments: common)"), said


def test_own_keys_of_later_versions_do_not_change_identities():
    tree = table(training={"batch_size": 4, "set": {"size": 20}})
    plain = Study.from_dict(tree)
    assert "partial" not in str(plain.spec.model_dump(mode="json"))
    tree["training"]["set"]["partial"] = "drop"
    assert Study.from_dict(tree).experiments[0].id == plain.experiments[0].id
    # As version 0.1.0 named it, before there was the key.
    assert plain.experiments[0].id == "349387341188fab2"


def test_an_answer_from_python_has_the_warnings_of_its_study(tmp_path):
    one = study(training={"batch_size": 4, "set": {"size": 20, "scope": "study"}}, replicates=16)
    results = simulate(one, tmp_path / "out")
    assert one.warnings
    assert set(one.warnings) <= set(analyse(results, [0.1]).warnings)
    assert not set(one.warnings) & set(analyse(results, [0.1], warnings=()).warnings)
