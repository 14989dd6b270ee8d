"""Facts that laws of the initialization declare, held against their draws: for every law."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import scipy.stats

from jaxsim.network.initializers import INITIALIZERS, Initializer
from jaxsim.registry import build
from jaxsim.theory.laws import entry_law
from tests.studies import slow_but

SPECS = [
    *({"law": name} for name in INITIALIZERS if name not in ("constant", "covering_normal")),
    {"law": "covering_normal", "points": [[1.0, 0.0, 0.0, 0.0, -1.0, 2.0]]},
    {"law": "constant", "value": -0.7},
    {"law": "normal", "std": 0.3, "fan_in_power": -0.5, "fan_out_power": 0.25},
    {"law": "truncated_normal", "std": 2.0, "cut": 0.1},
    {"law": "uniform", "bound": 3.0, "fan_out_power": -1.0},
    {"law": "orthogonal", "scale": 0.5},
]
# Of each test; there are fewer than 200.
FALSE_ALARM = 1e-9


def false_facts(law: Initializer, fan_in: int = 6, fan_out: int = 9, count: int = 400):
    """Return which of a law's declared facts its draws contradict."""
    false = set()
    keys = jax.random.split(jax.random.key(11), count)
    shape = (fan_in, fan_out)
    weights = np.asarray(jax.jit(jax.vmap(lambda key: law.draw(key, fan_in, fan_out, shape)))(keys))
    if weights.dtype != np.float64 or weights.shape != (count, *shape):
        false.add("draw")
    if law.constant is not None and (weights != law.constant).any():
        false.add("constant")
    if law.marginal is not None:
        marginal = law.marginal(fan_in, fan_out)
        if scipy.stats.kstest(weights.ravel(), marginal.cdf).pvalue < FALSE_ALARM:
            false.add("marginal")
        # Independent entries: correlations of a neuron's and of an input's entries vanish.
        flat = weights.reshape(count, -1)
        correlation = np.corrcoef(flat.T)[np.triu_indices(flat.shape[1], 1)]
        if np.abs(correlation).max() > 8 / np.sqrt(count):
            false.add("independent")
        exact = entry_law(law, fan_in, fan_out)
        if exact is not None:
            t = marginal.ppf(np.linspace(0.001, 0.999, 41))
            below = np.array([exact.below(float(v)) for v in t])
            if np.abs(below - marginal.cdf(t)).max() > 1e-12:
                false.add("entry_law")
    if not law.weights_only:
        biases = law.draw(keys[0], fan_in, fan_out, (fan_out,))
        if biases.shape != (fan_out,):
            false.add("weights_only")
    if law.draw_joint is not None:
        weights, biases = law.draw_joint(keys[0], fan_in, fan_out)
        if weights.shape != shape or biases.shape != (fan_out,):
            false.add("draw_joint")
    return sorted(false)


# Most of the time goes into compiling the draws: rarer laws and their scales in the long suite.
OFTEN = [s for s in SPECS[:-4] if s["law"] != "randomized_asymmetric"]


@pytest.mark.parametrize("spec", slow_but(OFTEN, SPECS), ids=str)
def test_declared_facts_are_true(spec):
    assert false_facts(build(INITIALIZERS, spec, "weights", tag="law")) == []


def test_false_facts_are_found():
    normal = INITIALIZERS["normal"]()
    wider = replace(normal, marginal=lambda i, o: scipy.stats.norm(0, 1.1))
    assert false_facts(wider) == ["marginal"]
    assert false_facts(replace(normal, constant=0.0, marginal=None)) == ["constant"]
    equal = replace(normal, draw=lambda key, i, o, s: np.ones(s) * normal.draw(key, i, o, (1,)))
    assert "independent" in false_facts(equal)
    orthogonal = replace(INITIALIZERS["orthogonal"](), weights_only=False)
    with pytest.raises(ValueError, match="2D shape"):
        false_facts(orthogonal)
