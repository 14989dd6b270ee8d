"""A lower bound on liminf_n P(L(Theta_n) > inf L + eps) from finitely many runs of finite length.

Let A_T be the event that a run carries a certificate at step T: its risk exceeds inf L + eps at
every step n >= T, whatever mini-batches follow. For every n >= T the event {L(Theta_n) > inf L +
eps} contains A_T, hence

    liminf_n P(L(Theta_n) > inf L + eps)  >=  P(A_T)        for every T.

(Fatou's lemma says the same of the union of all A_T: the left side is at least P(A_T for some T).)
A certificate is never lost: A_T grows with T, P(A_T) does not decrease, and longer runs make
a better bound. The number of certified ones among R independent runs is Bin(R, P(A_T)). The exact
one-sided lower limit of Clopper and Pearson is at most P(A_T), and so at most the limit, with
probability at least `confidence`, for every R, every T fixed beforehand and whatever the optimizer
does later. With the same runs it does not decrease with T either, since their number does not.

Two things keep that coverage. A certificate that is right but not found makes the count smaller. So
does an upper end of inf L above it, even if it is the best risk of the same runs: for every outcome
the count is at most the one with inf L itself, and the limit is monotone in the count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.estimation.checks import checked_counts, checked_level
from jaxsim.estimation.intervals import lower_bound
from jaxsim.estimation.stratified import one_end
from jaxsim.estimation.stratified_counts import StratifiedCounts


def liminf_bound(certified: ArrayLike, runs: ArrayLike, confidence: float) -> Any:
    """Return the lower confidence bound on liminf_n P(L(Theta_n) > inf L + eps), one-sided.

    Args:
        certified: runs whose risk exceeds inf L + eps for ever, integers.
        runs: all runs, a number fixed beforehand.
        confidence: probability with which the bound holds, at least.

    Raises:
        InputError: as `lower_bound`.

    Example:
        >>> f"{liminf_bound(2600, 20_000, 0.95):.4f}"
        '0.1261'
    """
    return lower_bound(certified, runs, confidence)


def stratified_liminf_bound(
    weights: np.ndarray,
    certified: ArrayLike,
    runs: ArrayLike,
    confidence: float,
    decided: np.ndarray | None = None,
    at_every_look: bool = False,
    errors: np.ndarray | None = None,
) -> float:
    """Return the lower confidence bound on the limit from the runs of strata, one-sided.

    It is the lower end of `jaxsim.estimation.stratified.stratified`, with all of the error.

    Args:
        weights: probabilities of the strata, [S].
        certified: runs of each stratum whose risk exceeds inf L + eps for ever, integers [S].
        runs: all runs of each, [S]; strata without runs add nothing.
        confidence: probability with which the bound holds, at least.
        decided: strata all of whose runs do by proof, bool [S].
        at_every_look: whether it holds for all numbers of runs at once, and not for one that was
            fixed beforehand.
        errors: absolute bounds on the errors of the weights, [S].

    Raises:
        InputError: as `lower_bound`.

    Example:
        >>> bound = stratified_liminf_bound(np.array([0.75, 0.25]), [0, 100], [100, 100], 0.95)
        >>> round(bound, 4), round(0.25 * float(lower_bound(100, 100, 0.975)), 4)
        (0.2409, 0.2409)
    """
    k, n = (np.atleast_1d(counts) for counts in checked_counts(certified, runs))
    k, n = k.astype(np.int64), n.astype(np.int64)
    alpha = 1 - checked_level(confidence, "confidence")
    fate = np.zeros(len(k), np.int8) if decided is None else decided.astype(np.int8)
    wrong = np.zeros(len(k)) if errors is None else errors
    counts = StratifiedCounts(np.asarray(weights, np.float64), wrong, k, k, n, fate)
    # Limits for a fixed number take half of a two-sided error each, a sequence all of it.
    method, sides = ("sequence", 1) if at_every_look else ("clopper-pearson", 2)
    return float(one_end(counts, sides * alpha, method, upper=False))
