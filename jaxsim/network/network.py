"""Networks as pure functions of one flat parameter vector theta.

The realization function N_theta and the law of Theta_0. All parameters of a member form one
vector [P]: optimizers, shards and engines need to know no more of a network than its length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from jaxsim.errors import InputError, reason
from jaxsim.network.activations import Activation
from jaxsim.network.initializers import Initializer
from jaxsim.network.parameter_layout import ParameterLayout

_MOST_PARAMETERS = 2**28


@dataclass(frozen=True)
class Layer:
    """Shape, law of initialization and trainability of one layer.

    Attributes:
        fan_in: inputs of the layer.
        fan_out: outputs of the layer.
        weights: law of the weights at initialization.
        biases: law of the biases; None for a layer without biases.
        multiplier: factor in front of the weights in the realization function.
        train_weights: False keeps the weights at their initial values.
        train_biases: False keeps the biases at their initial values.
    """

    fan_in: int
    fan_out: int
    weights: Initializer
    biases: Initializer | None
    multiplier: float = 1.0
    train_weights: bool = True
    train_biases: bool = True

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.fan_in * self.fan_out + (self.fan_out if self.biases is not None else 0)


@dataclass(frozen=True)
class Network:
    """A family of functions x -> N_theta(x), theta in R^P, with the law of Theta_0.

    Attributes:
        inputs: dimension of x.
        hidden: widths of the hidden layers; empty for a user's own module and for trained slopes.
        outputs: dimension of N_theta(x).
        activation: of the hidden layers; None for a user's own module and for trained slopes.
        size: the number of parameters P.
        init: key -> theta [P], float64; some laws take numbers as `data` besides, and those with
            `scales` take these.
        apply: (theta [P], x [batch, inputs]) -> [batch, outputs], in the dtype of theta.
        unravel: theta [P] -> the parameters as the flax module has them.
        layer_specs: of a fully-connected network, hidden layers first; else empty.
        trainable: bool [P]; False entries keep their initial values.
        make_module: returns `module`, which nobody needs whose programs are compiled.
        scales: of the laws of weights and biases in turn, which `init` may be given as data; empty
            if not all of its laws take them.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: Activation | None
    size: int
    init: Callable[..., Array]
    apply: Callable[[Array, Array], Array]
    unravel: Callable[[Array], Any]
    layer_specs: tuple[Layer, ...]
    trainable: np.ndarray = field(repr=False)
    make_module: Callable[[], Any] = field(repr=False, compare=False, default=lambda: None)
    scales: tuple[float, ...] = ()

    @property
    def module(self) -> Any:
        """The flax module, whose `apply` takes what `unravel` returns."""
        return self.make_module()

    @property
    def fully_connected(self) -> bool:
        """Whether the layers are known, as those of a user's own module are not."""
        return bool(self.layer_specs)

    @property
    def layout(self) -> ParameterLayout:
        """Where the layers of a fully-connected network lie in theta."""
        return ParameterLayout.of(self.layer_specs)

    def layers(self, theta: Array) -> tuple[tuple[Array, Array], ...]:
        """Return the effective (weights [in, out], biases [out]) of every layer.

        The multiplier of the parametrization is included; absent biases are zeros.
        """
        pairs = []
        for spec, (weights, biases) in zip(self.layer_specs, self.layout.split(theta), strict=True):
            zeros = jnp.zeros(spec.fan_out, theta.dtype)
            pairs.append((weights * spec.multiplier, zeros if biases is None else biases))
        return tuple(pairs)


