"""From the table of a network to the family of functions."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import jax

from jaxsim.errors import InputError
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.network.initializers import INITIALIZERS, Initializer
from jaxsim.network.learned_slopes import with_learned_slopes
from jaxsim.network.network import Layer, Network, from_flax, fully_connected
from jaxsim.problem.user_code import guarded, load
from jaxsim.registry import build
from jaxsim.study.experiment_spec import NetworkSpec
from jaxsim.study.limits import require_parameters
from jaxsim.study.own_parts import Context, named_or_own
from jaxsim.study.section import written

_FACTORS = {
    "standard": lambda fan_in, number: 1.0,
    "ntk": lambda fan_in, number: fan_in**-0.5,
    "mean_field": lambda fan_in, number: 1.0 if number == 1 else 1.0 / fan_in,
}


def build_network(spec: NetworkSpec, inputs: int, outputs: int, context: Context) -> Network:
    """Return the family of functions that a table describes.

    Raises:
        InputError: naming the key, the value and what would be accepted.
    """
    if spec.module is not None:
        unused = written(spec) - {"module"}
        if unused:
            raise InputError(
                f"network.{sorted(unused)[0]} is not accepted beside network.module: your own "
                "module has its own layers and initializers"
            )
        return _module(spec.module, inputs, outputs, context)
    if spec.hidden is None:
        raise InputError("network.hidden is missing; give the widths, e.g. [16, 16], or []")
    activation = named_or_own(ACTIVATIONS, spec.activation, "network.activation", context)
    widths = (inputs, *spec.hidden, outputs)
    depth = len(widths) - 1
    weights = _per_layer(spec.weights, depth, "network.weights")
    biases = _per_layer(spec.biases, depth, "network.biases")
    if spec.output_bias is not None and spec.biases is False:
        raise InputError(
            f"network.output_bias = {spec.output_bias} is not accepted beside network.biases = "
            "false: there are no biases"
        )
    if spec.output_bias is True and biases[-1] is None:
        raise InputError(
            "network.output_bias = True is not accepted: the last entry of network.biases = "
            f"{spec.biases!r} says that there is none"
        )
    if spec.output_bias is False:
        biases[-1] = None
    biases = [_joint(n, w, b, spec) for n, (w, b) in enumerate(zip(weights, biases, strict=True))]
    for law in biases:
        if law is not None and law.weights_only and law.draw_joint is None:
            raise InputError(
                f"network.biases = {law.name!r} is not accepted: it is a law of matrices, for "
                "network.weights"
            )
    require_parameters(spec.hidden, inputs, outputs, "network.hidden")
    frozen = _frozen(spec.freeze, depth)
    layers = []
    for number in range(1, depth + 1):
        law, bias = weights[number - 1], biases[number - 1]
        assert law is not None
        layers.append(
            Layer(
                fan_in=widths[number - 1],
                fan_out=widths[number],
                weights=law,
                biases=bias,
                multiplier=_FACTORS[spec.parametrization](widths[number - 1], number),
                train_weights=(number, "weights") not in frozen,
                train_biases=(number, "biases") not in frozen,
            )
        )
    learns = activation.learned is not None and len(layers) > 1
    make = with_learned_slopes if learns else fully_connected
    try:
        network = make(tuple(layers), activation)
        jax.eval_shape(network.init, jax.random.key(0))
    except (OverflowError, ValueError) as error:
        raise InputError(
            f"network.weights or network.biases cannot be drawn for the widths {widths}: {error}"
        ) from None
    return network


def _module(name: str, inputs: int, outputs: int, context: Context) -> Network:
    """Return the network of the user's own flax module."""
    import flax.linen as nn

    subject = f"network.module = {name!r}"
    given = load(name, "network.module", context.allow_code)
    module = given if isinstance(given, nn.Module) else guarded(given, subject)()
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{subject} returns an object of type {type(module).__name__}; accepted: a function "
            "without arguments that returns a flax linen module"
        )
    network = from_flax(module, inputs, outputs)
    return replace(network, apply=guarded(network.apply, subject))


def _joint(
    index: int, weights: Initializer | None, bias: Initializer | None, spec: NetworkSpec
) -> Initializer | None:
    """Return the law of a layer's biases: that of its weights if it draws both.

    Raises:
        InputError: for biases that such a law would ignore, or such a law for biases alone.
    """
    assert weights is not None
    together = weights.draw_joint is not None
    if bias is None or (bias.name == weights.name and together):
        return bias
    if bias.draw_joint is not None:
        raise InputError(
            f"network.biases = {bias.name!r} is not accepted: it draws weights and biases together "
            "and belongs to network.weights"
        )
    if not together:
        return bias
    if "biases" in written(spec):
        raise InputError(
            f"network.biases = {spec.biases!r} is not accepted for layer {index + 1}: the law "
            f"{weights.name!r} of its weights draws the biases too; leave biases out, or give a "
            f"list with {weights.name!r} for this layer"
        )
    return weights


def _per_layer(spec: Any, depth: int, key: str) -> list[Initializer | None]:
    """Return the law of each layer; False means none."""
    if not isinstance(spec, list):
        law = None if spec is False else build(INITIALIZERS, spec, key, tag="law")
        return [law] * depth
    if len(spec) != depth:
        raise InputError(
            f"{key} has {len(spec)} entries; accepted: one table, or one per layer ({depth})"
        )
    return [
        None if s is False else build(INITIALIZERS, s, f"{key}[{i}]", tag="law")
        for i, s in enumerate(spec, start=1)
    ]


def _frozen(names: list[str], depth: int) -> set[tuple[int, str]]:
    """Return the (layer number, part) pairs that names like "output.weights" mean."""
    frozen = set()
    for name in names:
        layer, _, part = name.partition(".")
        parts = (part,) if "." in name else ("weights", "biases")
        digits = re.fullmatch(r"layer([1-9][0-9]{0,3})", layer)
        number = depth if layer == "output" else int(digits[1]) if digits else 0
        if not 1 <= number <= depth or any(p not in ("weights", "biases") for p in parts):
            raise InputError(
                f"network.freeze = {name!r} is not accepted: it should be layer1 to layer{depth} "
                'or output, perhaps with ".weights" or ".biases"'
            )
        frozen |= {(number, p) for p in parts}
    return frozen
