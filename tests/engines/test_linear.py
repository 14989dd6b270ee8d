"""Networks without hidden layers, and modules of the user's own, on every engine and problem."""

import io
import sys

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn import datasets

from jaxsim.engines.registry import unsupported_reason
from jaxsim.errors import InputError
from jaxsim.launch.simulate import simulate
from jaxsim.report.export import export
from jaxsim.report.write import write_report
from jaxsim.study.study import Study
from tests.studies import slow_but, table

WEIGHT, BIAS, RATE = 0.5, 0.25, 0.01


def _standardized(name):
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), y


def _squared_after_a_step(x, y):
    """Return the mean squares of a linear model before and after a step along the mean gradient."""
    theta, columns = np.append(np.full(x.shape[1], WEIGHT), BIAS), np.c_[x, np.ones(len(x))]
    before = ((columns @ theta - y) ** 2).mean()
    theta = theta - RATE * 2 * columns.T @ (columns @ theta - y) / len(y)
    return before, ((columns @ theta - y) ** 2).mean()


def _logistic_after_a_step(x, y):
    theta, columns = np.append(np.full(x.shape[1], WEIGHT), BIAS), np.c_[x, np.ones(len(x))]

    def risk(theta):
        logit = columns @ theta
        return (np.logaddexp(0, logit) - y * logit).mean()

    share = 1 / (1 + np.exp(-columns @ theta))
    return risk(theta), risk(theta - RATE * columns.T @ (share - y) / len(y))


def _softmax_before(x, y):
    # Equal weights for all classes: equal logits, whatever x.
    return np.log(len(np.unique(y))), None


WHOLE = {"batch_size": "full"}
PROBLEMS = {
    # problem, training, (risk at step 0, risk at step 1 or None)
    "one input": (
        {"input": {"law": "uniform", "low": 0.0, "high": 1.0}, "target": "x**2"},
        {"batch_size": 4},
        # E (x/2 + 1/4 - x^2)^2 on [0, 1]
        (lambda: (1 / 12 + 1 / 8 + 1 / 16 - 1 / 4 - 1 / 6 + 1 / 5, None)),
    ),
    "two inputs": (
        {"input": {"law": "uniform", "low": 0.0, "high": 1.0, "dimension": 2}, "target": "x1 - x2"},
        {"batch_size": 4},
        # E (1/4 - x1/2 + 3 x2/2)^2
        (lambda: (1 / 16 + 1 / 12 + 3 / 4 - 1 / 8 + 3 / 8 - 3 / 8, None)),
    ),
    "one parameter on weighted points": (
        {
            "input": {"law": "points", "points": [1.0, 2.0], "weights": [1.0, 3.0]},
            "target": "3 * x",
        },
        {"batch_size": 4},
        (lambda: (2.5**2 * (1 / 4 + 3), None)),
    ),
    "diabetes": (
        {"data": "diabetes"},
        {**WHOLE, "set": {"size": 442, "distinct": True}},
        (lambda: _squared_after_a_step(*_standardized("diabetes"))),
    ),
    "breast_cancer": (
        {"data": "breast_cancer", "loss": "logistic"},
        {**WHOLE, "set": {"size": 569, "distinct": True}},
        (lambda: _logistic_after_a_step(*_standardized("breast_cancer"))),
    ),
    "iris": (
        {"data": "iris", "loss": "softmax_cross_entropy"},
        {**WHOLE, "set": {"size": 150, "distinct": True}},
        (lambda: _softmax_before(*_standardized("iris"))),
    ),
}
ENGINES = ("vmap", "lanes", "native")
CASES = [(name, engine) for name in PROBLEMS for engine in ENGINES]
QUICK = [
    ("one parameter on weighted points", "lanes"), ("breast_cancer", "native"),
]  # fmt: skip


def _study(name, engine, network):
    problem, training, _ = PROBLEMS[name]
    tree = table(
        problem=problem, training=training, network=network, steps=1, replicates=32,
        checkpoints=[0], optimizer={"name": "sgd", "learning_rate": RATE},
        execution={"width": 16, "engine": engine},
    )  # fmt: skip
    return Study.from_dict(tree)


@pytest.mark.parametrize("case", slow_but(QUICK, CASES), ids=str)
def test_a_linear_model_is_trained_and_answered(case, tmp_path):
    name, engine = case
    constant = {"law": "constant", "value": WEIGHT}, {"law": "constant", "value": BIAS}
    alone = name == "one parameter on weighted points"
    network = {"hidden": [], "weights": constant[0], "biases": False if alone else constant[1]}
    study = _study(name, engine, network)
    if unsupported_reason(engine, study.experiments[0]):
        with pytest.raises(InputError, match=r"execution\.engine"):
            simulate(study, tmp_path / "out", workers=1)
        return
    results = simulate(study, tmp_path / "out", workers=1)
    frame = results.to_pandas()
    before, after = PROBLEMS[name][2]()
    rough = 1e-3 if name == "two inputs" else 1e-5  # of two inputs it is a quasi-Monte Carlo mean
    np.testing.assert_allclose(frame[frame.n == 0].risk, before, rtol=rough)
    if after is not None:
        np.testing.assert_allclose(frame[frame.n == 1].risk, after, rtol=1e-5)
    write_report(results, study, tmp_path / "out", Console(file=io.StringIO()), plots=False)
    export(tmp_path / "out", "parquet", None)
    assert len(pd.read_parquet(tmp_path / "out" / "results.parquet")) == len(frame)


@pytest.mark.parametrize("name", slow_but(["two inputs"], PROBLEMS))
def test_a_module_of_the_users_own_is_trained_and_answered(name, tmp_path):
    outputs = {"iris": 3}.get(name, 1)
    module = f"own_linear_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(
        "import flax.linen as nn\n\n\n"
        "def linear():\n"
        f"    return nn.Dense({outputs}, kernel_init=nn.initializers.constant({WEIGHT}),\n"
        f"                    bias_init=nn.initializers.constant({BIAS}))\n"
    )
    problem, training, right = PROBLEMS[name]
    tree = table(
        problem=problem, training=training, network={"module": f"{module}:linear"}, steps=1,
        replicates=32, checkpoints=[0], optimizer={"name": "sgd", "learning_rate": RATE},
    )  # fmt: skip
    try:
        study = Study.from_dict(tree, allow_code=True)
        results = simulate(study, tmp_path / "out", workers=1)
        frame = results.to_pandas()
        if name != "one parameter on weighted points":
            rough = 1e-3 if name == "two inputs" else 1e-5
            np.testing.assert_allclose(frame[frame.n == 0].risk, right()[0], rtol=rough)
        write_report(results, study, tmp_path / "out", Console(file=io.StringIO()), plots=False)
        export(tmp_path / "out", "csv", None, allow_code=True)
        assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == len(frame)
    finally:
        sys.modules.pop(module, None)
