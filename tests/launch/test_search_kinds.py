"""No kind of study makes a search fail, and no end is on the wrong side of another."""

import pytest

from jaxsim import analyse
from jaxsim.launch.optimum import find_optima
from jaxsim.launch.simulate import simulate
from tests.studies import slow_but, study

TEACHER = {"teacher": {"hidden": [5]}, "seed": 1}
QUICK = [
    {"network__activation": "tanh"},
    {"problem__input": {"law": "uniform", "dimension": 2}, "problem__target": "x1*x2"},
]
KINDS = [
    *QUICK,
    {"problem__target": TEACHER, "network__hidden": [1]},
    {"network__hidden": []},
    {"network__hidden": [2, 2, 2]},
    {"problem__target": ["x", "x**2"]},
    {"problem__target": "step(x)"},
    {"problem__target": "abs(x)", "problem__noise": {"law": "normal", "std": 0.3}},
    {"problem__input": {"law": "normal"}},
    {"problem__loss": "absolute"},
    {"problem__loss": {"name": "huber", "delta": 0.1}},
    {"problem__loss": {"name": "quantile", "level": 0.8}},
    {"problem__loss": "logistic", "problem__target": "step(x)"},
    {"network__activation": "relu6"},
    {"network__activation": "leaky_relu"},
    {"network__activation": "identity"},
    {"network__biases": False},
    {"network__freeze": ["output"]},
    {"network__parametrization": "ntk"},
    {"problem__input": {"law": "points", "points": [0.0, 0.5, 1.0]}},
    {"problem": {"data": "iris", "loss": "softmax_cross_entropy"}},
    {"problem": {"data": "diabetes", "loss": "absolute"}, "network__hidden": []},
    {"problem": {"data": "breast_cancer", "loss": "hinge"}},
]


@pytest.mark.parametrize("changes", slow_but(QUICK, KINDS), ids=str)
def test_every_kind_of_study_is_searched_without_a_failure(changes):
    failed = []
    found = find_optima(study(**changes), None, 2.0, failed.append)
    assert not failed
    (chain,) = found.hierarchies
    ends = [(row.optimum.lower.value, row.optimum.upper.value) for row in chain.widths]
    assert all(lower <= upper for lower, upper in ends)
    assert [lower for lower, _ in ends] == sorted((low for low, _ in ends), reverse=True)
    assert [upper for _, upper in ends] == sorted((high for _, high in ends), reverse=True)


RUNS = {"replicates": 64, "steps": 400, "checkpoints": 8, "optimum": {"budget": 10}}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"problem__target": "abs(x)", "network__hidden": [1]},
        {"problem__target": "sin(pi*x)"},
        {"network__activation": "leaky_relu"},
        {"network__hidden": [2, 2]},
        {"problem__input": {"law": "normal"}},
    ],
    ids=str,
)
def test_no_run_is_below_a_lower_end(changes, tmp_path):
    answer = analyse(simulate(study(**RUNS, **changes), tmp_path, devices=1), [0.001, 0.01])
    assert not answer.contradictions
    (experiment,) = answer.experiments
    assert experiment.optimum.lower.value > 0
    assert experiment.optimum.lower.reason != "risks are not negative"
