"""Whether all that is compared trains alike: same parameters, same mini-batches, same losses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers import Start
from benchmarks.workloads import Workload
from jaxsim.engines.registry import ExecutionConfig, make_engine
from jaxsim.training import keys
from jaxsim.training.batches import make_batches

MEMBERS, STEPS = 16, 12
TOLERANCE = 1e-3
"""Of the median relative difference: rounding may send a single member another way at a kink."""


def reference(workload: Workload, config: ExecutionConfig) -> tuple[Start, np.ndarray]:
    """Return what jaxsim starts from, and its mini-batch losses [members] at the last step."""
    (experiment,) = workload.study(STEPS, MEMBERS).experiments
    problem, network = experiment.problem, experiment.network
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    members = jnp.arange(MEMBERS, dtype=jnp.uint32)
    engine = make_engine(experiment, config)
    rate = jnp.asarray(workload.rate, experiment.dtype)
    state = engine.init(key, members, rate)
    layers = jax.vmap(network.layers)(engine.theta(state))

    batches = make_batches(experiment)
    shared = engine.shared(keys.root_key(experiment.seed))

    def batch(member_key, n):
        stream = jax.random.fold_in(member_key, keys.MINI_BATCHES)
        return batches.draw(shared, batches.init(member_key), stream, n)[1:]

    drawn = jax.vmap(batch, in_axes=(0, None))
    x, y = jax.vmap(drawn, in_axes=(None, 0))(keys.replicate_keys(key, members), jnp.arange(STEPS))
    start = Start([(np.asarray(w), np.asarray(b)) for w, b in layers], np.asarray(x), np.asarray(y))
    state = engine.advance(state, shared, np.int32(0), np.int32(STEPS - 1), rate)

    def loss(theta, x, y):
        return problem.loss.function(network.apply(theta, x), y).mean()

    return start, np.asarray(jax.vmap(loss)(engine.theta(state), x[-1], y[-1]))


def disagreement(one: np.ndarray, other: np.ndarray) -> float:
    """Return the median relative difference of two sets of losses."""
    return float(np.median(np.abs(one - other) / np.maximum(np.abs(one), 1e-12)))


def require_same(workload: Workload, name: str, make, start: Start, expected: np.ndarray) -> None:
    """Check that a peer trains as jaxsim does.

    Raises:
        SystemExit: if it does not; its speed would say nothing.
    """
    apart = disagreement(expected, make(workload, MEMBERS, STEPS, start)())
    if not apart < TOLERANCE:
        raise SystemExit(
            f"{workload.name}: {name} does not train as jaxsim does (losses differ by {apart:.2g} "
            f"after {STEPS} steps): no comparison"
        )
