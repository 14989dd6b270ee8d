"""The alternatives to jaxsim, written as their users would write them well.

Each peer trains `members` networks of a workload for `steps` steps and returns their mini-batch
losses at the last step, so that nothing can be optimized away. Given a `Start`, it takes parameters
and mini-batches from there in place of its own random numbers: `benchmarks.equivalence` compares
what all of them make of the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.machine import CHOSEN_BY_THE_CLOCK
from benchmarks.workloads import Workload
from jaxsim.optimizer import optimizer

Run = Callable[[], np.ndarray]


class Start(NamedTuple):
    """Initial parameters and mini-batches.

    Attributes:
        layers: (weights [members, in, out], biases [members, out]) per layer.
        x: inputs [steps, members, batch, in].
        y: targets [steps, members, batch, out], or classes [steps, members, batch].
    """

    layers: list[tuple[np.ndarray, np.ndarray]]
    x: np.ndarray
    y: np.ndarray


def data_set(workload: Workload) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the points and their classes or targets, None for fresh samples."""
    if workload.fixed:
        x = np.random.default_rng(0).uniform(-1, 1, (workload.fixed, workload.widths[0]))
        return x.astype(np.float32), (x[:, :1] ** 2).astype(np.float32)
    if not workload.digits:
        return None
    (experiment,) = workload.study(1, 1).experiments
    points = experiment.problem.law.finite[0].astype(np.float32)
    return points, experiment.problem.targets_at_points().astype(np.int32)


def plain_jax(workload: Workload, members: int, steps: int, start: Start | None = None) -> Run:
    """One `jit(vmap(scan))` over all members: the usual JAX ensemble, with optax."""
    method = optimizer(workload.method).make(workload.rate)
    points = data_set(workload)

    def predict(parameters, x):
        for weights, biases in parameters[:-1]:
            x = jax.nn.relu(x @ weights + biases)
        weights, biases = parameters[-1]
        return x @ weights + biases

    def loss_of(parameters, x, y):
        prediction = predict(parameters, x)
        if workload.digits:
            return optax.softmax_cross_entropy_with_integer_labels(prediction, y).mean()
        return ((prediction - y) ** 2).sum(-1).mean()

    def draw(key):
        if points is not None:
            index = jax.random.randint(key, (workload.batch,), 0, len(points[0]))
            return jnp.asarray(points[0])[index], jnp.asarray(points[1])[index]
        x = jax.random.uniform(key, (workload.batch, workload.widths[0]), jnp.float32, -1, 1)
        return x, x[:, :1] ** 2

    def train(parameters, batches, drawn):
        def step(carry, item):
            parameters, state = carry
            x, y = item if drawn else draw(item)
            value, gradient = jax.value_and_grad(loss_of)(parameters, x, y)
            updates, state = method.update(gradient, state, parameters)
            return (optax.apply_updates(parameters, updates), state), value

        return jax.lax.scan(step, (parameters, method.init(parameters)), batches)[1][-1]

    def fresh(key):
        init, data = jax.random.split(key)
        shapes = list(pairwise(workload.widths))
        parameters = [
            (
                jax.random.normal(k, shape, jnp.float32) * np.float32((2 / shape[0]) ** 0.5),
                jnp.zeros(shape[1], jnp.float32),
            )
            for k, shape in zip(jax.random.split(init, len(shapes)), shapes, strict=True)
        ]
        return train(parameters, jax.random.split(data, steps), False)

    if start is None:
        run = jax.jit(jax.vmap(fresh), compiler_options=CHOSEN_BY_THE_CLOCK)
        return lambda: np.asarray(run(jax.random.split(jax.random.key(0), members)))
    given = jax.jit(jax.vmap(lambda p, x, y: train(p, (x, y), True), in_axes=(0, 1, 1)))
    return lambda: np.asarray(given(start.layers, start.x, start.y))


def torch_optimizer(workload: Workload, parameters: Any) -> Any:
    """Return the method of a workload as torch.optim has it.

    Raises:
        KeyError: for nadamax, which PyTorch does not have.
    """
    import torch

    sgd, optim = torch.optim.SGD, torch.optim
    makers: dict[str, Callable[..., Any]] = {
        "sgd": sgd,
        "momentum": lambda p, lr: sgd(p, lr=lr, momentum=0.9),
        "nesterov": lambda p, lr: sgd(p, lr=lr, momentum=0.9, nesterov=True),
        "adagrad": optim.Adagrad,
        "rmsprop": optim.RMSprop,
        "adadelta": optim.Adadelta,
        "adam": optim.Adam,
        "adamax": optim.Adamax,
        "nadam": optim.NAdam,
        "amsgrad": lambda p, lr: optim.Adam(p, lr=lr, amsgrad=True),
    }
    return makers[workload.optimizer](parameters, lr=workload.rate)


