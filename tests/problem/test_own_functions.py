"""Functions of the user's own that fail: one sentence with the key and the reason."""

import importlib
import sys

import pytest

from jaxsim.errors import InputError
from jaxsim.launch.simulate import simulate
from jaxsim.study.study import Study
from tests.studies import table

CODE = """
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

LEVEL = 3


def raises(*arguments):
    raise ValueError("the first line\\nthe second line")


def leaves(*arguments):
    raise SystemExit(3)


def of_numpy(x, *more):
    return np.sin(x)


def branches(x, *more):
    return x if x.sum() > 0 else -x


def is_complex(x, *more):
    return 1j * x


def text(*arguments):
    return "text"


def nothing(*arguments):
    return None


def adds_up(x, *more):
    return x.sum()


def looped(p, y):
    squares = ((p - y) ** 2).sum(-1)
    return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 2), (0, squares))[1]


def late(x):
    if x.shape[0] == 5:
        raise KeyError("late")
    return x[:, 0]


def wants(a, b):
    return nn.Dense(1)


class Wrong(nn.Module):
    @nn.compact
    def __call__(self, x):
        raise RuntimeError("mine")


class Statistics(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False)(nn.Dense(1)(x))


class Pair(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(x), x


class Large(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.Dense(100000)(nn.Dense(100000)(x)))
"""


@pytest.fixture
def name(tmp_path):
    name = f"own_functions_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


def study(kind, reference, **more):
    changes = {
        "target": {"problem__target": {"function": reference}},
        "loss": {"problem__loss": {"name": "function", "function": reference}},
        "activation": {"network__activation": {"name": "function", "function": reference}},
        "module": {"network": {"module": reference}},
    }[kind]
    return Study.from_dict(table(**changes, **more), allow_code=True)


KEYS = {
    "target": "problem.target", "loss": "problem.loss", "activation": "network.activation",
    "module": "network.module",
}  # fmt: skip
REASONS = {
    "raises": "ValueError: the first line", "leaves": "SystemExit: 3",
    "of_numpy": "TracerArrayConversionError|missing", "branches": "TracerBool|missing",
    "is_complex": "an array of complex(64|128); accepted: real numbers|missing",
    "text": "str|text", "nothing": "None|function of type|NoneType",
    "adds_up": r"\(\)|missing", "LEVEL": "of type int",
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("function", REASONS)
def test_functions_that_cannot_be_used(kind, function, name):
    with pytest.raises(InputError, match=REASONS[function]) as error:
        study(kind, f"{name}:{function}")
    assert KEYS[kind] in str(error.value)
    assert "\n" not in str(error.value)
    assert "second line" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "function", "part"),
    [
        ("loss", "looped", "Reverse-mode differentiation does not work"),
        ("module", "wants", "missing 2 required positional arguments"),
        ("module", "Wrong", "RuntimeError: mine"),
        ("module", "Statistics", "batch_stats"),
        ("module", "Pair", "tuple"),
        ("module", "Large", "10,000,400,001 parameters"),
    ],
)
def test_what_cannot_be_differentiated_initialized_or_held(kind, function, part, name):
    with pytest.raises(InputError, match=part):
        study(kind, f"{name}:{function}")


def test_a_function_that_fails_later_inside_a_trace_is_a_sentence_too(name, tmp_path):
    late = study("target", f"{name}:late", training__batch_size=5, execution={"width": 16})
    with pytest.raises(InputError, match=r"late' fails on arrays of the shapes .*KeyError"):
        simulate(late, tmp_path / "out", workers=1)