def fully_connected(layers: tuple[Layer, ...], activation: Activation) -> Network:
    """Build the fully-connected network with the given layers.

    Example:
        >>> from jaxsim.network.activations import relu
        >>> from jaxsim.network.initializers import uniform
        >>> network = fully_connected((Layer(1, 4, uniform(), uniform()),
        ...                            Layer(4, 1, uniform(), uniform())), relu())
        >>> network.size
        13
    """

    @lru_cache(maxsize=1)
    def module() -> Any:
        from jaxsim.network.module import FullyConnected

        return FullyConnected(
            widths=tuple(layer.fan_out for layer in layers),
            activation=activation,
            use_bias=tuple(layer.biases is not None for layer in layers),
            multipliers=tuple(layer.multiplier for layer in layers),
        )

    layout = ParameterLayout.of(layers)

    def unravel(theta: Array) -> Any:
        tree = {}
        for number, (weights, biases) in enumerate(layout.split(theta), start=1):
            tree[f"layer{number}"] = {"kernel": weights}
            if biases is not None:
                tree[f"layer{number}"]["bias"] = biases
        return {"params": tree}

    laws = [law for layer in layers for law in (layer.weights, layer.biases or layer.weights)]
    fans = [(layer.fan_in, layer.fan_out) for layer in layers for _ in range(2)]
    known = all(law.structure is not None for law in laws)

    def init(key: Array, scales: Sequence[Array] | None = None) -> Array:
        parts = []
        for number, layer in enumerate(layers):
            own = (None, None) if scales is None else (scales[2 * number], scales[2 * number + 1])
            weights, biases = draw_layer(layer, jax.random.fold_in(key, number), *own)
            parts.append(weights.ravel())
            if biases is not None:
                parts.append(biases)
        return jnp.concatenate(parts)

    def apply(theta: Array, x: Array) -> Any:
        return module().apply(unravel(theta), x)

    trainable = np.ones(layout.size, bool)
    for layer, place in zip(layers, layout.places, strict=True):
        trainable[place.weights] = layer.train_weights
        if place.biases is not None:
            trainable[place.biases] = layer.train_biases
    return Network(
        inputs=layers[0].fan_in,
        hidden=tuple(layer.fan_out for layer in layers[:-1]),
        outputs=layers[-1].fan_out,
        activation=activation,
        size=layout.size,
        init=init,
        apply=apply,
        unravel=unravel,
        layer_specs=layers,
        trainable=trainable,
        make_module=module,
        scales=tuple(law.scale(*f) for law, f in zip(laws, fans, strict=True)) if known else (),
    )


def draw_layer(
    layer: Layer,
    key: Array,
    weights_scale: Array | None = None,
    biases_scale: Array | None = None,
) -> tuple[Array, Array | None]:
    """Return (weights [in, out], biases [out] or None) of a layer at initialization, float64.

    Args:
        layer: what is drawn.
        key: of the draw.
        weights_scale: in place of that of the law of its weights.
        biases_scale: in place of that of the law of its biases.
    """
    weights_key, biases_key = (jax.random.fold_in(key, i) for i in range(2))
    shape = (layer.fan_in, layer.fan_out)
    if layer.weights.draw_joint is not None:
        weights, biases = layer.weights.draw_joint(weights_key, *shape)
        return weights, None if layer.biases is None else biases
    weights = layer.weights.draw(weights_key, *shape, shape, *_given(weights_scale))
    if layer.biases is None:
        return weights, None
    biases = layer.biases.draw(biases_key, *shape, (layer.fan_out,), *_given(biases_scale))
    return weights, biases


def _given(scale: Array | None) -> tuple[Array, ...]:
    return () if scale is None else (scale,)


def from_flax(module: Any, inputs: int, outputs: int) -> Network:
    """Wrap a user's own flax linen module; its own initializers are the law of Theta_0.

    Raises:
        InputError: if the module does not map [batch, inputs] to [batch, outputs].
    """
    example = jnp.zeros((2, inputs), jnp.float32)
    try:
        variables = jax.eval_shape(module.init, jax.random.key(0), example)
    except Exception as error:
        raise InputError(
            f"network.module cannot be initialized on inputs of shape (2, {inputs}): "
            f"{reason(error)}"
        ) from error
    if set(variables) != {"params"}:
        raise InputError(
            f"network.module has the variable collections {sorted(variables)}; accepted: only "
            "'params' (no batch statistics, no dropout state)"
        )
    size = sum(math.prod(v.shape) for v in jax.tree.leaves(variables))
    if size > _MOST_PARAMETERS:
        raise InputError(
            f"network.module has {size:,} parameters; accepted: up to {_MOST_PARAMETERS:,}"
        )
    flat, unravel = ravel_pytree(jax.tree.map(lambda v: jnp.zeros(v.shape), variables))

    def apply(theta: Array, x: Array) -> Array:
        tree = jax.tree.map(lambda v: v.astype(theta.dtype), unravel(theta.astype(flat.dtype)))
        return module.apply(tree, x)

    try:
        result = jax.eval_shape(apply, flat, example)
    except Exception as error:
        raise InputError(
            f"network.module cannot be applied to inputs of shape (2, {inputs}): {reason(error)}"
        ) from error
    shape = getattr(result, "shape", type(result).__name__)
    if shape != (2, outputs):
        raise InputError(
            f"network.module maps inputs of shape (2, {inputs}) to {shape}; accepted: "
            f"(2, {outputs})"
        )
    return Network(
        inputs=inputs,
        hidden=(),
        outputs=outputs,
        activation=None,
        size=flat.size,
        init=lambda key: ravel_pytree(module.init(key, example))[0].astype(jnp.float64),
        apply=apply,
        unravel=unravel,
        layer_specs=(),
        trainable=np.ones(flat.size, bool),
        make_module=lambda: module,
    )
