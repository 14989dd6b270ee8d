import pytest

from jaxsim.errors import InputError
from jaxsim.problem.targets import ExpressionTarget
from jaxsim.study.expand import variations
from jaxsim.study.read import parse_setting, set_key, study_spec
from tests.studies import study

BASE = {
    "name": "test",
    "problem": {"input": {"law": "uniform", "low": 0.0, "high": 1.0}, "target": "x"},
    "network": {"hidden": [2]},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


def expand(**changes):
    return variations(study_spec({**BASE, **changes}))


def test_a_study_without_grid_is_one_experiment():
    (only,) = expand()
    assert only.label == "test"
    assert only.spec.network.hidden == [2]


def test_grid_is_the_product_with_the_first_key_varying_slowest():
    found = expand(grid={"optimizer.name": ["sgd", "adam"], "network.hidden": [[2], [4, 4, 4]]})
    assert [v.label for v in found] == [
        "sgd, hidden 2",
        "sgd, hidden 3x4",
        "adam, hidden 2",
        "adam, hidden 3x4",
    ]
    assert found[3].spec.optimizer == {"name": "adam", "learning_rate": 0.1}
    assert found[3].spec.network.hidden == [4, 4, 4]


def test_whole_tables_can_vary():
    choices = [{"name": "sgd", "learning_rate": 1.0}, {"name": "adam", "learning_rate": 0.1}]
    found = expand(grid={"optimizer": choices})
    assert [v.spec.optimizer for v in found] == choices
    assert [v.label for v in found] == ["sgd", "adam"]


def test_explicit_experiments_multiply_with_the_grid():
    found = expand(
        experiment=[{"label": "slow", "optimizer.learning_rate": 0.01}, {"steps": 5}],
        grid={"network.hidden": [[2], [3]]},
    )
    assert [v.label for v in found] == [
        "slow, hidden 2",
        "slow, hidden 3",
        "steps 5, hidden 2",
        "steps 5, hidden 3",
    ]
    assert found[0].spec.optimizer["learning_rate"] == 0.01
    assert found[2].spec.steps == 5


def test_the_base_tables_are_not_shared_between_experiments():
    found = expand(grid={"optimizer.b1": [0.8, 0.9]})
    assert [v.spec.optimizer["b1"] for v in found] == [0.8, 0.9]


ADAM = {"name": "adam", "learning_rate": 0.1}


def test_tables_of_one_optimizer_are_named_by_what_differs():
    choices = [ADAM, {**ADAM, "b2": 0.9}, {**ADAM, "b2": 0.9, "learning_rate": 0.5}]
    assert [v.label for v in expand(grid={"optimizer": choices})] == [
        "adam, learning_rate 0.1",
        "adam, learning_rate 0.1, b2 0.9",
        "adam, learning_rate 0.5, b2 0.9",
    ]
    assert [v.label for v in expand(grid={"optimizer": choices[:2]})] == ["adam", "adam, b2 0.9"]
    explicit = [{"optimizer": t} for t in choices[:2]]
    assert [v.label for v in expand(experiment=explicit)] == ["adam", "adam, b2 0.9"]


def test_nested_tables_are_named_by_what_differs():
    rates = [{"schedule": "linear", "init_value": v, "end_value": 0.0, "transition_steps": 5}
             for v in (0.1, 0.2)]  # fmt: skip
    choices = [{"name": "adam", "learning_rate": r} for r in rates]
    assert [v.label for v in expand(grid={"optimizer": choices})] == [
        "adam, init_value 0.1",
        "adam, init_value 0.2",
    ]


def test_a_table_of_a_grid_may_have_a_label_which_is_no_part_of_it():
    choices = [{**ADAM, "label": "A"}, {**ADAM, "b2": 0.9, "label": "B [new]"}, ADAM | {"b1": 0.8}]
    found = expand(grid={"optimizer": choices, "network.hidden": [[2], [3]]})
    assert [v.label for v in found][:3] == ["A, hidden 2", "A, hidden 3", "B [new], hidden 2"]
    assert found[0].spec.optimizer == ADAM
    assert found[-1].label == "adam, hidden 3"


def test_a_column_of_data_called_label_is_no_label_of_the_grid():
    choices = [{"path": "a.csv", "label": "y"}, {"path": "a.csv", "label": "z"}]
    found = expand(grid={"problem.data": choices})
    assert [v.spec.problem.data for v in found] == choices
    assert len({v.label for v in found}) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"grid": {"network.hidden": []}}, 'grid."network.hidden" = [] is empty'),
        ({"grid": {"epsilon": [[0.1]]}}, "'epsilon' cannot vary between experiments"),
        ({"grid": {"network.hiden": [[1]]}}, "network.hiden = (1,) is not a key"),
        ({"grid": {"steps": [10, 10]}}, "are the same"),
        ({"grid": {"steps": list(range(400)), "checkpoints": list(range(1, 400))}}, "up to 100000"),
        ({"experiment": [{"label": 3}]}, "experiment.label = 3"),
        (
            {"experiment": [{"label": "a", "steps": 1}, {"label": "a", "steps": 2}]},
            "experiment.label = 'a' is used 2 times",
        ),
        ({"grid": {"network.hidden.0": [1]}}, "network.hidden = [2] is not a table"),
    ],
)
def test_bad_grids_get_one_sentence(changes, sentence):
    with pytest.raises(InputError) as error:
        expand(**changes)
    assert sentence.replace("(1,)", "[1]") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps=500", ("steps", 500)),
        ("network.hidden=[8, 8]", ("network.hidden", [8, 8])),
        ("optimizer.name=adam", ("optimizer.name", "adam")),
        ("problem.target=x**2", ("problem.target", "x**2")),
        ('problem.target="x**2"', ("problem.target", "x**2")),
        ("problem.noise={law='normal', std=0.1}", ("problem.noise", {"law": "normal", "std": 0.1})),
        ("network.biases=false", ("network.biases", False)),
    ],
)
def test_settings_are_toml_or_bare_names(text, expected):
    assert parse_setting(text) == expected