def _torch_parts(workload: Workload, start: Start | None) -> tuple[Callable, Callable, Callable]:
    """Return (members -> layers, step, members -> (x, y), prediction, y -> losses [members])."""
    import torch

    data = data_set(workload)
    points = None if data is None else [torch.from_numpy(a) for a in data]
    given = [] if start is None else start.layers

    def layers(members: int) -> list[tuple[Any, Any]]:
        if start is not None:
            return [(torch.from_numpy(w.copy()), torch.from_numpy(b.copy())) for w, b in given]
        return [
            (torch.randn(members, i, o) * (2 / i) ** 0.5, torch.zeros(members, o))
            for i, o in pairwise(workload.widths)
        ]

    def draw(n: int, members: int) -> tuple[Any, Any]:
        if start is not None:
            return torch.from_numpy(start.x[n].copy()), torch.from_numpy(start.y[n].copy())
        if points is not None:
            index = torch.randint(len(points[0]), (members, workload.batch))
            return points[0][index], points[1][index]
        x = torch.rand(members, workload.batch, workload.widths[0]) * 2 - 1
        return x, x[..., :1] ** 2

    def losses(prediction: Any, y: Any) -> Any:
        if not workload.digits:
            return ((prediction - y) ** 2).sum(-1).mean(-1)
        flat = torch.nn.functional.cross_entropy(
            prediction.reshape(-1, prediction.shape[-1]), y.reshape(-1).long(), reduction="none"
        )
        return flat.reshape(y.shape).mean(-1)

    return layers, draw, losses


def batched_torch(workload: Workload, members: int, steps: int, start: Start | None = None) -> Run:
    """All members in batched tensors, `torch.baddbmm` layers and one optimizer of torch.optim."""
    import torch

    layers, draw, losses = _torch_parts(workload, start)

    def run() -> np.ndarray:
        torch.manual_seed(0)
        stacked = [
            (w.requires_grad_(), b[:, None].clone().requires_grad_()) for w, b in layers(members)
        ]
        method = torch_optimizer(workload, [p for layer in stacked for p in layer])
        value = torch.zeros(members)
        for n in range(steps):
            h, y = draw(n, members)
            for place, (weights, biases) in enumerate(stacked):
                h = torch.baddbmm(biases, h, weights)
                if place < len(stacked) - 1:
                    h = torch.relu(h)
            value = losses(h, y)
            method.zero_grad()
            # The sum over members gives each its own gradient.
            value.sum().backward()
            method.step()
        return value.detach().cpu().numpy()

    return run


def functional_torch(
    workload: Workload, members: int, steps: int, start: Start | None = None
) -> Run:
    """`torch.func.vmap(grad_and_value)` over the members, one optimizer of torch.optim."""
    import torch

    layers, draw, losses = _torch_parts(workload, start)
    depth = len(workload.widths) - 1

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        h = x
        for place, (weights, biases) in enumerate(parameters):
            h = h @ weights + biases
            if place < depth - 1:
                h = torch.relu(h)
        return losses(h, y)

    gradients = torch.func.vmap(torch.func.grad_and_value(loss_of))

    def run() -> np.ndarray:
        torch.manual_seed(0)
        stacked = layers(members)
        flat = [p for layer in stacked for p in layer]
        method = torch_optimizer(workload, flat)
        value = torch.zeros(members)
        for n in range(steps):
            gradient, value = gradients(stacked, *draw(n, members))
            for p, g in zip(flat, (g for layer in gradient for g in layer), strict=True):
                p.grad = g
            method.step()
        return value.detach().cpu().numpy()

    return run


def sequential_torch(
    workload: Workload, members: int, steps: int, start: Start | None = None
) -> Run:
    """One network after another, the loop a textbook shows."""
    import torch

    layers, draw, losses = _torch_parts(workload, start)

    def one(member: int) -> float:
        modules: list[Any] = []
        drawn = layers(members)
        for weights, biases in drawn:
            linear = torch.nn.Linear(*weights.shape[1:], dtype=weights.dtype)
            with torch.no_grad():
                linear.weight.copy_(weights[member].T)
                linear.bias.copy_(biases[member])
            modules += [linear, torch.nn.ReLU()]
        network = torch.nn.Sequential(*modules[:-1])
        method = torch_optimizer(workload, network.parameters())
        value = torch.zeros(1)
        for n in range(steps):
            x, y = draw(n, members if start is not None else 1)
            place = member if start is not None else 0
            value = losses(network(x[place : place + 1]), y[place : place + 1])
            method.zero_grad()
            value.sum().backward()
            method.step()
        return float(value.detach())

    return lambda: np.array([one(m) for m in range(members)])


PEERS: dict[str, tuple[int, Callable[..., Run]]] = {
    "jit(vmap(scan))": (1024, plain_jax),
    "torch baddbmm": (1024, batched_torch),
    "torch.func": (1024, functional_torch),
    "torch sequential": (2, sequential_torch),
}
"""Members trained at once, and the peer, by name."""
