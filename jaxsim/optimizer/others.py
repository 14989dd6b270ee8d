"""Every further optimizer of optax and optax.contrib, by its own name.

Collected from the two packages: each function with a parameter `learning_rate` that returns a
gradient transformation needing nothing but gradients and parameters. Hyperparameters are checked
against the function's signature. Whether a method keeps inactive neurons fixed is measured: it must
not move parameters whose gradients are all zero by one bit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from jaxsim.errors import InputError

REFUSED: dict[str, str] = {
    "lbfgs": "its line search evaluates the loss again, which a mini-batch method cannot",
    "noisy_sgd": "its noise comes from one seed, the same in all replicates, not independent",
    "dpsgd": "it needs one gradient per sample, and one seed for its noise",
    "sophia": "it needs the loss itself to estimate a Hessian diagonal",
    "momo": "it needs the value of the loss besides the gradient",
    "momo_adam": "it needs the value of the loss besides the gradient",
    "optimistic_adam": "it is deprecated in favour of optimistic_adam_v2",
    "schedule_free_sgd": "its iterate for training is not the one whose risk it is judged by",
    "schedule_free_adamw": "its iterate for training is not the one whose risk it is judged by",
}
"""Optimizers that cannot be used, and why."""

# Componentwise recursions: these may act on one flat vector. All others get the parameters as the
# network has them, which is always right.
_COMPONENTWISE = frozenset(
    "adabelief adamaxw adamw adan ademamix adopt acprop lion madgrad nadamw "
    "optimistic_adam_v2 optimistic_gradient_descent radam rprop sign_sgd signum "
    "simplified_ademamix yogi".split()
)
_NOT_METHODS = frozenset({"schedule_free"})
_HIDDEN = frozenset({"mask", "weight_decay_mask", "trust_ratio_mask", "clip_value_fn"})


@lru_cache(maxsize=1)
def others() -> dict[str, Callable[..., optax.GradientTransformation]]:
    """Return the further optimizers by name."""
    from jaxsim.optimizer.methods import METHODS

    found: dict[str, Callable[..., optax.GradientTransformation]] = {}
    for package in (optax, optax.contrib):
        for name in dir(package):
            function = getattr(package, name)
            if name.startswith(("_", "scale_by_")) or name in METHODS or name in _NOT_METHODS:
                continue
            if not callable(function) or inspect.isclass(function):
                continue
            try:
                parameters = inspect.signature(function).parameters
            except (TypeError, ValueError):
                continue
            if "learning_rate" in parameters and name not in REFUSED:
                found[name] = function
    return dict(sorted(found.items()))


def hyperparameters(name: str) -> dict[str, inspect.Parameter]:
    """Return the parameters of an optimizer that a study may set, `learning_rate` aside."""
    return {
        k: p
        for k, p in inspect.signature(others()[name]).parameters.items()
        if k != "learning_rate"
        and k not in _HIDDEN
        and "dtype" not in k
        and not callable(p.default)
        and not isinstance(p.default, optax.GradientTransformation)
    }


def make_other(name: str, given: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return lr -> transformation of an optax optimizer with checked hyperparameters.

    Raises:
        InputError: for an unknown or missing hyperparameter, a wrong type, or an optimizer that
            needs more than gradients and parameters.
    """
    accepted = hyperparameters(name)
    for key, value in given.items():
        if key not in accepted:
            raise InputError(
                f"{key} is not a hyperparameter of {name!r}; accepted: {', '.join(accepted)}"
            )
        _require_like(key, value, accepted[key].default)
    for key, parameter in accepted.items():
        if parameter.default is inspect.Parameter.empty and key not in given:
            raise InputError(f"{key} is missing: {name!r} requires it")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}

    def make(learning_rate: Any) -> optax.GradientTransformation:
        return others()[name](learning_rate=learning_rate, **values)

    _require_plain(name, make)
    return make


def componentwise(name: str) -> bool:
    """Return whether an optimizer is known to act on every component alone."""
    return name in _COMPONENTWISE


def keeps_zero_gradients(make: Callable[[Any], Any], steps: int = 50) -> bool:
    """Return whether parameters with zero gradients stay bitwise unchanged over some steps.

    Measured on one layer in float32, half of whose columns have gradients.
    """
    parameters = {"w": jnp.linspace(-1.5, 2.0, 12, dtype=jnp.float32).reshape(3, 4)}
    active = jnp.array([1.0, 0.0, 1.0, 0.0], jnp.float32)
    transformation = make(0.1)

    def step(n: Any, carry: Any) -> Any:
        parameters, state = carry
        gradients = {"w": jnp.cos(parameters["w"] + n).astype(jnp.float32) * active}
        updates, state = transformation.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state

    run = jax.jit(lambda p: jax.lax.fori_loop(0, steps, step, (p, transformation.init(p)))[0])
    moved = np.asarray(run(parameters)["w"])
    return np.array_equal(moved[:, 1::2], np.asarray(parameters["w"])[:, 1::2])


def _require_like(key: str, value: Any, default: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, int | float):
        fits, wanted = number, "a number"
    elif isinstance(default, str):
        fits, wanted = isinstance(value, str), "text"
    elif isinstance(default, tuple):
        fits, wanted = isinstance(value, list | tuple), "a list"
    else:
        fits, wanted = number or isinstance(value, bool), "a number"
    if not fits:
        raise InputError(f"{key} = {value!r} is not accepted: it should be {wanted}")


def _require_plain(name: str, make: Callable[[Any], Any]) -> None:
    """Refuse what cannot be driven by gradients and parameters alone."""
    example = {"w": jax.ShapeDtypeStruct((3, 2), jnp.float32)}

    def once(parameters: Any) -> Any:
        transformation = make(0.1)
        return transformation.update(parameters, transformation.init(parameters), parameters)

    try:
        jax.eval_shape(once, example)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise InputError(f"{name!r} cannot be used with these hyperparameters: {reason}") from None
