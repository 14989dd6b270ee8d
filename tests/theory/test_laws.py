"""Half-laws against mpmath integrals and scipy's distributions."""

import math

import mpmath
import numpy as np
import pytest

from jaxsim.network.initializers import INITIALIZERS, Initializer, normal
from jaxsim.theory.laws import HalfNormal, HalfUniform, entry_law

HALF_LAWS = {
    "uniform": (HalfUniform(), lambda x: mpmath.mpf(1), 1),
    "normal": (HalfNormal(), lambda x: mpmath.sqrt(2 / mpmath.pi) * mpmath.exp(-x * x / 2), 14),
    "cut 2": (
        HalfNormal(2.0),
        lambda x: mpmath.sqrt(2 / mpmath.pi) * mpmath.exp(-x * x / 2) / mpmath.erf(mpmath.sqrt(2)),
        2,
    ),
    "cut 0.3": (
        HalfNormal(0.3),
        lambda x: (
            mpmath.sqrt(2 / mpmath.pi)
            * mpmath.exp(-x * x / 2)
            / mpmath.erf(mpmath.mpf("0.3") / mpmath.sqrt(2))
        ),
        mpmath.mpf("0.3"),
    ),
}
POINTS = [0.01, 1.0, -1.0, 3 + 2j, -3 + 2j, -1 + 5j, 0.5 + 20j, -0.5 + 4j, 12.0, -5 + 1j, 8 - 3j]


@pytest.mark.parametrize("name", HALF_LAWS)
@pytest.mark.parametrize("z", POINTS)
def test_transform_equals_the_integral(name, z):
    law, density, end = HALF_LAWS[name]
    with mpmath.workdps(30):
        exact = mpmath.quad(
            lambda x: mpmath.exp(-mpmath.mpc(z) * x) * density(x),
            mpmath.linspace(0, end, 15),
        )
        ours = np.exp(law.log_transform(np.asarray(z, complex)))
        assert abs(complex(exact) - ours) <= 1e-12 * abs(complex(exact))


@pytest.mark.parametrize("name", HALF_LAWS)
@pytest.mark.parametrize("growth", [-3.0, 0.0, 0.2, 4.0])
def test_peak_is_the_maximum(name, growth):
    law, _, end = HALF_LAWS[name]
    x = np.linspace(0, float(end), 200_001)
    peak = np.max(growth * x + np.log(law.pdf(x)))
    assert law.log_peak(growth) == pytest.approx(peak, abs=1e-8)


MARGINAL = [
    name
    for name, factory in INITIALIZERS.items()
    if name not in ("constant", "covering_normal") and factory().marginal is not None
]


@pytest.mark.parametrize("name", MARGINAL)
@pytest.mark.parametrize("factor", [1.0, 0.25, -2.0])
def test_entry_law_is_the_marginal_times_the_factor(name, factor):
    law = INITIALIZERS[name]()
    entry = entry_law(law, 3, 5, factor)
    assert entry is not None
    assert law.marginal is not None
    scipy_law = law.marginal(3, 5)
    for t in (-1.4, -0.5, -0.01, 0.0, 0.2, 0.9, 3.0):
        assert entry.below(t) == pytest.approx(scipy_law.cdf(t / abs(factor)), abs=1e-14)


def test_unknown_laws_have_no_entry_law():
    assert entry_law(INITIALIZERS["orthogonal"](), 3, 3) is None
    assert entry_law(INITIALIZERS["randomized_asymmetric"](), 3, 3) is None
    assert entry_law(INITIALIZERS["mirrored_normal"](), 3, 3) is None
    assert entry_law(INITIALIZERS["covering_normal"](points=((1.0,),)), 1, 3) is None

    import scipy.stats

    for law in (scipy.stats.norm(0.1, 1.0), scipy.stats.uniform(0, 1), scipy.stats.gamma(2.0)):
        skewed = Initializer("skewed", normal().draw, lambda i, o, law=law: law)
        assert entry_law(skewed, 3, 3) is None


def test_absent_and_constant_laws_are_constants():
    assert entry_law(None, 2, 2).below(0.0) == 1.0
    assert entry_law(None, 2, 2).below(-1e-300) == 0.0
    entry = entry_law(INITIALIZERS["constant"](0.5), 2, 2, 3.0)
    assert entry.constant == 1.5
    assert entry.reflected().constant == -1.5
    assert math.isclose(entry_law(normal(), 2, 2, 0.0).constant, 0.0)
