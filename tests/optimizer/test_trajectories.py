"""Every method in every variant against an independent reference, in float64, over 240 steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsim.optimizer import optimizer
from jaxsim.optimizer.methods import METHODS, VARIANTS
from tests.optimizer import references as ref

STEPS = 240
# Components: ordinary, tiny, very tiny, always zero, zero at first, zero from some step on, huge.
START = np.array([1.0, -0.7, 0.4, 0.3, -0.2, 0.9, -1.3])


def scripted(theta, t):
    """Gradients that do not depend on theta, with every scale and exact zeros."""
    wave = np.sin(0.7 * t + np.arange(7.0)) + 0.3 * np.cos(0.11 * t * t)
    scale = np.array([1.0, 1e-6, 1e-12, 0.0, float(t > 20), float(t < 30), 1e3])
    return wave * scale


def rosenbrock(theta, t):
    """The gradient of a coupled, badly conditioned function, at theta."""
    x, y = theta[:-1], theta[1:]
    g = np.zeros_like(theta)
    g[:-1] += -4 * x * (y - x**2) - 2 * (1 - x)
    g[1:] += 2 * (y - x**2)
    return 0.1 * g


def ours(name, variant, gradient, lr, **hyper):
    made = optimizer({"name": name, "variant": variant, "learning_rate": lr, **hyper})
    transformation = made.make(lr)
    theta = jnp.asarray(START)
    state = transformation.init(theta)
    update = jax.jit(transformation.update)
    path = [np.asarray(theta)]
    for t in range(1, STEPS + 1):
        g = jnp.asarray(gradient(np.asarray(theta), t))
        moved, state = update(g, state, theta)
        theta = optax.apply_updates(theta, moved)
        path.append(np.asarray(theta))
    return np.array(path)


def by_torch(name, gradient, lr):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    # NAdam keeps a product of scalars in the default dtype, which would be float32.
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        theta = torch.tensor(START, requires_grad=True)
        made = {
            "sgd": lambda p: torch.optim.SGD(p, lr=lr),
            "momentum": lambda p: torch.optim.SGD(p, lr=lr, momentum=0.9),
            "nesterov": lambda p: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
            "adagrad": lambda p: torch.optim.Adagrad(p, lr=lr),
            "rmsprop": lambda p: torch.optim.RMSprop(p, lr=lr),
            "adadelta": lambda p: torch.optim.Adadelta(p, lr=lr),
            "adam": lambda p: torch.optim.Adam(p, lr=lr),
            "adamax": lambda p: torch.optim.Adamax(p, lr=lr),
            "nadam": lambda p: torch.optim.NAdam(p, lr=lr),
            "amsgrad": lambda p: torch.optim.Adam(p, lr=lr, amsgrad=True),
        }[name]([theta])
        path = [theta.detach().numpy().copy()]
        for t in range(1, STEPS + 1):
            theta.grad = torch.tensor(gradient(theta.detach().numpy(), t))
            made.step()
            path.append(theta.detach().numpy().copy())
        return np.array(path)
    finally:
        torch.set_default_dtype(usual)


REFERENCES = {
    ("sgd", "optax"): ref.sgd,
    ("sgd", "keras"): ref.sgd,
    ("sgd", "paper"): ref.sgd,
    ("momentum", "optax"): ref.keras_momentum,
    ("momentum", "keras"): ref.keras_momentum,
    ("momentum", "paper"): ref.book_momentum,
    ("nesterov", "optax"): lambda *a: ref.keras_momentum(*a, nesterov=True),
    ("nesterov", "keras"): lambda *a: ref.keras_momentum(*a, nesterov=True),
    ("nesterov", "paper"): ref.book_nesterov,
    ("adagrad", "optax"): ref.keras_adagrad,
    ("adagrad", "keras"): ref.keras_adagrad,
    ("adagrad", "paper"): ref.book_adagrad,
    ("rmsprop", "optax"): ref.inner_rmsprop,
    ("rmsprop", "keras"): lambda *a: ref.inner_rmsprop(*a, eps=1e-7),
    ("rmsprop", "paper"): lambda *a: ref.inner_rmsprop(*a, eps=1e-10),
    ("adadelta", "optax"): ref.adadelta,
    ("adadelta", "keras"): lambda *a: ref.adadelta(*a, rho=0.95, eps=1e-7),
    ("adadelta", "paper"): lambda *a: ref.adadelta(*a, eps=1e-10),
    ("adam", "optax"): ref.adam,
    ("adam", "keras"): ref.keras_adam,
    ("adam", "paper"): ref.adam,
    ("adamax", "optax"): ref.inner_adamax,
    ("adamax", "keras"): lambda *a: ref.outer_adamax(*a, eps=1e-7),
    ("adamax", "paper"): ref.outer_adamax,
    ("nadam", "optax"): ref.dozat_nadam,
    ("nadam", "keras"): ref.keras_nadam,
    ("nadam", "paper"): ref.dozat_nadam,
    ("nadamax", "optax"): ref.nadamax,
    ("nadamax", "paper"): lambda *a: ref.nadamax(*a, inner=False, eps=0.0),
    ("amsgrad", "optax"): ref.corrected_amsgrad,
    ("amsgrad", "keras"): lambda *a: ref.keras_adam(*a, amsgrad=True),
    ("amsgrad", "paper"): ref.reddi_amsgrad,
}


def test_every_method_and_variant_has_a_reference():
    wanted = {(n, v) for n in METHODS for v in VARIANTS[n] if v != "pytorch"}
    assert set(REFERENCES) == wanted


def agree(path, expected):
    # Accumulated rounding of 240 steps; the components' scales differ by fifteen orders.
    moved = np.abs(expected - START).max(0)
    assert (np.abs(path - expected) <= 1e-10 * moved + 4e-15).all()


# With feedback the rate stays small: near a minimum the normalized methods bounce, and bouncing
# amplifies rounding errors exponentially in any implementation.
SETTINGS = pytest.mark.parametrize(
    ("gradient", "lr"), [(scripted, 0.01), (rosenbrock, 0.001)], ids=["scripted", "feedback"]
)


@SETTINGS
@pytest.mark.parametrize(("name", "variant"), REFERENCES)
def test_agrees_with_the_published_recursion(name, variant, gradient, lr):
    expected = REFERENCES[name, variant](gradient, START, lr, STEPS)
    agree(ours(name, variant, gradient, lr), expected)


@SETTINGS
@pytest.mark.parametrize("name", [n for n in METHODS if "pytorch" in VARIANTS[n]])
def test_agrees_with_pytorch(name, gradient, lr):
    agree(ours(name, "pytorch", gradient, lr), by_torch(name, gradient, lr))


def test_the_references_tell_variants_apart():
    paths = {
        key: REFERENCES[key](scripted, START, 0.01, STEPS)
        for key in [("adam", "optax"), ("adam", "keras"), ("amsgrad", "paper"), ("nadam", "keras")]
    }
    values = list(paths.values())
    for i, first in enumerate(values):
        for second in values[:i]:
            assert np.abs(first - second).max() > 1e-4


def test_nadamax_without_lookahead_divides_both_terms_alike():
    path = ours("nadamax", "optax", scripted, 0.01, lookahead_correction=False)
    agree(path, ref.nadamax(scripted, START, 0.01, STEPS, lookahead=False))


def test_keras_momentum_differs_under_a_schedule_as_documented():
    rate = {"schedule": "piecewise_constant", "init_value": 0.1, "boundaries": [5], "scales": [0.1]}
    paths = []
    for variant in ("optax", "keras"):
        made = optimizer({"name": "momentum", "variant": variant, "learning_rate": rate})
        transformation = made.make(made.learning_rate)
        theta, state = jnp.ones(1), transformation.init(jnp.ones(1))
        for _ in range(8):
            moved, state = transformation.update(jnp.ones(1), state, theta)
            theta = theta + moved
        paths.append(float(theta[0]))
    velocity, theta = 0.0, 1.0
    for n in range(8):
        velocity = 0.9 * velocity - (0.1 if n < 5 else 0.01)
        theta += velocity
    assert paths[1] == pytest.approx(theta, rel=1e-12)
    assert abs(paths[0] - paths[1]) > 0.1
