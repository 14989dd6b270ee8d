"""Every further optimizer of optax and optax.contrib, by its own name.

Collected from the two packages: each function with a parameter `learning_rate` that returns a
gradient transformation needing nothing but gradients and parameters. Hyperparameters are checked
against the function's signature. Which keep inactive neurons fixed was measured (`zero_gradients`).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from jaxsim.errors import InputError

_LOSS = "it needs the value of the loss besides the gradient"
_AVERAGED = "its iterate for training is not the one whose risk it is judged by"
_WRAPPER = "it is no optimizer of its own but wraps another one"
REFUSED: dict[str, str] = {
    "differentially_private_aggregate": "it needs one gradient per sample",
    "dpsgd": "it needs one gradient per sample, and one seed for its noise",
    "lbfgs": "its line search evaluates the loss again, which a mini-batch method cannot",
    "mechanize": _WRAPPER,
    "momo": _LOSS,
    "momo_adam": _LOSS,
    "noisy_sgd": "its noise comes from one seed, the same in all replicates, not independent",
    "optimistic_adam": "it is deprecated in favour of optimistic_adam_v2",
    "polyak_sgd": _LOSS,
    "reduce_on_plateau": _LOSS,
    "sam": "it needs gradients at a second point, and wraps two other optimizers",
    "schedule_free": _AVERAGED,
    "schedule_free_adamw": _AVERAGED,
    "schedule_free_sgd": _AVERAGED,
    "sophia": "it needs the loss itself to estimate a Hessian diagonal",
}
"""Optimizers that cannot be used, and why."""

# Componentwise recursions: these may act on one flat vector. All others get the parameters as the
# network has them, which is always right.
_COMPONENTWISE = frozenset(
    "adabelief adamaxw adamw adan ademamix adopt acprop lion madgrad nadamw "
    "optimistic_adam_v2 optimistic_gradient_descent radam rprop sign_sgd signum "
    "simplified_ademamix yogi".split()
)
# At their defaults; what is not listed may move them, if only by rounding (madgrad, galore) or
# once no parameter has a gradient (dadapt_adamw, prodigy).
_KEEPING = frozenset(
    "acprop adabelief adafactor adan ademamix adopt cocob dog dowg lamb lars muon novograd "
    "optimistic_adam_v2 optimistic_gradient_descent radam rprop sign_sgd signum "
    "simplified_ademamix sm3".split()
)
BUILT_IN = frozenset({"prodigy", "sm3"})
"""Whose numbers stay built in: XLA fuses their programs otherwise with data; last bits change."""
_HIDDEN = frozenset(
    "mask weight_decay_mask trust_ratio_mask clip_value_fn base_optimizer "
    "weight_dimension_numbers muon_weight_dimension_numbers".split()
)
_DECAYS = frozenset({"b1", "b2", "b3", "betas", "momentum", "adam_b1", "adam_b2"})


@lru_cache(maxsize=1)
def others() -> dict[str, Callable[..., Any]]:
    """Return the further optimizers by name."""
    from jaxsim.optimizer.methods import METHODS

    factories: dict[str, Callable[..., Any]] = {}
    for package in (optax, optax.contrib):
        for name in dir(package):
            function = getattr(package, name)
            if name.startswith(("_", "scale_by_")) or name in METHODS or name in REFUSED:
                continue
            if not callable(function) or inspect.isclass(function):
                continue
            try:
                parameters = inspect.signature(function).parameters
            except (TypeError, ValueError):
                continue
            if "learning_rate" in parameters:
                factories[name] = function
    return dict(sorted(factories.items()))


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


def make_other(
    name: str, given: Mapping[str, Any], learning_rate: Any = 0.1
) -> Callable[[Any], optax.GradientTransformation]:
    """Return lr -> transformation of an optax optimizer with checked hyperparameters.

    Args:
        name: of the optimizer.
        given: hyperparameters.
        learning_rate: what the transformation is tried with, a number or a schedule.

    Raises:
        InputError: for an unknown or missing hyperparameter, a wrong type, or an optimizer that
            needs more than gradients and parameters.
    """
    accepted = hyperparameters(name)
    for key, value in given.items():
        if key not in accepted:
            raise InputError(
                f"{key} = {value!r} is not a hyperparameter of {name!r}; accepted: "
                f"{', '.join(accepted)}"
            )
        _require_like(key, value, accepted[key].default)
    for key, parameter in accepted.items():
        if parameter.default is inspect.Parameter.empty and key not in given:
            raise InputError(f"{key} is missing: {name!r} requires it")
    make = unchecked(name, given)
    _require_plain(name, make, learning_rate)
    return make


def unchecked(name: str, given: Mapping[str, Any]) -> Callable[[Any], optax.GradientTransformation]:
    """Return lr -> transformation of an optax optimizer with hyperparameters known to be right."""
    values = frozen(given)

    def make(learning_rate: Any) -> optax.GradientTransformation:
        return _keep_dtypes(others()[name](learning_rate=learning_rate, **values))

    return make


def componentwise(name: str) -> bool:
    """Return whether an optimizer is known to act on every component alone."""
    return name in _COMPONENTWISE


def keeps_inactive(name: str) -> bool:
    """Return whether an optimizer is known to leave parameters without gradients bitwise alone.

    Known at its defaults; `optimizer` measures it again where hyperparameters are given.
    """
    return name in _KEEPING


def frozen(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters with lists as tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}


def _keep_dtypes(transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    """Cast updates and state to the dtypes they came in: some schedules widen them."""

    def like(new: Any, old: Any) -> Any:
        dtype = jnp.result_type(old)
        return new if jnp.result_type(new) == dtype else jnp.asarray(new, dtype)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        moved, after = transformation.update(updates, state, params)
        return jax.tree.map(like, moved, updates), jax.tree.map(like, after, state)

    return optax.GradientTransformation(transformation.init, update)


def _require_like(key: str, value: Any, default: Any) -> None:
    wanted = _unlike(value, default)
    if wanted:
        raise InputError(f"{key} = {value!r} is not accepted: it should be {wanted}")
    numbers = [v for v in (value if isinstance(value, list | tuple) else [value]) if _number(v)]
    if key in _DECAYS and not all(0 <= v < 1 for v in numbers):
        raise InputError(f"{key} = {value!r} is not accepted: it should be in [0, 1)")
    if key.startswith("eps") and any(v < 0 for v in numbers):
        raise InputError(f"{key} = {value!r} is not accepted: it should not be negative")


def _unlike(value: Any, default: Any) -> str:
    """Return what a value like a default would be, empty if it is one."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, int):
        return "" if isinstance(value, int) and not isinstance(value, bool) else "an integer"
    if isinstance(default, float) or default is inspect.Parameter.empty:
        return "" if _number(value) else "a finite number"
    if isinstance(default, str):
        return "" if isinstance(value, str) else "text"
    if isinstance(default, tuple):
        fits = isinstance(value, list | tuple) and len(value) == len(default)
        fits = fits and not any(_unlike(v, d) for v, d in zip(value, default, strict=True))
        return "" if fits else f"a list like {list(default)}"
    fits = value is None or isinstance(value, bool) or _number(value)
    return "" if fits else "a finite number, true or false"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _require_plain(name: str, make: Callable[[Any], Any], learning_rate: Any) -> None:
    """Refuse what cannot be driven by gradients and parameters alone."""
    example = {"w": jax.ShapeDtypeStruct((3, 2), jnp.float32)}

    def failure(rate: Any) -> str:
        def once(parameters: Any) -> Any:
            transformation = make(rate)
            return transformation.update(parameters, transformation.init(parameters), parameters)

        try:
            jax.eval_shape(once, example)
        except Exception as error:
            return (str(error).strip() or repr(error)).splitlines()[0]
        return ""

    reason = failure(0.1)
    if reason:
        raise InputError(f"name = {name!r} cannot be used with these hyperparameters: {reason}")
    if callable(learning_rate) and failure(learning_rate):
        raise InputError(f"learning_rate: {name!r} takes a number only, not a schedule")
