"""The alternatives to jaxsim on workload W1, written as their users would write them well.

W1: fully-connected 1-16-16-1 ReLU networks, squared loss against x^2, batches of 32 fresh uniform
samples, Adam with learning rate 0.01, float32. Each peer trains `members` networks for `steps`
steps and returns their final mini-batch losses, so that nothing can be optimized away.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax

WIDTHS = (1, 16, 16, 1)
BATCH = 32
RATE = 0.01

Peer = Callable[[], np.ndarray]


def plain_jax(members: int, steps: int) -> Peer:
    """One `jit(vmap(scan))` over all members: the usual JAX ensemble, with optax."""
    optimizer = optax.adam(RATE)
    pairs = list(pairwise(WIDTHS))

    def predict(parameters, x):
        for weights, biases in parameters[:-1]:
            x = jax.nn.relu(x @ weights + biases)
        weights, biases = parameters[-1]
        return x @ weights + biases

    def train(key):
        init, data = jax.random.split(key)
        parameters = [
            (
                jax.random.normal(k, shape, jnp.float32) * np.float32((2 / shape[0]) ** 0.5),
                jnp.zeros(shape[1], jnp.float32),
            )
            for k, shape in zip(jax.random.split(init, len(pairs)), pairs, strict=True)
        ]

        def step(carry, key):
            parameters, state = carry
            x = jax.random.uniform(key, (BATCH, 1), jnp.float32, -1, 1)

            def loss(parameters):
                return ((predict(parameters, x) - x**2) ** 2).mean()

            value, gradient = jax.value_and_grad(loss)(parameters)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(parameters, updates), state), value

        start = (parameters, optimizer.init(parameters))
        _, losses = jax.lax.scan(step, start, jax.random.split(data, steps))
        return losses[-1]

    run = jax.jit(jax.vmap(train))
    return lambda: np.asarray(run(jax.random.split(jax.random.key(0), members)))


def batched_torch(members: int, steps: int) -> Peer:
    """All members in batched tensors, `torch.baddbmm` layers and one torch.optim.Adam."""
    import torch

    def run() -> np.ndarray:
        torch.manual_seed(0)
        layers = []
        for fan_in, fan_out in pairwise(WIDTHS):
            weights = torch.randn(members, fan_in, fan_out) * (2 / fan_in) ** 0.5
            layers.append(
                (weights.requires_grad_(), torch.zeros(members, 1, fan_out).requires_grad_())
            )
        optimizer = torch.optim.Adam([p for layer in layers for p in layer], lr=RATE)
        losses = torch.zeros(members)
        for _ in range(steps):
            x = torch.rand(members, BATCH, 1) * 2 - 1
            h = x
            for place, (weights, biases) in enumerate(layers):
                h = torch.baddbmm(biases, h, weights)
                if place < len(layers) - 1:
                    h = torch.relu(h)
            losses = ((h - x**2) ** 2).mean((1, 2))
            optimizer.zero_grad()
            # The sum over members gives each its own gradient.
            losses.sum().backward()
            optimizer.step()
        return losses.detach().numpy()

    return run


def sequential_torch(members: int, steps: int) -> Peer:
    """One network after another, the loop a textbook shows."""
    import torch

    def one() -> float:
        modules: list[torch.nn.Module] = []
        for fan_in, fan_out in pairwise(WIDTHS):
            modules += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
        network = torch.nn.Sequential(*modules[:-1])
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        loss = torch.zeros(())
        for _ in range(steps):
            x = torch.rand(BATCH, 1) * 2 - 1
            loss = ((network(x) - x**2) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss)

    return lambda: np.array([one() for _ in range(members)])
