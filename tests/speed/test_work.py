"""Operations of a step against counts by hand."""

from itertools import pairwise

import numpy as np
import pytest

from jaxsim.speed.work import moved_bytes, step_work
from jaxsim.study.study import Study
from tests.studies import study

ADAM = {
    "m = b1 m + (1 - b1) g": 3,
    "v = b2 v + (1 - b2) g g": 4,
    "m / (1 - b1^n), v / (1 - b2^n)": 2,
    "sqrt(v + 0) + eps": 3,
    "m / that": 1,
    "times the rate": 1,
    "theta + that": 1,
}


def of(layers, optimizer="sgd", batch=32, **more):
    (experiment,) = study(
        problem={
            "input": {"law": "uniform", "dimension": layers[0]},
            "target": "x**2" if layers[0] == 1 else "x1",
        },
        network={"hidden": layers[1:-1], **more},
        optimizer={"name": optimizer, "learning_rate": 0.1},
        training__batch_size=batch,
    ).experiments
    return experiment


def by_loops(layers, batch):
    """Return multiplications and additions of the products, one by one."""
    count = 0
    for number, (inputs, outputs) in enumerate(pairwise(layers)):
        for _ in range(inputs):
            for _ in range(outputs):
                for _ in range(batch):
                    count += 2  # output += weight * input
                    count += 2  # gradient of the weight += gradient of the output * input
                    count += 2 * (number > 0)  # gradient of the input += ... * weight
    return count


@pytest.mark.parametrize("layers", [[1, 16, 16, 1], [1, 4, 1], [2, 5, 3, 7, 1], [3, 1]])
def test_products_of_both_passes_are_counted_one_by_one(layers):
    assert step_work(of(layers, batch=8)).products == by_loops(layers, 8)


def test_the_workload_that_is_quoted_counts_as_by_hand():
    work = step_work(of([1, 16, 16, 1], "adam"))
    weights, biases = 16 + 256 + 16, 16 + 16 + 1
    assert work.products == 32 * (6 * weights - 2 * 16) == 54_272
    assert work.update == sum(ADAM.values()) * (weights + biases) == 15 * 321
    assert work.total == work.products + work.update


@pytest.mark.parametrize(("optimizer", "each"), [("sgd", 2), ("momentum", 4), ("amsgrad", 16)])
def test_an_update_counts_its_operations_for_every_parameter(optimizer, each):
    experiment = of([1, 4, 1], optimizer)
    assert step_work(experiment).update == each * experiment.network.size


def test_gradients_of_the_true_risk_are_no_passes_over_a_mini_batch():
    assert step_work(of([1, 4, 1], batch="population")) is None


def test_parameters_and_moments_move_twice():
    size = 13
    assert moved_bytes(of([1, 4, 1])) == 2 * 4 * size
    with_count = 2 * (3 * 4 * size + 4)  # theta, two moments, and the number of the step
    assert moved_bytes(of([1, 4, 1], "adam")) == with_count


def test_a_module_of_ones_own_is_counted_from_its_program():
    import flax.linen as nn

    class Convolution(nn.Module):
        @nn.compact
        def __call__(self, x):
            y = nn.Conv(3, (5,), padding="VALID", use_bias=False)(x[:, :, None])
            return nn.Dense(1, use_bias=False)(y.reshape(len(x), -1))

    (experiment,) = Study.from_dict(
        {
            "name": "own", "steps": 1, "replicates": 1, "optimum": {"budget": 0},
            "problem": {"input": {"law": "uniform", "dimension": 8}, "target": "x1"},
            "network": Convolution(),
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "training": {"batch_size": 2},
        }
    ).experiments  # fmt: skip
    convolution, dense = 2 * 4 * 3 * 5, 2 * 12  # batch x places x channels x kernel, batch x inputs
    # Outputs and gradients of weights of both, gradients of the inputs of the second.
    assert step_work(experiment).products == 2 * (2 * convolution + 3 * dense)
    assert experiment.network.size == 15 + 12
    assert np.isfinite(moved_bytes(experiment))
