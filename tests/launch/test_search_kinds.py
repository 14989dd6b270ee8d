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


@pytest.mark.slow
def test_searched_levels_prove_a_part_of_the_failures(tmp_path):
    """|x| by four neurons: R*(4) = 0, R*(1) = (3 - 2 sqrt 2) / 3 = .0572, R*(0) = 1 / 12."""
    options = {"network__hidden": [4], "optimum": {"budget": 30}, "replicates": 16}
    results = simulate(study(problem__target="abs(x)", **options), tmp_path, devices=1)
    eps = [0.05, 0.056, 0.06, 0.08, 0.09]
    (experiment,) = analyse(results, eps).experiments
    # Uniform weights and biases: each neuron is inactive with probability 1 / 4 for itself.
    three, four = 4 * 0.25**3 * 0.75 + 0.25**4, 0.25**4
    shown = {bound.eps: bound for bound in experiment.exceedance.lower_bounds}
    for level, truth, inactive in zip(eps, [three, three, four, four], [3, 3, 4, 4], strict=False):
        assert shown[level].value == pytest.approx(truth, rel=1e-4)
        assert shown[level].inactive == inactive
    assert 0.09 not in shown or shown[0.09].value == 0
