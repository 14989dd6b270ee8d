import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from jaxsim.errors import InputError
from jaxsim.problem.input_laws import INPUT_LAWS, PointsLaw, UniformLaw, uniform_index
from jaxsim.problem.support import Ball, Box, Everything, Points
from jaxsim.registry import build

# Kolmogorov-Smirnov tests below have a false-alarm rate of 1e-8 each, fewer than 50 of them.
LEVEL = 1e-8


def law_of(name, **parameters):
    return build(INPUT_LAWS, {"law": name, **parameters}, "problem.input", tag="law")


def ball_coordinate(radius, d):
    """Return the law of one coordinate of a uniform point of a ball: (1 + x/r) / 2 ~ Beta."""
    a = (d + 1) / 2
    return stats.beta(a, a, loc=-radius, scale=2 * radius)


def sphere_coordinate(radius, d):
    a = (d - 1) / 2
    return stats.beta(a, a, loc=-radius, scale=2 * radius)


CASES = {
    "uniform": (
        law_of("uniform", low=[-1.0, 0.0], high=[2.0, 0.5]),
        [stats.uniform(-1, 3), stats.uniform(0, 0.5)],
    ),
    "normal": (
        law_of("normal", mean=[1.0, -2.0], std=0.5),
        [stats.norm(1, 0.5), stats.norm(-2, 0.5)],
    ),
    **{
        f"ball {d}": (law_of("ball", radius=1.5, dimension=d), [ball_coordinate(1.5, d)] * d)
        for d in (2, 3, 5)
    },
    **{
        f"sphere {d}": (law_of("sphere", radius=1.5, dimension=d), [sphere_coordinate(1.5, d)] * d)
        for d in (2, 3, 5)
    },
}


@pytest.mark.parametrize("name", CASES)
def test_samples_follow_the_law_in_every_coordinate(name):
    law, coordinates = CASES[name]
    x = law.sample(jax.random.key(7), 4000, "float32")
    assert x.shape == (4000, law.dimension)
    assert x.dtype == "float32"
    for column, expected in zip(np.asarray(x).T, coordinates, strict=True):
        assert stats.kstest(column, expected.cdf).pvalue > LEVEL


@pytest.mark.parametrize("name", CASES)
def test_transport_of_the_cube_has_the_law(name):
    law, coordinates = CASES[name]
    u = qmc.Sobol(law.unit_dimension, rng=np.random.default_rng(0)).random_base2(12)
    x = law.from_unit(u)
    assert x.shape == (4096, law.dimension)
    assert x.dtype == np.float64
    for column, expected in zip(x.T, coordinates, strict=True):
        # Scrambled Sobol' points are more even than random ones: distance below 1 / 50.
        assert stats.kstest(column, expected.cdf).statistic < 0.02
    covariance = np.cov(x.T)
    expected = np.diag([c.var() for c in coordinates])
    np.testing.assert_allclose(covariance, expected, atol=0.03)


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith(("ball", "sphere"))])
def test_distances_from_the_centre(name):
    law, _ = CASES[name]
    d = law.dimension
    u = np.random.default_rng(5).random((4000, law.unit_dimension))
    for x in (np.asarray(law.sample(jax.random.key(8), 4000, "float64")), law.from_unit(u)):
        distance = np.linalg.norm(x, axis=1)
        if name.startswith("sphere"):
            np.testing.assert_allclose(distance, 1.5, rtol=1e-14)
        else:
            assert distance.max() <= 1.5 * (1 + 1e-14)
            assert stats.kstest((distance / 1.5) ** d, "uniform").pvalue > LEVEL
        # Isotropic: the first two coordinates have a uniform angle.
        angle = np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi) + 0.5
        assert stats.kstest(angle, "uniform").pvalue > LEVEL


@pytest.mark.parametrize("name", CASES)
def test_extreme_points_of_the_cube_stay_finite_and_in_the_support(name):
    law, _ = CASES[name]
    k = law.unit_dimension
    corners = np.stack([np.zeros(k), np.full(k, 0.5), np.full(k, 1 - 2.0**-53)])
    x = law.from_unit(corners)
    assert np.isfinite(x).all()
    if isinstance(law.support, Box):
        assert ((x >= law.low) & (x <= law.high)).all()
    if isinstance(law.support, Ball):
        assert (np.linalg.norm(x, axis=1) <= 1.5 * (1 + 1e-15)).all()


def test_uniform_samples_never_leave_the_box():
    law = law_of("uniform", low=-0.1, high=1e-8)
    x = law.sample(jax.random.key(0), 100_000, "float32")
    assert float(x.max()) <= np.float32(1e-8)
    assert float(x.min()) >= np.float32(-0.1)


def test_supports():
    assert CASES["uniform"][0].support == Box((-1.0, 0.0), (2.0, 0.5))
    assert CASES["normal"][0].support == Everything(2)
    assert CASES["ball 3"][0].support == Ball(1.5, 3)
    assert CASES["sphere 3"][0].support == Ball(1.5, 3)
    support = law_of("points", points=[[1.0, 2.0]]).support
    assert isinstance(support, Points)
    assert support.points.tolist() == [[1.0, 2.0]]


