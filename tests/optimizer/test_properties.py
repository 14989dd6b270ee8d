"""Properties that every optimizer must have, from the registries."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsim.errors import InputError
from jaxsim.optimizer import optimizer
from jaxsim.optimizer.methods import METHODS, VARIANTS
from jaxsim.optimizer.others import REFUSED, hyperparameters, others
from jaxsim.optimizer.schedules import SCHEDULES
from tests.studies import slow_but

ELEVEN = [(n, v) for n in METHODS for v in VARIANTS[n]]
RATES = {"adadelta": 10.0, "cocob": 1.0, "dog": 1.0, "dowg": 1.0, "fromage": 0.05, "rprop": 0.01}


def table(name, **more):
    required = {}
    if name in others():
        required = {k: 0.5 for k, p in hyperparameters(name).items() if p.default is p.empty}
    return {"name": name, "learning_rate": RATES.get(name, 0.1), **required, **more}


SPECS = [table(n, variant=v) for n, v in ELEVEN]
DEFAULTS = [table(n, variant=VARIANTS[n][0]) for n in METHODS]


def called(spec):
    return f"{spec['name']}-{spec.get('variant', '')}"


@pytest.mark.parametrize(
    "spec", slow_but(DEFAULTS, SPECS) + [table(n) for n in others()], ids=called
)
def test_descends_on_a_quadratic(spec):
    made = optimizer(spec)
    transformation = made.make(made.learning_rate)
    start = {"w": jnp.array([[1.0, -0.5], [0.3, 0.8]])}

    def step(carry, _):
        theta, state = carry
        gradient = jax.tree.map(lambda p: p * jnp.array([1.0, 4.0]), theta)
        moved, state = transformation.update(gradient, state, theta)
        return (optax.apply_updates(theta, moved), state), None

    (end, _), _ = jax.jit(
        lambda s: jax.lax.scan(step, (s, transformation.init(s)), None, length=300)
    )(start)

    def risk(theta):
        return float((theta["w"] ** 2 * jnp.array([1.0, 4.0])).sum())

    assert risk(end) < 0.9 * risk(start)


@pytest.mark.parametrize(("name", "variant"), ELEVEN)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_keeps_dtypes_with_a_traced_learning_rate(name, variant, dtype):
    made = optimizer(table(name, variant=variant))

    def once(rate, theta):
        transformation = made.make(rate)
        state = transformation.init(theta)
        moved, after = transformation.update(theta, state, theta)
        assert jax.tree.map(jnp.dtype, state) == jax.tree.map(jnp.dtype, after)
        return moved

    assert jax.eval_shape(once, jnp.asarray(0.1, dtype), jnp.ones(3, dtype)).dtype == dtype


@pytest.mark.parametrize("spec", slow_but(DEFAULTS, SPECS), ids=called)
def test_one_program_serves_all_learning_rates(spec):
    made = optimizer(spec)
    traces = []

    def run(rate, theta):
        traces.append(rate)
        transformation = made.make(rate)

        def step(carry, _):
            theta, state = carry
            moved, state = transformation.update(jnp.sin(theta), state, theta)
            return (theta + moved, state), None

        return jax.lax.scan(step, (theta, transformation.init(theta)), None, length=20)[0][0]

    compiled = jax.jit(run)
    theta = jnp.linspace(-1, 1, 5)
    found = [compiled(jnp.asarray(r), theta) for r in (0.1, 0.02)]
    assert len(traces) == 1
    fixed = jax.jit(lambda t: [run(rate, t) for rate in (0.1, 0.02)])(theta)
    np.testing.assert_allclose(found, fixed, rtol=1e-12)


@pytest.mark.parametrize(("name", "variant"), ELEVEN)
@pytest.mark.parametrize("dtype", slow_but([np.float32], [np.float32, np.float64]))
def test_parameters_without_gradients_stay_bitwise_for_ten_thousand_steps(name, variant, dtype):
    made = optimizer(table(name, variant=variant))
    rng = np.random.default_rng(0)
    start = np.concatenate([rng.normal(size=40), [0.0, -0.0, 1e-30, 1e30]]).astype(dtype)
    silent = np.arange(start.size) % 2 == 1
    transformation = made.make(jnp.asarray(made.learning_rate, dtype))

    def step(n, carry):
        theta, state = carry
        gradient = jnp.where(silent, 0, jnp.cos(theta + n.astype(dtype))).astype(dtype)
        moved, state = transformation.update(gradient, state, theta)
        return theta + moved, state

    end, _ = jax.jit(lambda s: jax.lax.fori_loop(0, 10_000, step, (s, transformation.init(s))))(
        jnp.asarray(start)
    )
    end = np.asarray(end)
    # -0.0 + 0.0 is 0.0: equal numbers, and no activation can tell them apart.
    np.testing.assert_array_equal(end[silent], start[silent])
    ordinary = ~silent & (np.abs(start) < 1e6) & (np.abs(start) > 1e-6)
    assert (end[ordinary] != start[ordinary]).all()
    assert np.isfinite(end).all()


def test_every_optimizer_has_one_name_and_its_claims():
    names = [*METHODS, *others()]
    assert len(set(names)) == len(names)
    flags = {name: optimizer(table(name)).keeps_inactive for name in names}
    assert all(flags[n] for n in METHODS)
    assert not any(flags[n] for n in ("adamw", "lion", "yogi", "fromage"))


def test_weight_decay_changes_the_answer_for_one_method():
    assert optimizer(table("adan")).keeps_inactive
    assert not optimizer(table("adan", weight_decay=0.1)).keeps_inactive


def _five_steps(transformation, theta):
    def step(_, carry):
        theta, state = carry
        moved, state = transformation.update(jax.tree.map(jnp.sin, theta), state, theta)
        return optax.apply_updates(theta, moved), state

    return jax.lax.fori_loop(0, 5, step, (theta, transformation.init(theta)))[0]


COMPONENTWISE = [n for n in (*METHODS, *others()) if optimizer(table(n)).coordinatewise]
OFTEN = (*METHODS, "adamw", "lion", "yogi")


@pytest.mark.parametrize("name", slow_but(OFTEN, COMPONENTWISE))
def test_flat_vector_and_tree_agree_for_componentwise_methods(name):
    made = optimizer(table(name))
    tree = {"a": np.linspace(-1, 1, 6).reshape(2, 3), "b": np.array([0.3, -2.0])}
    flat = np.concatenate([tree["a"].ravel(), tree["b"]])
    both = jax.jit(lambda *of: [_five_steps(made.make(0.1), t) for t in of])
    one, other = both(tree, flat)
    one = np.concatenate([np.ravel(v) for v in jax.tree.leaves(one)])
    np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("spec", "formula"),
    [
        ({"schedule": "constant", "value": 0.3}, lambda n: 0.3),
        (
            {"schedule": "cosine_decay", "init_value": 0.2, "decay_steps": 50, "alpha": 0.1},
            lambda n: 0.2 * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * min(n, 50) / 50))),
        ),
        (
            {
                "schedule": "exponential_decay",
                "init_value": 0.2,
                "transition_steps": 10,
                "decay_rate": 0.5,
                "staircase": True,
            },
            lambda n: 0.2 * 0.5 ** (n // 10),
        ),
        (
            {"schedule": "linear", "init_value": 1.0, "end_value": 0.0, "transition_steps": 80},
            lambda n: max(0.0, 1 - n / 80),
        ),
        (
            {"schedule": "power", "init_value": 0.5, "exponent": 0.6},
            lambda n: 0.5 * (n + 1) ** -0.6,
        ),
        (
            {
                "schedule": "piecewise_constant",
                "init_value": 1.0,
                "boundaries": [10, 20],
                "scales": [0.1, 0.5],
            },
            lambda n: 1.0 if n < 10 else 0.1 if n < 20 else 0.05,
        ),
    ],
    ids=lambda s: s.get("schedule", "") if isinstance(s, dict) else "",
)
def test_schedules_follow_their_formulas(spec, formula):
    made = optimizer({"name": "sgd", "learning_rate": spec})
    assert made.learning_rate.non_increasing
    transformation = made.make(made.learning_rate)
    theta = jnp.zeros(1)
    state = transformation.init(theta)
    for n in range(100):
        moved, state = transformation.update(jnp.ones(1), state, theta)
        assert -float(moved[0]) == pytest.approx(formula(n), rel=1e-6, abs=1e-9)


def test_non_increasing_is_never_claimed_wrongly():
    n = np.arange(300)
    examples = {
        "constant": {"value": 0.1},
        "cosine_decay": {"init_value": 0.1, "decay_steps": 100},
        "exponential_decay": {"init_value": 0.1, "transition_steps": 9, "decay_rate": 1.1},
        "polynomial": {"init_value": 0.1, "end_value": 0.2, "power": 2.0, "transition_steps": 9},
        "linear": {"init_value": 0.1, "end_value": 0.01, "transition_steps": 50},
        "piecewise_constant": {"init_value": 0.1, "boundaries": [5], "scales": [2.0]},
        "power": {"init_value": 0.1, "exponent": 0.5},
        "warmup_cosine_decay": {
            "init_value": 0.0, "peak_value": 0.1, "warmup_steps": 9, "decay_steps": 99,
        },
        "warmup_exponential_decay": {
            "init_value": 0.0, "peak_value": 0.1, "warmup_steps": 9, "transition_steps": 5,
            "decay_rate": 0.9,
        },
        "warmup_constant": {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 9},
        "cosine_onecycle": {"transition_steps": 100, "peak_value": 0.1},
        "linear_onecycle": {"transition_steps": 100, "peak_value": 0.1},
        "piecewise_interpolate": {
            "interpolate_type": "cosine", "init_value": 0.1, "boundaries": [5, 9],
            "scales": [2.0, 0.1],
        },
        "sgdr": {"peak_values": [0.1, 0.05], "warmup_steps": [2, 3], "decay_steps": [20, 30]},
    }  # fmt: skip
    assert set(examples) == set(SCHEDULES)
    for name, parameters in examples.items():
        made = optimizer({"name": "sgd", "learning_rate": {"schedule": name, **parameters}})
        values = np.asarray(jax.jit(jax.vmap(made.learning_rate))(n))
        grows = (np.diff(values) > 1e-9).any()
        assert made.non_increasing == (not grows), name


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"learning_rate": 0.1}, "optimizer.name is missing"),
        ({"name": "adam"}, "optimizer.learning_rate is missing; it is required"),
        ({"name": "adadelta"}, "optimizer.learning_rate is missing; it is required"),
        ({"name": "adm", "learning_rate": 0.1}, "optimizer.name = 'adm' is not known (did you"),
        ({"name": 3, "learning_rate": 0.1}, "optimizer.name = 3 is not known"),
        ({"name": ["adam"], "learning_rate": 0.1}, "optimizer.name = ['adam'] is not known"),
        ("adam", "optimizer = 'adam' is not accepted: it should be a table such as"),
        ({"name": "adam", "learning_rate": 10**400}, "should be positive and finite"),
        ({"name": "adam", "learning_rate": 1e-60}, "should be positive and finite"),
        ({"name": "adam", "learning_rate": 0.1, "eps": 1e-60}, "eps = 1e-60 is not accepted"),
        ({"name": "lion", "learning_rate": 0.1, "variant": "keras"}, "'lion' has only 'optax'"),
        ({"name": "adamw", "learning_rate": 0.1, "b1": 5.0}, "b1 = 5.0 is not accepted"),
        ({"name": "lamb", "learning_rate": 0.1, "eps": -1.0}, "eps = -1.0 is not accepted"),
        (
            {"name": "adamw", "learning_rate": 0.1, "weight_decay": float("nan")},
            "weight_decay = nan is not accepted: it should be a finite number",
        ),
        ({"name": "muon", "learning_rate": 0.1, "ns_steps": 2.5}, "should be an integer"),
        ({"name": "prodigy", "learning_rate": 1.0, "betas": [0.9, "x"]}, "should be a list like"),
        ({"name": "muon", "learning_rate": 0.1, "preconditioning": "x"}, "name = 'muon' cannot be"),
        (
            {"name": "rprop", "learning_rate": {"schedule": "constant", "value": 0.1}},
            "optimizer.learning_rate: 'rprop' takes a number only, not a schedule",
        ),
        (
            {
                "name": "sgd",
                "learning_rate": {
                    "schedule": "cosine_onecycle",
                    "transition_steps": 2,
                    "peak_value": 0.1,
                },
            },
            "leaves a phase without a step",
        ),
        ({"name": "adam", "learning_rate": -0.1}, "learning_rate = -0.1 is not accepted"),
        ({"name": "adam", "learning_rate": float("inf")}, "should be positive and finite"),
        ({"name": "adam", "learning_rate": "fast"}, "learning_rate = 'fast' is not accepted"),
        ({"name": "adam", "learning_rate": True}, "learning_rate = True is not accepted"),
        ({"name": "adam", "learning_rate": 0.1, "b3": 1}, "optimizer.b3 is not a parameter"),
        ({"name": "adam", "learning_rate": 0.1, "b1": 1.0}, "b1 = 1.0 is not accepted"),
        ({"name": "adam", "learning_rate": 0.1, "b1": "x"}, "optimizer.b1 = 'x'"),
        ({"name": "adam", "learning_rate": 0.1, "eps": 0.0}, "eps = 0.0 is not accepted"),
        ({"name": "adam", "learning_rate": 0.1, "variant": "tf"}, "optimizer.variant = 'tf'"),
        ({"name": "nadamax", "learning_rate": 0.1, "variant": "keras"}, "variant = 'keras'"),
        ({"name": "nadam", "learning_rate": 0.1, "momentum_decay": 1.0}, "momentum_decay"),
        ({"name": "lion", "learning_rate": 0.1, "b1": "x"}, "optimizer.b1 = 'x'"),
        ({"name": "lion", "learning_rate": 0.1, "b7": 1}, "optimizer.b7 = 1 is not a hyperparam"),
        ({"name": "lbfgs", "learning_rate": 0.1}, "optimizer.name = 'lbfgs' cannot be used"),
        (
            {"name": "sgd", "learning_rate": {"schedule": "cosine_deca"}},
            "did you mean 'cosine_decay'",
        ),
        ({"name": "sgd", "learning_rate": {"value": 1.0}}, "lacks 'schedule'"),
        ({"name": "sgd", "learning_rate": {"schedule": "constant"}}, "value is missing"),
        (
            {"name": "sgd", "learning_rate": {"schedule": "constant", "value": -1.0}},
            "optimizer.learning_rate.value = -1.0",
        ),
        (
            {
                "name": "sgd",
                "learning_rate": {
                    "schedule": "piecewise_constant",
                    "init_value": 1.0,
                    "boundaries": [5, 3],
                    "scales": [1.0, 1.0],
                },
            },
            "should increase",
        ),
    ],
)
def test_bad_tables_get_one_sentence(spec, sentence):
    with pytest.raises(InputError) as error:
        optimizer(spec)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_every_refused_optimizer_says_why():
    for name in REFUSED:
        with pytest.raises(InputError, match="cannot be used: "):
            optimizer({"name": name, "learning_rate": 0.1})
