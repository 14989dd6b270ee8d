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

from numpy.typing import ArrayLike

from jaxsim.estimation.intervals import lower_bound


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
