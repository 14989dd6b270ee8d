"""How bounds of inf L are found, stored and checked: what a strategy of the registry provides.

A strategy searches once (minutes at most, a task of the plan) and leaves a certificate: plain
arrays from which its bounds follow by a short computation. `verify` does that computation anew
whenever the certificate is read, so that a wrong or damaged one cannot make a wrong bound: what a
search says about itself is never believed.

    search: (problem, network, budget) -> certificate        long, may stop early
    verify: (problem, network, certificate) -> bounds        short, the only source of bounds
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from jaxsim.evidence import Bound
from jaxsim.network.network import Network
from jaxsim.problem.problem import Problem


class CertificateError(Exception):
    """A certificate does not show what it should; the message says what is wrong with it."""


@dataclass(frozen=True)
class Certificate:
    """What a search leaves behind: enough to check its bounds in seconds.

    Attributes:
        strategy: name in the registry.
        arrays: by name; bool, integer or float64, no objects.
        finished: whether the search ended by itself; False if its budget cut it short, so that it
            goes on from here when there is more.
        version: of the strategy whose search left it; 0 if nobody said.
    """

    strategy: str
    arrays: Mapping[str, np.ndarray]
    finished: bool = True
    version: int = 0


class Bounds(NamedTuple):
    """What a certificate shows.

    Attributes:
        lowers: lower bounds of inf L.
        uppers: upper bounds of inf L.
        theta: parameters [P], float64, whose risk is the best upper bound; None without any.
    """

    lowers: tuple[Bound, ...] = ()
    uppers: tuple[Bound, ...] = ()
    theta: np.ndarray | None = None


@dataclass
class Budget:
    """Seconds that a search may take; looked at often, inside of loops too.

    The steps of a search do not depend on the clock: it only decides where they are cut short.

    Attributes:
        seconds: allowed; infinite for none.
        began: when it began, monotonic seconds.
    """

    seconds: float
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds left, not negative."""
        return max(0.0, self.seconds - (time.monotonic() - self.began))

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left == 0.0

    def share(self, part: float) -> Budget:
        """Return a budget of a part of what is left."""
        return self.at_most(self.left * part)

    def at_most(self, seconds: float) -> Budget:
        """Return a budget of so many seconds, or of what is left if that is less."""
        return Budget(min(self.left, seconds))


class Strategy(Protocol):
    """A way to bound the optimal risk from below, from above, or both.

    Attributes:
        name: in the registry, in certificates and reports.
        bounds_below: whether it may give lower bounds: narrower networks are searched for these.
        version: of its search, at least 1. Whoever makes the search find more raises it: what an
            earlier one has finished is verified and used as ever, and searched on.
    """

    name: str
    version: int
    bounds_below: bool

    def unsupported_reason(self, problem: Problem, network: Network) -> str:
        """Return why it has nothing to say, one clause; empty if it has."""
        ...

    def search(
        self,
        problem: Problem,
        network: Network,
        budget: Budget,
        begin: Certificate | None = None,
        runs: Sequence[np.ndarray] = (),
    ) -> Certificate | None:
        """Return what was found, None for nothing.

        Args:
            problem: law of (X, Y) and loss.
            network: the hypothesis class.
            budget: of the search; within it the best so far is returned, not finished.
            begin: of an earlier search that was cut short, to go on from; or of one that an earlier
                version has finished, whose marks of progress mean nothing now.
            runs: final parameters [P] of runs of a study, to start from.
        """
        ...

    def verify(self, problem: Problem, network: Network, certificate: Certificate) -> Bounds:
        """Return the bounds that a certificate shows, computed anew.

        It is asked only of certificates with arrays, and where it has something to say.

        Raises:
            CertificateError: for a certificate that shows nothing: wrong shapes, not finite, of
                another problem or network.
        """
        ...