def test_densities_of_one_variable():
    assert law_of("uniform", low=-2, high=3).density_1d == ("uniform", -2.0, 3.0)
    assert law_of("normal", mean=1, std=2).density_1d == ("normal", 1.0, 2.0)
    for law, _ in CASES.values():
        assert law.density_1d is None
    assert law_of("points", points=[0.0, 1.0]).density_1d is None


def test_balls_and_spheres_of_one_dimension():
    assert law_of("ball", radius=2.0, dimension=1) == UniformLaw((-2.0,), (2.0,))
    points, weights = law_of("sphere", radius=2.0, dimension=1).finite
    assert points.tolist() == [[-2.0], [2.0]]
    assert weights.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 5.0]])
def test_points_are_drawn_with_their_weights(weights):
    law = law_of("points", points=[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], weights=weights)
    points, shares = law.finite
    expected = np.full(3, 1 / 3) if weights is None else np.array(weights) / 8
    np.testing.assert_allclose(shares, expected, rtol=1e-15)
    index = law.sample_index(jax.random.key(1), 8000)
    assert index.dtype == jnp.int32
    counts = np.bincount(np.asarray(index), minlength=3)
    # Chi-squared with a false-alarm rate of 1e-7.
    assert stats.chisquare(counts, 8000 * expected).pvalue > 1e-7
    x = law.sample(jax.random.key(1), 8000, "float32")
    np.testing.assert_array_equal(x, points[np.asarray(index)])
    grid = (np.arange(8000)[:, None] + 0.5) / 8000
    moved = law.from_unit(grid)
    for point, share in zip(points, expected, strict=True):
        assert (moved == point).all(1).mean() == pytest.approx(share, abs=1 / 8000)


def test_other_keys_give_other_samples_and_equal_keys_the_same():
    law = CASES["ball 5"][0]
    first, again, other = (law.sample(jax.random.key(k), 10, "float64") for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not (np.asarray(first) == np.asarray(other)).any()


@pytest.mark.parametrize("name", ["uniform", "ball 3", "points"])
def test_sampling_is_pure_jax(name):
    law = law_of("points", points=[1.0, 2.0]) if name == "points" else CASES[name][0]
    draw = lambda key: law.sample(key, 5, "float32")  # noqa: E731
    many = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 3))
    assert many.shape == (3, 5, law.dimension)


def test_points_law_from_arrays():
    law = PointsLaw(np.eye(3), np.full(3, 1 / 3))
    assert law.dimension == 3
    assert law.unit_dimension == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"law": "uniform", "low": 1.0, "high": 1.0}, "low = 1.0 must be less than high = 1.0"),
        ({"law": "uniform", "low": [0.0, 0.0], "high": [1.0]}, "entries"),
        ({"law": "uniform", "low": [0.0, 0.0], "dimension": 3}, "low has 2 entries"),
        ({"law": "uniform", "dimension": 0}, "at least 1"),
        ({"law": "uniform", "low": float("nan")}, "problem.input.low"),
        ({"law": "uniform", "low": -1e308, "high": 1e308}, "too far apart"),
        ({"law": "normal", "std": 0.0}, "std = 0.0"),
        ({"law": "normal", "std": [1.0, -1.0]}, "std = -1.0"),
        ({"law": "ball", "radius": 0.0, "dimension": 3}, "radius = 0.0"),
        ({"law": "sphere", "radius": -1.0, "dimension": 3}, "radius = -1.0"),
        ({"law": "sphere", "dimension": 0}, "at least 1"),
        ({"law": "points", "points": []}, "points is empty"),
        ({"law": "points", "points": [[1.0, 2.0], [3.0]]}, "point 2 has 1 coordinates"),
        ({"law": "points", "points": [1.0, 2.0], "weights": [1.0]}, "weights has 1 entries"),
        ({"law": "points", "points": [1.0, 2.0], "weights": [1.0, 0.0]}, "weights = 0.0"),
        ({"law": "points", "points": ["a"]}, "problem.input.points"),
        ({"law": "gauss"}, "accepted: ball, normal, points, sphere, uniform"),
    ],
)
def test_bad_parameters_are_refused(spec, message):
    with pytest.raises(InputError, match=message):
        build(INPUT_LAWS, spec, "problem.input", tag="law")


@pytest.mark.parametrize("n", [1, 2, 3, 1797, 2**20 + 7, 2**31 - 1])
def test_uniform_indices_are_exact_shares_of_64_random_bits(n):
    key = jax.random.key(5)
    bits = np.asarray(jax.random.bits(key, (2000,), jnp.uint64))
    found = np.asarray(uniform_index(key, n, 2000))
    assert found.dtype == np.int32
    assert found.tolist() == [int(u) * n >> 64 for u in bits]
