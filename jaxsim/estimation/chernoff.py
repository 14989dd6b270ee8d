"""Guaranteed limits of a weighted sum of probabilities: Chernoff's bound over a box of them.

Let S = sum_k pi_k X_k / n_k with X_k ~ Bin(n_k, f_k), observed as s. For every lambda > 0

    P(S <= s) <= e^(-G),   G = -sum_k n_k log(1 - f_k (1 - e^(-lambda pi_k / n_k))) - lambda s,
    P(S >= s) <= e^(-G),   G = lambda s - sum_k n_k log(1 + f_k (e^(lambda pi_k / n_k) - 1)),

so that the true f has G <= L for all lambda at once, but with probability e^(-L) for each end. It
also lies in the box of Clopper-Pearson limits of all strata, but with the error of that. The end is
the extreme of sum_k pi_k f_k over what is left for the best lambda: the box keeps the variance of
S near its estimate (Berger and Boos, J. Am. Stat. Assoc. 89, 1994), and the sum is judged as one
quantity, while limits that hold for every stratum at once (Bonferroni) add up.

Chernoff's bound drops a factor: the tail is e^(-G) E[e^(-lambda |S - s|); S beyond s] under the
tilted law, where X_k ~ Bin(n_k, g_k) with odds of f_k times e^(-+ lambda pi_k / n_k). With V the
variance of lambda S there, and R the sum of the third absolute moments of its Bernoulli terms,

    E[...] <= B = 1 / sqrt(2 pi V) + 2 C R / V^(3/2),   C = 0.56,

for a normal law would give at most the first term, and no distribution function of the sum is
farther from the normal one than C R / V^(3/2) (Berry and Esseen; the constant is Shevtsova's,
Doklady Mathematics 82, 2010), which counts twice, for a function of total variation 2. The largest
B over the box is taken, so that G <= L + log(min(B, 1)) still excludes only what is that unlikely.
Where many runs fail the interval is 1.3 to 1.4 times as wide as an approximate one.

G is convex in f and the objective linear: for a multiplier mu the extreme is, clipped to the box,

    f_k = 1 / (1 - e^(-lambda pi_k / n_k)) - mu n_k / pi_k   and   mu n_k / pi_k - 1 / (e^... - 1).
"""

from __future__ import annotations

import numpy as np

_STEPS, _CLOSE = 60, 1e-8
_POINTS, _ROUNDS = 9, 3
"""Values of lambda that are looked at together, and how often between neighbours of the best."""
_STEEPEST = 60.0
"""Largest exponent lambda pi_k / n_k."""
_NORMAL, _BERRY_ESSEEN = (2 * np.pi) ** -0.5, 0.56


def chernoff_limit(
    weights: np.ndarray,
    counts: np.ndarray,
    runs: np.ndarray,
    box: tuple[np.ndarray, np.ndarray],
    level: float,
    *,
    upper: bool,
) -> np.ndarray:
    """Return the limit of sum_k pi_k f_k, [C].

    Args:
        weights: pi_k, [S]; strata of weight 0 or without runs are left out.
        counts: X_k, [S, C].
        runs: n_k, [S].
        box: lower and upper limits of all f_k, [S, C] each.
        level: L = log(1 / error of this end).
        upper: which end.
    """
    used = (np.asarray(weights) > 0) & (np.asarray(runs) > 0)
    w, n = (np.asarray(a, float)[used][:, None] for a in (weights, runs))
    x, low, high = (np.asarray(a, float)[used] for a in (counts, *box))
    if not len(w):
        return np.zeros(np.shape(counts)[1])
    # Equal columns have equal limits, and a band has many of them.
    columns, where = np.unique(np.concatenate([x, low, high]), axis=1, return_inverse=True)
    x, low, high = np.split(columns, 3)
    # In units of the largest weight, so that 1e-30 is as good as 1.
    scale = w.max()
    w = w / scale
    limit = _best_limit(w, x, n, low, high, level, upper)
    return (scale * limit)[where.reshape(-1)]


def _best_limit(
    w: np.ndarray,
    x: np.ndarray,
    n: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    level: float,
    upper: bool,
) -> np.ndarray:
    """Return the best of the limits over lambda, [C]: every lambda gives one that holds.

    Args:
        w: weights, [S, 1].
        x: counts, [S, C].
        n: runs, [S, 1].
        low: of the box, [S, C].
        high: of the box, [S, C].
        level: L.
        upper: which end.
    """
    share = (x + 1) / (n + 2)
    variance = (w**2 * share * (1 - share) / n).sum(0)
    start = np.log(np.sqrt(2 * level / variance))
    steepest = np.log(_STEEPEST * (n / w).min())
    first, last = start - 2.5, np.maximum(np.minimum(start + 6.0, steepest), start - 2.0)
    best = np.full(len(start), np.inf)
    by_lambda = [a[:, None] for a in (w, x, n, low, high)]
    for _ in range(_ROUNDS):
        step = (last - first) / (_POINTS - 1)
        logs = first + step * np.arange(_POINTS)[:, None]
        found = _limit(np.exp(logs), by_lambda, level, upper)
        found = found if upper else -found
        place = found.argmin(0)
        best = np.minimum(best, found.min(0))
        first, last = (first + step * np.clip(place + i, 0, _POINTS - 1) for i in (-1, 1))
    return best if upper else -best


