"""What JAX computes and what the generated C computes are the same, special values included."""

import ctypes
import subprocess

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxsim.engines.native import library
from jaxsim.engines.native.expressions import Statements
from jaxsim.engines.native.values import Untranslatable, inputs, vector
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.problem.losses import LOSSES
from tests.network.test_activations import NAMES

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")

SPECIAL = [0.0, -0.0, 1.0, -1.0, 6.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 80.0, -80.0]
BYTES = library.target().vector_bytes


def compiled(tmp_path, dtype, functions, flags=("-DUSE_LIBMVEC", "-lmvec", "-lm")):
    """Return callables: each maps a list of vectors of V numbers to a list of such vectors."""
    dtype = np.dtype(dtype)
    lanes = BYTES // dtype.itemsize
    lines = [
        f"#define REAL_BITS {8 * dtype.itemsize}",
        f"#define VECTOR_BYTES {BYTES}",
        f"#define LANES {lanes}",
        '#include "native.h"',
    ]
    counts = []
    for number, (function, shapes) in enumerate(functions):
        body = Statements(dtype)
        examples = [jnp.zeros(shape, kind) for shape, kind in shapes]
        given = [inputs(f"a{k}", s, kind, True) for k, (s, kind) in enumerate(shapes)]
        found = [v for array in body.trace(function, examples, given) for v in array.ravel()]
        lines.append(f"void f{number}(const real *x, real *r) {{")
        place = 0
        for array in given:
            for value in array.ravel():
                read = f"load(x + {place} * V)"
                whole = value.dtype.kind in "iu"
                text = f"__builtin_convertvector({read}, mask)" if whole else read
                lines.append(f"const {'mask' if whole else 'vec'} {value.text} = {text};")
                place += 1
        lines += [*body.uniform, *body.varying]
        lines += [f"store(r + {k} * V, {vector(v)});" for k, v in enumerate(found)]
        lines.append("}")
        counts.append(len(found))
    source, made = tmp_path / "f.c", tmp_path / "f.so"
    source.write_text("\n".join(lines))
    include = [f"-I{library.HEADER.parent}", f"-I{jax.ffi.include_dir()}"]
    command = [library.compiler(), *library.flags(), *include, str(source), "-o", str(made), *flags]
    subprocess.run(command, check=True)
    loaded = ctypes.CDLL(str(made))

    def call(number):
        def run(*vectors):
            given = np.ascontiguousarray(np.stack(vectors), dtype)
            out = np.empty((counts[number], lanes), dtype)
            loaded[f"f{number}"](
                given.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p)
            )
            return out

        return run

    return [call(number) for number in range(len(functions))], lanes


