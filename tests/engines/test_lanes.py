"""The engines in lanes train as the reference engine does, up to rounding."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim import InputError
from jaxsim.engines.registry import ExecutionConfig, make_engine, unsupported_reason
from jaxsim.launch.simulate import simulate
from jaxsim.optimizer.methods import METHODS
from jaxsim.training import keys
from tests.network.test_activations import NAMES
from tests.studies import all_bits, slow_but, study

RATES = {"sgd": 0.05, "adadelta": 1.0}
CLASSES = {"data": "iris", "loss": "softmax_cross_entropy"}
SCHEDULE = {"schedule": "power", "init_value": 0.1, "exponent": 0.2}


@pytest.fixture(params=["lanes", "native"])
def engine(request):
    """Each engine in lanes; the native one where there is a compiler."""
    return available(request.param)


def available(engine):
    reason = unsupported_reason(engine, study().experiments[0])
    if reason:
        pytest.skip(reason)
    return engine


def for_both(what, cases, with_lanes, with_native=None, name=str):
    """Run some cases with each engine (None for all), in the long suite all with both."""
    marked = []
    for engine, quick in (("native", with_native), ("lanes", with_lanes)):
        for case in cases:
            marks = () if quick is None or case in quick else pytest.mark.slow
            marked.append(pytest.param(engine, case, id=f"{engine}-{name(case)}", marks=marks))
    return pytest.mark.parametrize(("engine", what), marked)


def trained(experiment, config, steps):
    """Return (theta, first bad steps, a certificate's call) after steps in uneven segments."""
    engine = make_engine(experiment, config)
    rate = experiment.optimizer.learning_rate
    rate = jnp.asarray(rate if experiment.optimizer.traced_learning_rate else 0.0, experiment.dtype)
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    shared = engine.shared(keys.root_key(experiment.seed))
    state = engine.init(key, jnp.arange(config.width, dtype=jnp.uint32), rate)
    for first, stop in ((0, 1), (1, steps // 3), (steps // 3, steps)):
        state = engine.advance(state, shared, np.int32(first), np.int32(stop), rate)
    return (
        np.asarray(engine.theta(state)),
        np.asarray(engine.diverged(state)),
        lambda: [np.asarray(c) for c in engine.certificate(state, rate)],
    )


def agree(engine, steps=90, rtol=1e-9, certified=False, **changes):
    (experiment,) = study(precision="float64", steps=steps, **changes).experiments
    theta, bad, certificate = trained(experiment, ExecutionConfig("vmap", 16), steps)
    again, bad_again, certificate_again = trained(experiment, ExecutionConfig(engine, 16, 8), steps)
    scale = np.abs(theta).max()
    np.testing.assert_allclose(again, theta, rtol=rtol, atol=rtol * scale)
    assert np.array_equal(bad, bad_again)
    if certified:
        for one, other in zip(certificate(), certificate_again(), strict=True):
            assert np.array_equal(one, other)


@for_both("name", METHODS, (), ("adadelta",))
def test_all_eleven_optimizers(engine, name):
    available(engine)
    rate = RATES.get(name, 0.02)
    optimizer = {"name": name, "learning_rate": rate}
    agree(engine, optimizer=optimizer, network__hidden=[4, 3])


@for_both("name", METHODS, (), ("adam",))
def test_certificates_of_all_eleven_optimizers(engine, name):
    available(engine)
    optimizer = {"name": name, "learning_rate": RATES.get(name, 0.02)}
    agree(engine, certified=True, optimizer=optimizer, network__hidden=[4, 3])


# A network whose slopes are learned is one of which only the function is known.
KNOWN = [name for name in NAMES if name != "prelu"]


@for_both("name", KNOWN, ("tanh",), ())
def test_all_activations(engine, name):
    available(engine)
    agree(engine, network={"hidden": [4], "activation": name}, steps=40)


RARE = [
    {"problem__loss": {"name": "huber", "delta": 0.1}},
    {"problem__noise": {"law": "normal", "std": 0.1}},
    {"problem": {"data": "breast_cancer", "loss": "logistic"}},
    {"network": {"hidden": [3], "biases": False}},
    {"network": {"hidden": [3], "parametrization": "mean_field"}},
    {"optimizer": {"name": "lion", "learning_rate": 0.01}},
]
CHANGES = [
    {"problem__loss": "absolute"},
    {"problem__loss": {"name": "quantile", "level": 0.3}},
    {"problem__target": ["x", "abs(x)"]},
    {"problem": CLASSES},
    {"network": {"hidden": []}},
    {"network": {"hidden": [3, 3], "parametrization": "ntk"}},
    {"network": {"hidden": [3], "freeze": ["output.weights"]}},
    {
        "optimizer": {
            "name": "sgd",
            "learning_rate": {"schedule": "power", "init_value": 0.1, "exponent": 0.2},
        }
    },
    {"training": {"batch_size": 4, "set": {"size": 12}}},
    {"training": {"batch_size": "full", "set": {"size": 10, "scope": "study"}}},
    {"training": {"batch_size": 5, "set": {"size": 20, "replacement": True}}},
]


COMMON = [CHANGES[5]]


@for_both("changes", RARE + CHANGES, CHANGES[-1:], COMMON, lambda c: str(c)[:60])
def test_problems_networks_and_training_sets(engine, changes):
    available(engine)
    agree(engine, steps=45, **changes)


def test_diverging_members_are_found_at_the_same_step(engine):
    (experiment,) = study(
        precision="float64", steps=400, optimizer={"name": "sgd", "learning_rate": 25.0}
    ).experiments
    theta, bad, _ = trained(experiment, ExecutionConfig("vmap", 16), 400)
    again, bad_again, _ = trained(experiment, ExecutionConfig(engine, 16, 8), 400)
    assert np.unique(bad).size > 2
    assert np.array_equal(bad, bad_again)
    assert np.array_equal(np.isfinite(theta), np.isfinite(again))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["native", "lanes"], indirect=True)
def test_float32_agrees_for_a_few_steps_and_in_distribution(tmp_path, engine):
    execution = {"engine": engine, "width": 16, "lanes": 8}
    one = simulate(study(replicates=320), tmp_path / "vmap")
    two = simulate(study(replicates=320, execution=execution), tmp_path / "lanes")
    a, b = (
        np.concatenate([r.risk for r in results.chunks(results.experiments[0])])
        for results in (one, two)
    )
    np.testing.assert_allclose(b[:, 0], a[:, 0], rtol=1e-13)
    np.testing.assert_allclose(b[:, :3], a[:, :3], rtol=2e-5)
    # Rounding may send a run another way at a kink; nearly all stay together.
    assert (np.abs(b[:, -1] - a[:, -1]) < 1e-3 * a[:, -1]).mean() > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("engine", slow_but(("native",), ("native", "lanes")), indirect=True)
def test_the_width_in_groups_does_not_change_what_a_member_does(tmp_path, engine):
    for name, width in (("narrow", 8), ("wide", 32)):
        execution = {"engine": engine, "width": width, "lanes": 8}
        simulate(study(replicates=40, execution=execution), tmp_path / name)
    assert all_bits(tmp_path / "narrow") == all_bits(tmp_path / "wide")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"optimizer": {"name": "muon", "learning_rate": 0.01}}, "looks at whole layers"),
        ({"training__batch_size": "population"}, "no mini-batch"),
        ({"network__hidden": [100]}, "100 units or samples"),
    ],
)
def test_what_it_cannot_run_is_refused_with_the_reason(changes, reason, tmp_path):
    wrong = study(execution={"engine": "lanes", "width": 16}, **changes)
    with pytest.raises(InputError, match=reason):
        simulate(wrong, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_a_width_that_is_no_multiple_of_the_lanes_is_refused(tmp_path):
    wrong = study(execution={"engine": "lanes", "width": 20, "lanes": 8})
    with pytest.raises(InputError, match=r"execution.width = 20"):
        simulate(wrong, tmp_path / "wrong")
