"""Functions, flax modules and optax transformations that are passed to a study directly."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxsim
from jaxsim import session
from jaxsim.errors import InputError
from jaxsim.launch.directory import reopen
from jaxsim.study.study import Study
from tests.studies import table

MADE = "def f(x, a={}):\n    return jnp.sin(a * x[:, 0])\n"


def made(a: float) -> Any:
    space: dict[str, Any] = {"jnp": jnp}
    exec(MADE.format(a), space)  # a function typed twice, as in a notebook
    return space["f"]


def shifted(b):
    return lambda x: x + b


def wave(x):
    return jnp.sin(3 * x[:, 0])


def smooth(prediction, y):
    return jnp.sqrt(1 + (prediction[..., 0] - y[..., 0]) ** 2) - 1


class Net(nn.Module):
    width: int = 5

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(jnp.tanh(nn.Dense(self.width)(x)))


def study(**changes):
    """Return the small study with dotted keys (`__` for a dot) changed, objects as they are."""
    base = table()
    for key, value in changes.items():
        *parents, last = key.split("__")
        inner = base
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return Study.from_dict(base)


SHORT = {
    "replicates": 16, "steps": 20, "checkpoints": [1],
    "paired": ["problem", "network", "optimizer", "training"],
}  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A study whose parts are passed directly, and its results."""
    own = study(
        problem__target=lambda x: x[:, 0] ** 2,
        problem__loss=lambda p, y: jnp.sum((p - y) ** 2, -1),
        optimizer=optax.sgd(0.1),
        network__activation=lambda x: jnp.where(x > 0, x, 0.0),
        **SHORT,
    )
    return own, jaxsim.simulate(own, tmp_path_factory.mktemp("passed"))


def test_what_is_passed_trains_as_what_is_named(ran):
    named = jaxsim.simulate(study(optimizer={"name": "sgd", "learning_rate": 0.1}, **SHORT))
    mine, theirs = (np.asarray(r.to_pandas().risk) for r in (ran[1], named))
    np.testing.assert_allclose(mine, theirs, rtol=1e-4)


def test_a_study_says_that_no_file_reproduces_it(ran):
    own, results = ran
    answer = jaxsim.analyse(results, 0.05)
    (said,) = [w for w in answer.warnings if "passed from Python" in w]
    assert "not reproducible from a file" in said
    assert own.session_objects == ["lambda", "lambda", "lambda", "transformation"]


def test_runs_are_resumed_with_the_same_objects_only(ran, monkeypatch):
    own, results = ran
    directory = results.store.directory
    assert jaxsim.simulate(own, directory).complete
    assert reopen(directory).study.experiments[0].id == own.experiments[0].id
    another = study(problem__target=lambda x: x[:, 0] ** 2, **SHORT)
    with pytest.raises(InputError, match="holds another study"):
        jaxsim.simulate(another, directory)
    monkeypatch.setattr(session, "_OBJECTS", {})  # as in another process
    with pytest.raises(InputError, match="was passed to a study in another session"):
        reopen(directory)


def test_workers_are_refused_what_they_cannot_know(ran):
    with pytest.raises(InputError, match=r"workers = 2 is not accepted.*transformation"):
        jaxsim.simulate(ran[0], workers=2)


def test_a_function_typed_again_draws_the_same_numbers_and_has_files_of_its_own():
    first, second, other = (study(problem__target=made(a)) for a in (3.0, 3.0, 4.0))
    one, two, three = (s.experiments[0] for s in (first, second, other))
    assert one.key_words == two.key_words
    assert one.key_words != three.key_words
    assert len({e.id for e in (one, two, three)}) == 3
    assert len({e.training_key for e in (one, two, three)}) == 3


def test_fingerprints_see_what_objects_are_made_of():
    f = session.fingerprint
    assert f(optax.adam(0.1)) == f(optax.adam(0.1)) != f(optax.adam(0.2))
    assert f(Net(3)) == f(Net(3)) != f(Net(4))
    assert f(made(1.0)) == f(made(1.0)) != f(made(2.0))
    a = np.arange(3.0)
    closures = [shifted(b) for b in (a, a.copy(), a + 1)]
    assert f(closures[0]) == f(closures[1]) != f(closures[2])
    assert f(jax.jit(made(1.0))) == f(jax.jit(made(1.0))) != f(jax.jit(made(2.0)))


def test_activations_that_are_known_keep_what_is_known_of_them():
    one = study(network__activation=jax.nn.relu)
    assert one.session_objects == []
    assert one.experiments[0].network.activation == study().experiments[0].network.activation


def test_grids_of_objects_have_labels_that_tell_them_apart():
    grid = {"optimizer": [optax.sgd(0.1), optax.sgd(0.2), {"name": "sgd", "learning_rate": 0.1}]}
    labels = [e.label for e in study(grid=grid).experiments]
    assert labels == ["transformation", "transformation (2)", "sgd"]
    named = {"optimizer": [{"name": optax.sgd(0.1), "label": "mine"}, optax.sgd(0.2)]}
    assert [e.label for e in study(grid=named).experiments] == ["mine", "transformation"]
    functions = {"network.activation": [jnp.tanh, wave_like, lambda x: x**3]}
    assert [e.label for e in study(grid=functions).experiments] == ["tanh", "wave_like", "lambda"]


def wave_like(x):
    return jnp.sin(x)


def test_a_flax_module_stands_for_the_network():
    made_by = Study.from_dict({**table(), "network": Net(7)})
    assert made_by.experiments[0].network.size == 22
    assert made_by.experiments[0].network.module == Net(7)
    (other,) = made_by.replaced(network=Net(8)).experiments
    assert other.network.size == 25


def test_nothing_is_claimed_of_a_transformation():
    (e,) = study(optimizer=optax.adam(0.01)).experiments
    method = e.optimizer
    claims = method.keeps_inactive, method.forgets, method.coordinatewise, method.non_increasing
    assert claims == (False,) * 4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"optimizer": optax.adam}, r"is a function; accepted: an optax transformation"),
        ({"optimizer": optax.add_noise(0.1, 0.1, 0)}, "its state holds a random key"),
        ({"steps": wave}, r"steps = <function wave.* as problem.target or problem.loss"),
        ({"network__hidden": Net()}, "is a flax module, which is not accepted here"),
        (
            {"optimizer": {"name": optax.adam(0.1), "learning_rate": 0.1}},
            "learning_rate = 0.1 is not accepted beside an optax transformation",
        ),
        ({"optimizer": optax.multi_transform({}, {"x": "a"})}, "cannot be applied to the network"),
        (
            {"problem__target": {"function": "python:wave@00000000-1"}},
            r"problem.target.function|function = 'python:wave.* in another session",
        ),
        ({"problem__target": lambda x: x[0, 0, 0]}, "problem.target.function"),
        ({"problem__loss": lambda p, y: p}, "maps predictions of shape"),
    ],
)
def test_objects_without_a_place_or_a_meaning_are_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        study(**changes)