def chunks(values, lanes):
    values = np.resize(np.asarray(values), -(-len(values) // lanes) * lanes)
    return values.reshape(-1, lanes)


@pytest.mark.parametrize(
    ("dtype", "vectors"),
    [
        ("float32", True),
        pytest.param("float64", False, marks=pytest.mark.slow),
        pytest.param("float64", True, marks=pytest.mark.slow),
        pytest.param("float32", False, marks=pytest.mark.slow),
    ],
)
def test_activations_and_their_derivatives(dtype, vectors, tmp_path):
    def both(function):
        return lambda z, dh: (function(z), jax.vjp(function, z)[1](dh)[0])

    found = [both(ACTIVATIONS[name]().function) for name in NAMES]
    shapes = [((), dtype), ((), dtype)]
    flags = ("-DUSE_LIBMVEC", "-lmvec", "-lm") if vectors else ("-lm",)
    calls, lanes = compiled(tmp_path, dtype, [(f, shapes) for f in found], flags)
    unit = float(jnp.finfo(dtype).eps)
    z = np.concatenate([SPECIAL, np.random.default_rng(0).normal(0, 3, 200)])
    for name, function, call in zip(NAMES, found, calls, strict=True):
        for part in chunks(z, lanes).astype(dtype):
            for dh in (np.full_like(part, 1.5), np.where(np.isfinite(part), part, 1)[::-1]):
                with jax.debug_nans(False):
                    expected = jax.vmap(function)(jnp.asarray(part), jnp.asarray(dh, dtype))
                for have, want in zip(call(part, dh), np.stack(expected), strict=True):
                    # 1 - tanh^2 and its like cancel: absolute errors grow with what they multiply.
                    atol = 20 * unit * np.abs(dh).max()
                    np.testing.assert_allclose(have, want, rtol=200 * unit, atol=atol, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_angles_are_right_in_all_directions(dtype, tmp_path):
    (call,), lanes = compiled(tmp_path, dtype, [(jnp.arctan2, [((), dtype), ((), dtype)])])
    rng = np.random.default_rng(0)
    y, x = (rng.normal(size=800) * 10.0 ** rng.uniform(-18, 18, 800) for _ in range(2))
    y[:200] = x[:200] * np.tan(np.linspace(-1.5, 1.5, 200))
    signs = np.array([[0, 0.5], [0, -0.5], [0, 0], [3, 0], [3, np.inf], [np.inf, 3]])
    signs = (signs[:, None] * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])).reshape(-1, 2)
    y, x = (np.concatenate([a, b]).astype(dtype) for a, b in ((y, signs[:, 0]), (x, signs[:, 1])))
    pairs = list(zip(chunks(y, lanes), chunks(x, lanes), strict=True))
    found = np.concatenate([call(*pair)[0] for pair in pairs])
    exact = [mpmath.atan2(float(a), float(b)) for a, b in zip(y[:800], x[:800], strict=True)]
    error = [abs(mpmath.mpf(float(a)) / b - 1) for a, b in zip(found[:800], exact, strict=True)]
    assert max(error) < 1.5 * np.finfo(dtype).eps
    # Signs of zeros and infinities, which mpmath does not have.
    assert np.array_equal(found[800 : len(y)], np.arctan2(y[800:], x[800:]))
    assert np.isnan(call(*np.full((2, lanes), np.nan))).all()


def test_losses_and_their_derivatives(tmp_path):
    arguments = {"power": {"power": 3.0}, "quantile": {"level": 0.3}}
    names = [name for name in LOSSES if name != "function"]
    functions, samplers = [], []
    rng = np.random.default_rng(1)
    for name in names:
        loss = LOSSES[name](**arguments.get(name, {}))
        outputs = 5 if loss.kind == "classes" else 1 if loss.kind == "binary" else 3
        y = {
            "classes": ((), "int32"),
            "binary": ((), "float32"),
            "regression": ((outputs,), "float32"),
        }[loss.kind]

        def value(p, y, loss=loss):
            value, back = jax.vjp(lambda q: loss.function(q, y), p)
            return value, back(jnp.ones_like(value))[0]

        functions.append((value, [((outputs,), "float32"), y]))
        samplers.append((loss.kind, outputs))
    calls, lanes = compiled(tmp_path, "float32", functions)
    for (function, shapes), (kind, outputs), call in zip(functions, samplers, calls, strict=True):
        p = rng.normal(0, 2, (outputs, lanes)).astype(np.float32)
        if kind == "regression":
            y = p + rng.normal(0, 2, p.shape).astype(np.float32)
            y[:, :3] = p[:, :3]  # at the kink
        else:
            y = rng.integers(0, 5 if kind == "classes" else 2, (1, lanes))
        given = jnp.asarray(y, shapes[1][1])
        axes = (1, 1 if kind == "regression" else 0)
        value, slope = jax.vmap(function, axes)(
            jnp.asarray(p), given if kind == "regression" else given[0]
        )
        found = call(*p, *y.astype(np.float32))
        np.testing.assert_allclose(found[0], value, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[1:], slope.T, rtol=1e-5, atol=1e-6)


TABLE = jnp.ones(1000, jnp.float32)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: jax.lax.while_loop(lambda c: c < 1, lambda c: c + 1, x), "'while'"),
        (lambda x: jnp.cumsum(x * jnp.ones(3, jnp.float32))[2], "'cumsum'"),
        (lambda x: x.astype(jnp.float64) * 2, "float64 while training in float32"),
        (lambda x: (x * TABLE).sum(), r"constant float32\[1000\]"),
    ],
)
def test_what_cannot_be_written_says_why(function, reason):
    body = Statements(np.dtype(np.float32))
    with pytest.raises(Untranslatable, match=reason):
        body.trace(function, [jnp.zeros((), jnp.float32)], [inputs("x", (), "float32", True)])
