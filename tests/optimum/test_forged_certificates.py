"""Whatever stands in a certificate with a right checksum: it shows what is true, or nothing."""

import numpy as np
import pytest

from jaxsim.optimum.data import Interpolation, LinearModel, Margin, Separable
from jaxsim.optimum.hypothesis_class import HypothesisClass
from jaxsim.optimum.line import FreeKnots
from jaxsim.optimum.solve import verified
from jaxsim.optimum.strategy import Budget, Certificate, CertificateError
from tests.optimum.data.cases import net, problem_of
from tests.risk.cases import make_problem
from tests.studies import slow_but

XOR = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
LINE = np.linspace(-1, 1, 5)[:, None]
CASES = {
    # inf L is known by other means: 4 / (45 3^4); E|X^2 - 1/4|; the median; least squares.
    "free knots": (FreeKnots(), make_problem("x**2"), net(1, 2, 1), 4 / 45 / 81),
    # Between the parameters of a long search and a part in 1e-7 more: for the slope condition.
    "slopes": (FreeKnots(), make_problem("sin(pi*x)"), net(1, 2, 1), 0.0334581669),
    "dual": (FreeKnots(), make_problem("x**2", loss="absolute"), net(1, 1), 0.25),
    "separable": (Separable(), problem_of(LINE, [0, 0, 1, 1, 1], "logistic", classes=2),
                  net(1, 2, 1), 0.0),
    "features": (Interpolation(), problem_of(LINE, [0.0, 2.0, 1.0, 5.0, 5.0]),
                 net(1, 3, 4, 1, activation="leaky_relu"), 0.0),
    "distinct": (Interpolation(), problem_of(LINE, [0.0, 2.0, 1.0, 5.0, 5.0]), net(1, 4, 1), 0.0),
    "linear": (LinearModel(), problem_of(LINE, [0.0, 2.0, 1.0, 5.0, 5.0]), net(1, 1), 0.86),
    "linear absolute": (LinearModel(), problem_of(0 * LINE, [0.0, 2.0, 1.0, 5.0, 7.0], "absolute"),
                        net(1, 1), 2.2),
    "margin": (Margin(), problem_of(XOR, [0, 1, 1, 0], "logistic", classes=2), net(2, 2, 1), 0.0),
    "risk": (Margin(), problem_of([*XOR, XOR[0]], [0, 1, 1, 0, 1], "hinge", classes=2),
             net(2, 2, 1), 0.4),
}  # fmt: skip


def forged(array: np.ndarray):
    """Arrays that may stand in its place."""
    flat = array.ravel()
    for value in (np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0, -1.0):
        yield np.full(array.shape, value)
        changed = np.array(array, float)
        changed.flat[:1] = value
        yield changed
    yield from (1.01 * array, 0.99 * array, -1.0 * array, array + 1e-7, array * (1 + 1e-15))
    yield from (array[::-1], np.sort(flat), flat[:-1], np.concatenate([flat, flat]), flat[:0])
    yield from (array[None], np.array(3.0), np.zeros((0, 3)), np.zeros((2, 2, 2)))
    with np.errstate(all="ignore"):
        yield from (
            array.astype(kind) for kind in (bool, np.int64, np.uint8, np.float32, np.float16)
        )


@pytest.mark.parametrize(
    "name", slow_but([n for n in CASES if n not in ("dual", "slopes", "risk")], CASES)
)
def test_forged_arrays_show_what_is_true_or_nothing(name):
    strategy, problem, network, truth = CASES[name]
    of = HypothesisClass(name, problem, network)
    found = strategy.search(problem, network, Budget(3.0 if name == "slopes" else 1.0))
    shown = verified(of, strategy, found)
    assert shown.lowers or shown.uppers
    arrays = dict(found.arrays)
    changes = [{**arrays, key: wrong} for key in arrays for wrong in forged(arrays[key])]
    changes += [{k: v for k, v in arrays.items() if k != key} for key in arrays]
    changes += [{**arrays, a: arrays[b]} for a in arrays for b in arrays if a != b]
    refused = 0
    for changed in changes:
        try:
            shown = verified(of, strategy, Certificate(strategy.name, changed))
        except CertificateError:
            refused += 1
            continue
        slack = 1e-7 if name == "slopes" else 1e-12
        assert all(bound.value <= truth * (1 + slack) for bound in shown.lowers)
        assert all(bound.value >= truth * (1 - slack) for bound in shown.uppers)
    assert refused