def _largest_factor(
    exponent: np.ndarray, n: np.ndarray, low: np.ndarray, high: np.ndarray, upper: bool
) -> np.ndarray:
    """Return the largest B of the box, at most 1, [K, C].

    B falls with V and rises with R = sum_k r_k v_k, where v_k is stratum k's part of V. For a given
    V it is largest where the strata of largest r_k have their largest v_k and the others their
    least, so that one path through the box, along which B is c V^-1/2 + (a + r V) V^-3/2 between
    its corners, shows the maximum.

    Args:
        exponent: lambda pi_k / n_k, [S, K, C].
        n: runs, [S, 1, 1].
        low: of the box, [S, 1, C].
        high: of the box, [S, 1, C].
        upper: which end of the sum.
    """
    odds = np.exp(-exponent if upper else exponent)
    ends = [f * odds / (1 - f + f * odds) for f in (low, high)]
    at_ends = [g * (1 - g) for g in ends]
    least, most = np.minimum(*at_ends), np.maximum(*at_ends)
    most = np.where((ends[0] < 0.5) & (ends[1] > 0.5), 0.25, most)
    # E|X - g|^3 = q (1 - 2 q) with the variance q = g (1 - g).
    r = 2 * _BERRY_ESSEEN * exponent * (1 - 2 * least)
    order = np.argsort(-r, axis=0)
    a, b, r = (
        np.take_along_axis(values, order, 0)
        for values in (n * exponent**2 * least, n * exponent**2 * most, r)
    )
    more = b - a
    ahead = np.concatenate([np.zeros_like(a[:1]), np.cumsum(more, 0)])
    v = a.sum(0) + ahead
    third = (r * a).sum(0) + np.concatenate([np.zeros_like(a[:1]), np.cumsum(r * more, 0)])[:-1]
    rest = third - r * v[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        peak = np.clip(-3 * rest / (_NORMAL + r), v[:-1], v[1:])
        factors = _NORMAL * peak**-0.5 + (rest + r * peak) * peak**-1.5
    factors = np.where(peak > 0, factors, 1.0)
    return np.minimum(factors.max(0), 1.0)


def _limit(lam: np.ndarray, known: list[np.ndarray], level: float, upper: bool) -> np.ndarray:
    """Return the extreme of sum w f over the box where G <= level, [K, C].

    Args:
        lam: values of lambda, [K, C].
        known: weights, counts, runs and the ends of the box, as in `_best_limit`, [S, 1, ...] each.
        level: L.
        upper: which end.
    """
    w, x, n, low, high = known
    # Where the exponent is cut another weight stands in S; the bound holds for any weights there.
    exponent = np.minimum(lam * w / n, _STEEPEST)
    s = (exponent * x).sum(0)
    factor = -np.expm1(-exponent) if upper else np.expm1(exponent)
    inverse, slope = 1 / factor, n / w
    allowed = level + np.log(_largest_factor(exponent, n, low, high, upper))

    def f_of(logs: np.ndarray) -> np.ndarray:
        middle = np.exp(logs) * slope
        return np.clip(inverse - middle if upper else middle - inverse, low, high)

    def excess(f: np.ndarray) -> np.ndarray:
        if upper:
            with np.errstate(divide="ignore"):
                return -(n * np.log1p(-f * factor)).sum(0) - s - allowed
        return s - (n * np.log1p(f * factor)).sum(0) - allowed

    # The corner of the box where the sum is extreme, and the opposite one.
    far, near = (high, low) if upper else (low, high)
    corners = [np.abs(inverse - f if upper else f + inverse) / slope for f in (far, near)]
    a, b = (
        np.log(np.maximum(end, 1e-300))
        for end in (np.minimum(*corners).min(0), np.maximum(*corners).max(0))
    )
    at_a, at_b = excess(np.broadcast_to(far, inverse.shape)), excess(near + 0 * inverse)
    # Where nothing of the box is left, which the error covers, the box speaks; as it does where
    # all of it is.
    whole = (at_a <= 0) | (at_b > 0)
    for step in range(_STEPS):
        width = b - a
        if not (~whole & (width > _CLOSE)).any():
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            share = at_a / (at_a - at_b)
        share = np.where(np.isfinite(share), np.clip(share, 0.02, 0.98), 0.5)
        middle = a + width * (share if step % 3 else 0.5)
        value = excess(f_of(middle))
        over = value > 0
        # `a` stays where G exceeds the level, which is the safe side.
        a, at_a = np.where(over, middle, a), np.where(over, value, at_a)
        b, at_b = np.where(over, b, middle), np.where(over, at_b, value)
    return np.where(whole, (w * far).sum(0), (w * f_of(a)).sum(0))
