"""What hardly any member of a batch needs is computed for those, and for nobody else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.risk.rare import computed_where_needed

THETAS = np.random.default_rng(0).normal(size=(6, 3))
POINTS = np.linspace(-1.0, 1.0, 4)


def compute(theta, points):
    return jnp.outer(theta, points).sum(1), (theta[0] * points).max()


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
@pytest.mark.parametrize("needing", [(), (2,), (0, 3, 5), range(6)], ids=str)
def test_those_who_need_it_have_what_is_computed(together, needing):
    needed = np.isin(np.arange(6), list(needing))
    rare = computed_where_needed(compute, together)

    def one(needed, theta):
        return rare(needed, (theta, jnp.asarray(7.0)), theta, POINTS)

    vectors, numbers = jax.jit(jax.vmap(one))(needed, THETAS)
    computed = needed | (together and needed.any())
    expected = np.where(computed[:, None], THETAS * POINTS.sum(), THETAS)
    largest = np.where(computed, np.abs(THETAS[:, 0]), 7.0)
    np.testing.assert_allclose(vectors, expected, atol=1e-15)
    np.testing.assert_allclose(numbers, largest, rtol=1e-15)


@pytest.mark.parametrize("needed", [True, False])
def test_one_member_without_a_batch_computes_if_it_needs_to(needed):
    vector, number = jax.jit(computed_where_needed(compute))(
        needed, (THETAS[0], 7.0), THETAS[0], POINTS
    )
    np.testing.assert_allclose(
        vector, THETAS[0] * POINTS.sum() if needed else THETAS[0], atol=1e-15
    )
    assert float(number) == pytest.approx(abs(THETAS[0, 0]) if needed else 7.0)


def test_nobody_needs_what_would_not_be_finite():
    """With nobody in need nothing is computed, not even to be thrown away."""
    rare = computed_where_needed(lambda theta: 1 / (theta * 0))
    with jax.debug_nans(True):
        found = jax.jit(jax.vmap(lambda theta: rare(theta > 9, theta, theta)))(THETAS[:, 0])
    np.testing.assert_array_equal(found, THETAS[:, 0])
