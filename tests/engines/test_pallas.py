"""The pallas engine trains as the reference engine does (interpreted), and lowers for GPUs."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim import InputError, simulate
from jaxsim.engines.engine import vmap_engine
from jaxsim.engines.pallas.engine import pallas_engine, shape_unsupported_reason
from jaxsim.launch import measure
from jaxsim.optimizer.methods import METHODS
from jaxsim.training import keys
from tests.studies import slow_but, study

RATES = {"sgd": 0.05, "adadelta": 1.0}
MEMBERS = 4


def start(experiment, engine):
    rate = experiment.optimizer.learning_rate
    rate = jnp.asarray(rate if experiment.optimizer.traced_learning_rate else 0.0, experiment.dtype)
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    state = engine.init(key, jnp.arange(MEMBERS, dtype=jnp.uint32), rate)
    return state, engine.shared(keys.root_key(experiment.seed)), rate


def trained(experiment, engine, steps):
    state, shared, rate = start(experiment, engine)
    for first, stop in ((0, 1), (1, steps // 3), (steps // 3, steps)):
        state = engine.advance(state, shared, np.int32(first), np.int32(stop), rate)
    return state


def agree(steps=24, **changes):
    (experiment,) = study(precision="float64", steps=30, **changes).experiments
    assert shape_unsupported_reason(experiment) == ""
    one = trained(experiment, vmap_engine(experiment), steps)
    other = trained(experiment, pallas_engine(experiment, interpret=True), steps)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert a.dtype == b.dtype
        scale = 1e-9 * max(1.0, float(jnp.abs(a).max()))
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=scale)


@pytest.mark.parametrize("name", slow_but((), METHODS))
def test_all_eleven_optimizers(name):
    rate = RATES.get(name, 0.02)
    agree(optimizer={"name": name, "learning_rate": rate}, network__hidden=[5, 3])


CHANGES = [
    {"network": {"hidden": [20, 16], "activation": "sigmoid"}},
    {"network": {"hidden": []}},
    {"network": {"hidden": [3], "biases": False}},
    {"network": {"hidden": [6], "parametrization": "ntk"}},
    {"problem__target": ["x", "abs(x)"]},
    {"problem__loss": {"name": "huber", "delta": 0.1}},
    {"training": {"batch_size": 4, "set": {"size": 12}}},
    {
        "optimizer": {
            "name": "adam",
            "learning_rate": {"schedule": "power", "init_value": 0.1, "exponent": 0.2},
        }
    },
    {
        "problem": {
            "input": {"law": "uniform", "dimension": 5},
            "target": "x1 * x2",
        },
        "network": {"hidden": [17]},
    },
]


@pytest.mark.parametrize("changes", slow_but([CHANGES[-2]], CHANGES), ids=lambda c: str(c)[:60])
def test_shapes_problems_and_schedules(changes):
    agree(**changes)


@pytest.fixture
def a_gpu_on_paper(monkeypatch):
    """Let newer versions of JAX lower for a GPU that is not there; older ones do not ask."""
    try:
        gpu_info = importlib.import_module("jax._src.pallas.triton.gpu_info")
    except ImportError:
        return
    monkeypatch.setattr(gpu_info, "get_device_kind", lambda: "NVIDIA H100 80GB HBM3")


# Newer versions of JAX want another backend of Pallas in the long run.
@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")
@pytest.mark.parametrize("name", slow_but(("adadelta",), METHODS))
def test_it_lowers_for_a_gpu(name, a_gpu_on_paper):
    # Triton's front end runs anywhere; only what it makes needs a GPU.
    table = {"name": name, "learning_rate": 0.02}
    (experiment,) = study(steps=30, optimizer=table, network__hidden=[16, 16]).experiments
    engine = pallas_engine(experiment)
    state, shared, rate = start(experiment, vmap_engine(experiment))
    traced = engine.advance.trace(state, shared, np.int32(0), np.int32(9), rate)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "__gpu$xla.gpu.triton" in text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"optimizer": {"name": "muon", "learning_rate": 0.01}}, "looks at whole layers"),
        ({"network__hidden": [300]}, "300 units"),
        ({"problem": {"data": "iris", "loss": "softmax_cross_entropy"}}, "looks labels up"),
        ({"problem__target": ["x", "x**2", "x**3"]}, "3 outputs are no power of two"),
        ({"network": {"hidden": [3], "freeze": ["output.weights"]}}, "not trained"),
    ],
)
def test_what_no_gpu_could_run(changes, reason):
    (experiment,) = study(**changes).experiments
    assert reason in shape_unsupported_reason(experiment)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="about machines without a GPU")
def test_without_a_gpu_it_is_refused_and_not_chosen(tmp_path):
    asked = study(execution={"engine": "pallas", "width": 16})
    with pytest.raises(InputError, match="a program for GPUs"):
        simulate(asked, tmp_path / "out")
    assert "pallas" not in measure.engines_to_measure(asked.experiments[0])