@pytest.mark.parametrize("text", ["steps", "=3", "steps=5 5", "steps=5O"])
def test_bad_settings_get_one_sentence(text):
    with pytest.raises(InputError, match="--set"):
        parse_setting(text)


def test_setting_a_parameter_of_a_bare_name_makes_it_a_table():
    table = {"problem": {"noise": "normal"}, "network": {"activation": "elu"}}
    set_key(table, "problem.noise.std", 0.5)
    set_key(table, "network.activation.alpha", 2.0)
    assert table["problem"]["noise"] == {"law": "normal", "std": 0.5}
    assert table["network"]["activation"] == {"name": "elu", "alpha": 2.0}


@pytest.mark.parametrize("text", ["steps=3\nepsilon=[0.5]", "steps=3\n[grid]\nx=[1]"])
def test_a_second_line_of_a_setting_is_refused(text):
    with pytest.raises(InputError, match="more than one setting"):
        parse_setting(text)
    assert parse_setting("a=[1,\n2]") == ("a", [1, 2])


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("optimizer.learning_rate", [1, 1.0]),
        ("network.activation", ["relu", {"name": "relu"}]),
        ("network.weights", ["he_normal", {"law": "he_normal"}]),
    ],
)
def test_one_value_written_in_two_ways_is_one_experiment(key, values):
    with pytest.raises(InputError, match="are the same"):
        expand(grid={key: values})


def test_experiments_of_one_problem_share_it():
    one = study(grid={"optimizer.learning_rate": [0.1, 0.2], "problem.target": ["x", "x**2"]})
    problems = [e.problem for e in one.experiments]
    assert len({id(p) for p in problems}) == 2
    for problem, e in zip(problems, one.experiments, strict=True):
        assert isinstance(problem.target, ExpressionTarget)
        assert problem.target.expression.text == (e.spec["problem"]["target"],)
