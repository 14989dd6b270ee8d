"""Variables of explicit experiments."""

import pytest

from jaxsim.errors import InputError
from jaxsim.study.expand import variations
from jaxsim.study.read import study_spec
from tests.studies import table

ONE = {
    "label": "k = {k}, lr {1 / k}",
    "network.hidden": ["{k}", "{2 * k + 1}"],
    "optimizer.learning_rate": "{1 / k}",
}


def experiments(variables, *stated, **changes):
    spec = study_spec(table(variables=variables, experiment=list(stated), **changes))
    return variations(spec)


def test_an_experiment_is_made_for_every_value():
    found = experiments({"k": [2, 8]}, ONE)
    assert [v.label for v in found] == ["k = 2, lr 0.5", "k = 8, lr 0.125"]
    assert [v.spec.network.hidden for v in found] == [[2, 5], [8, 17]]
    assert found[1].spec.optimizer["learning_rate"] == 0.125


def test_combinations_lists_texts_and_experiments_without_a_variable():
    deep = {"label": "{name} {d}", "network.hidden": "{[3] * d}", "optimizer.name": "{name}"}
    plain = {"label": "as it is", "steps": 70}
    found = experiments({"d": [1, 3], "name": ["sgd", "adam"]}, deep, plain)
    assert [v.label for v in found] == ["sgd 1", "adam 1", "sgd 3", "adam 3", "as it is"]
    assert [v.spec.network.hidden for v in found][2] == [3, 3, 3]


def test_a_formula_has_as_many_terms_as_a_variable_says():
    found = experiments(
        {"k": [1, 3]},
        {
            "label": "{k}",
            "problem.input": {"law": "normal", "dimension": "{k}"},
            "problem.target": "{terms('2 * relu(x#)', k)}",
        },
    )
    targets = [v.spec.problem.target for v in found]
    assert targets == ["2 * relu(x1)", "2 * relu(x1) + 2 * relu(x2) + 2 * relu(x3)"]


def test_settings_replace_the_values_and_leave_other_identities_alone():
    before = study_spec(table(variables={"k": [2, 8]}, experiment=[ONE]))
    after = study_spec(before.model_dump(mode="json", exclude_unset=True), ["variables.k=[8]"])
    assert [v.spec for v in variations(after)] == [variations(before)[1].spec]


@pytest.mark.parametrize(
    ("variables", "label", "sentence"),
    [
        ({"k": []}, "{k}", r"variables\.k = \[\] is empty"),
        ({"k": [True]}, "{k}", "numbers or texts"),
        ({"k": [1]}, "no braces", r"variables\.k has no effect"),
        ({"k": [1], "a b": [2]}, "{k}", "is not a name"),
        ({"k": [0]}, "{1 / k}", "cannot be computed"),
        ({"k": [1]}, "{k + other}", "cannot be computed"),
        ({"k": [1]}, "{__import__('os')} {k}", "cannot be computed"),
        ({"k": [9]}, "{k ** k ** k}", "cannot be computed"),
        ({"k": [9]}, "{[1] * 10 ** k}", "cannot be computed"),
        ({"k": [1]}, "{k.real}", "cannot be computed"),
        ({"k": [10**9]}, "{terms('x', k)}", "cannot be computed"),
        ({"k": [1]}, "{print(k)}", "cannot be computed"),
    ],
)
def test_what_cannot_be_filled_in_is_refused(variables, label, sentence):
    with pytest.raises(InputError, match=sentence):
        experiments(variables, {"label": label})


def test_grids_of_variables_are_limited_before_they_are_made():
    many = list(range(1, 401))
    with pytest.raises(InputError, match="grid has 160000 experiments"):
        experiments({"a": many, "b": many}, {"label": "{a} {b}", "steps": "{a}"})
