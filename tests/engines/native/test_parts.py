"""Large mini-batches go through the native program in parts, to the same bits as in one piece."""

import numpy as np
import pytest

from jaxsim.engines import block, lanes
from jaxsim.engines.native import engine as native
from jaxsim.engines.native import library, training
from jaxsim.engines.native.program import Target
from jaxsim.engines.registry import ExecutionConfig, make_engine
from tests.studies import slow_but, study

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")

CASES = {
    "samples": {"network": {"hidden": [6, 5]}, "training": {"batch_size": 12}},
    "classes of a table": {
        "problem": {"data": "iris", "loss": "softmax_cross_entropy"},
        "network": {"hidden": [4], "activation": "gelu"},
        "training": {"batch_size": 30},
    },
    "weighted points": {
        "problem": {
            "input": {"law": "points", "points": [-1.0, -0.5, 0.25, 0.5, 1.0, 2.0]},
            "target": "abs(x)",
        },
        "network": {"hidden": [4], "biases": False},
        "training": {"batch_size": "population"},
    },
}


def trained(experiment, monkeypatch, rows):
    """Return the parameters after 40 steps with some rows at a time."""
    monkeypatch.setattr(training, "rows_of", lambda network, batch, target: rows or batch)
    native._source.cache_clear()
    lanes._training.cache_clear()
    engine = make_engine(experiment, ExecutionConfig("native", 16, native.lanes_of(experiment)))
    return np.asarray(engine.theta(block.advance_to_end(engine, experiment, 0, 16)))


@pytest.mark.parametrize("case", slow_but(["samples"], CASES))
def test_parts_train_to_the_bits_of_the_whole(case, monkeypatch):
    (experiment,) = study(steps=40, precision="float64", **CASES[case]).experiments
    whole = trained(experiment, monkeypatch, 0)
    np.testing.assert_array_equal(trained(experiment, monkeypatch, 3), whole)
    reference = make_engine(experiment, ExecutionConfig("vmap", 16))
    theta = reference.theta(block.advance_to_end(reference, experiment, 0, 16))
    np.testing.assert_allclose(whole, np.asarray(theta), rtol=0, atol=1e-9)


def test_what_is_worked_on_stays_in_a_near_cache():
    scratch = []
    for batch in (64, 512, 4096):
        hidden = {"network": {"hidden": [100]}, "training": {"batch_size": batch}}
        (experiment,) = study(**hidden).experiments
        source = native._source.__wrapped__(
            native.ByText(experiment, "any"), native.lanes_of(experiment), library.target()
        )
        scratch.append(source.scratch - 2 * batch * 16)
    # All but the samples themselves, which are two numbers each.
    assert scratch[2] <= scratch[1] * 1.1
    assert scratch[2] * 4 < 1 << 20


def test_multipliers_of_whole_sums_keep_mini_batches_whole():
    (experiment,) = study(
        network={"hidden": [100], "parametrization": "ntk"}, training={"batch_size": 1024}
    ).experiments
    assert training.rows_of(experiment.network, 1024, Target(64, 32)) == 1024
