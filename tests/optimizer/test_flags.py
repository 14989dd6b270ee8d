"""What is said of an optimizer, measured: flags, dtypes, definitions and hyperparameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsim.errors import InputError
from jaxsim.optimizer import optimizer
from jaxsim.optimizer.methods import METHODS, VARIANTS, Method
from jaxsim.optimizer.others import hyperparameters, others
from jaxsim.optimizer.zero_gradients import zero_gradient_response
from tests.studies import slow_but

POWER = {"schedule": "power", "init_value": 0.1, "exponent": 0.5}
WARM = {"schedule": "warmup_constant", "init_value": 0.0, "peak_value": 0.1, "warmup_steps": 3}


# Without any gradient at all these divide by 0, at their own defaults.
DIVIDING = ("dadapt_adamw", "prodigy")


def other(name, **more):
    required = {k: 0.5 for k, p in hyperparameters(name).items() if p.default is p.empty}
    return optimizer({"name": name, "learning_rate": 0.1, **required, **more})


KEEPERS = [n for n in others() if other(n).keeps_inactive]


@pytest.mark.parametrize("name", slow_but([*KEEPERS[::3], "adamw"], others()))
def test_inactive_neurons_stay_where_an_optimizer_says_so(name):
    response = zero_gradient_response(other(name).make)
    assert response.defined or name in DIVIDING
    assert response.keeps or not other(name).keeps_inactive


@pytest.mark.slow
@pytest.mark.parametrize("name", others())
def test_inactive_neurons_stay_in_float64_too(name):
    response = zero_gradient_response(other(name).make, "float64")
    assert response.defined or name in DIVIDING
    assert response.keeps or not other(name).keeps_inactive


@pytest.mark.slow
@pytest.mark.parametrize("name", others())
@pytest.mark.parametrize("widths", [(1, 4, 1), (7, 3, 5), (5, 160, 140)])
def test_inactive_neurons_stay_in_networks_of_other_shapes(name, widths):
    if other(name).keeps_inactive:
        assert zero_gradient_response(other(name).make, widths=widths).keeps


# Not madgrad: whether its rounding moves a parameter depends on the version of the compiler.
@pytest.mark.parametrize("name", ["galore", "dadapt_adamw", "prodigy", "adamw", "yogi"])
def test_movement_without_gradients_is_noticed(name):
    assert not zero_gradient_response(other(name).make).keeps
    assert not other(name).keeps_inactive


def test_hyperparameters_can_cost_the_claim_but_not_earn_it():
    assert other("adan").keeps_inactive
    assert not other("adan", weight_decay=0.1).keeps_inactive
    # Without weight decay it would keep them; that is not claimed, for it is not listed.
    assert not other("adamw", weight_decay=0.0).keeps_inactive


EXTREMES = [
    *({"name": "momentum", "variant": v, "decay": 0.9999} for v in VARIANTS["momentum"]),
    {"name": "adagrad", "variant": "paper", "initial_accumulator": 0.0, "eps": 0.0},
    {"name": "adagrad", "initial_accumulator": 0.0, "eps": 1.2e-38},
    {"name": "rmsprop", "eps": 1.2e-38, "centered": True, "momentum": 0.9},
    {"name": "rmsprop", "variant": "paper", "eps": 1.2e-38, "bias_correction": True},
    {"name": "adadelta", "rho": 0.0, "eps": 1.2e-38},
    *(
        {"name": n, "variant": v, "eps": 1.2e-38, "b1": b1, "b2": b2}
        for n in ("adam", "adamax", "nadam", "nadamax", "amsgrad")
        for v in VARIANTS[n]
        for b1, b2 in ((0.0, 0.0), (0.9999, 1 - 1e-15))
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("table", EXTREMES, ids=str)
def test_the_eleven_keep_inactive_neurons_at_extreme_hyperparameters(table, precision):
    made = optimizer({"learning_rate": 0.1, **table}, precision=precision)
    assert made.keeps_inactive
    assert zero_gradient_response(made.make, precision) == (True, True)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"name": "adamw", "eps": 1e-45}, "optimizer.eps = 1e-45 is not accepted: in float32"),
        ({"name": "radam", "eps": 1e-45}, "accepted: at least 1.2e-38"),
        ({"name": "nadamw", "eps": 0.0}, "optimizer.eps = 0.0 is not accepted"),
        pytest.param({"name": "adamaxw", "eps": 1e-40}, "optimizer.eps", marks=pytest.mark.slow),
        pytest.param({"name": "lamb", "eps": 1e-50}, "optimizer.eps", marks=pytest.mark.slow),
        pytest.param({"name": "ademamix", "eps": 0.0}, "optimizer.eps", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_an_eps_that_makes_0_by_0_of_inactive_neurons_is_refused(table, sentence):
    with pytest.raises(InputError) as error:
        optimizer({"learning_rate": 0.01, **table})
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_what_float64_can_represent_is_accepted_there():
    table = {"name": "adamw", "learning_rate": 0.01, "eps": 1e-45}
    assert optimizer(table, precision="float64").hyperparameters["eps"] == 1e-45
    with pytest.raises(
        InputError, match=r"eps = 0.0 .* in float64 .*; accepted: 1e-08, the default"
    ):
        optimizer(table | {"eps": 0.0}, precision="float64")


def test_a_method_that_divides_by_0_at_its_defaults_is_no_fault_of_the_given():
    table = {"name": "prodigy", "learning_rate": 0.1, "weight_decay": 0.1}
    assert not optimizer(table, precision="float64").keeps_inactive


def test_a_study_is_refused_in_the_precision_of_its_training():
    from tests.studies import study

    table = {"name": "adamw", "learning_rate": 0.01, "eps": 1e-45}
    with pytest.raises(InputError, match=r"optimizer\.eps = 1e-45"):
        study(optimizer=table).experiments  # noqa: B018
    assert study(optimizer=table, precision="float64").experiments


def test_a_new_method_takes_a_line_in_the_registry_and_false_claims_are_found(monkeypatch):
    def decaying(rate: float = 0.01) -> Method:
        make = lambda lr: optax.adamw(lr, weight_decay=rate)  # noqa: E731
        return Method(make, "d_t = Adam + rate theta", {"rate": rate}, True, True)

    def damped(factor: float = 0.5) -> Method:
        make = lambda lr: optax.chain(optax.scale(factor), optax.sgd(lr))  # noqa: E731
        return Method(make, "d_t = factor g_t", {"factor": factor}, True, True)

    monkeypatch.setitem(METHODS, "decaying", decaying)
    monkeypatch.setitem(METHODS, "damped", damped)
    assert not optimizer({"name": "decaying", "learning_rate": 0.1}).keeps_inactive
    made = optimizer({"name": "damped", "learning_rate": 0.1, "factor": 0.25})
    assert made.keeps_inactive
    assert made.hyperparameters == {"factor": 0.25}
    with pytest.raises(InputError, match=r"optimizer.factr is not a parameter of 'damped'"):
        optimizer({"name": "damped", "learning_rate": 0.1, "factr": 0.25})
    # Nothing is claimed by default.
    assert not any(Method(optax.sgd, "", {})[3:])


@pytest.mark.parametrize("name", ["lars", "lamb", "sm3", "adafactor", "muon", "novograd", "dog"])
def test_methods_that_look_at_whole_leaves_are_not_called_componentwise(name):
    assert not other(name).coordinatewise


def run(made, rate, theta, steps=6):
    transformation = made.make(rate)

    def step(carry, _):
        theta, state = carry
        moved, state = transformation.update(jax.tree.map(jnp.sin, theta), state, theta)
        assert jax.tree.map(jnp.dtype, moved) == jax.tree.map(jnp.dtype, theta)
        return (optax.apply_updates(theta, moved), state), None

    return jax.lax.scan(step, (theta, transformation.init(theta)), None, length=steps)[0][0]


THETA = {"w": jnp.linspace(-1, 1, 6, dtype=jnp.float32).reshape(2, 3), "b": jnp.ones(3, "f4")}


@pytest.mark.parametrize("name", [*METHODS, *others()])
def test_float32_stays_float32_with_numbers_schedules_and_traced_rates(name):
    made = optimizer({"name": name, "learning_rate": 0.1, **_required(name)})
    rates = [(made, lambda rate: 0.1), (made, lambda rate: rate)]
    for schedule in (POWER, WARM):
        try:
            made = optimizer({"name": name, "learning_rate": schedule, **_required(name)})
            rates.append((made, lambda rate, fixed=made.learning_rate: fixed))
        except InputError:
            assert name in ("rprop", "sm3")
    for made, rate in rates:
        end = jax.eval_shape(
            lambda r, t, made=made, rate=rate: run(made, rate(r), t), jnp.float32(0.1), THETA
        )
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(end))


@pytest.mark.slow
@pytest.mark.parametrize("name", others())
def test_a_traced_rate_gives_the_trajectory_of_the_number(name):
    made = other(name)
    number = jax.jit(lambda t: run(made, 0.1, t))(THETA)
    traced = jax.jit(lambda r, t: run(made, r, t))(jnp.float32(0.1), THETA)
    for a, b in zip(jax.tree.leaves(number), jax.tree.leaves(traced), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def _required(name):
    if name in METHODS:
        return {}
    return {k: 0.5 for k, p in hyperparameters(name).items() if p.default is p.empty}


def test_hyperparameters_are_reported_with_the_variants_defaults():
    keras = optimizer({"name": "adam", "variant": "keras", "learning_rate": 0.1, "b1": 0.8})
    assert keras.hyperparameters == {"b1": 0.8, "b2": 0.999, "eps": 1e-7}
    assert other("lion", b1=0.5).hyperparameters == {"b1": 0.5, "b2": 0.99, "weight_decay": 1e-3}
    hash(keras)


def test_definitions_tell_apart_variants_that_differ_in_form():
    def definition(name, variant):
        made = optimizer({"name": name, "variant": variant, "learning_rate": 0.1})
        return made.definition

    for name in METHODS:
        for variant in VARIANTS[name]:
            text = definition(name, variant)
            assert "d_t" in text
            assert "\n" not in text
    for name, a, b in [
        ("momentum", "optax", "paper"),
        ("nesterov", "optax", "paper"),
        ("adagrad", "optax", "pytorch"),
        ("rmsprop", "optax", "pytorch"),
        ("adam", "optax", "keras"),
        ("adamax", "optax", "paper"),
        ("nadam", "optax", "pytorch"),
        ("nadamax", "optax", "paper"),
        ("amsgrad", "optax", "pytorch"),
        ("amsgrad", "optax", "paper"),
        ("amsgrad", "pytorch", "keras"),
    ]:
        assert definition(name, a) != definition(name, b)


def rmsprop_path(gradients, **table):
    made = optimizer({"name": "rmsprop", "learning_rate": 0.01, **table})
    transformation = made.make(0.01)
    theta = jnp.zeros(gradients.shape[1])
    state = transformation.init(theta)
    for g in gradients:
        moved, state = transformation.update(jnp.asarray(g), state, theta)
        theta = theta + moved
    return np.asarray(theta)


GRADIENTS = np.random.default_rng(3).normal(size=(60, 5)) * [1.0, 1e-3, 1e-6, 10.0, 0.0]


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"centered": True}])
def test_rmsprop_options_agree_with_pytorch(options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theta = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    made = torch.optim.RMSprop([theta], lr=0.01, **options)
    for g in GRADIENTS:
        theta.grad = torch.tensor(g)
        made.step()
    found = rmsprop_path(GRADIENTS, variant="pytorch", **options)
    np.testing.assert_allclose(found, theta.detach().numpy(), rtol=1e-10, atol=1e-15)


def test_bias_adjusted_rmsprop_of_the_book_adds_eps_outside_the_root():
    """The book's rmsprop_bias_adj.py: lr g / (eps + sqrt(v / (1 - decay^n))), eps = 1e-10."""
    v, theta = np.zeros(5), np.zeros(5)
    for n, g in enumerate(GRADIENTS, start=1):
        v = 0.9 * v + 0.1 * g * g
        theta = theta - 0.01 * g / (1e-10 + np.sqrt(v / (1 - 0.9**n)))
    found = rmsprop_path(GRADIENTS, variant="paper", bias_correction=True)
    np.testing.assert_allclose(found, theta, rtol=1e-10, atol=1e-15)
