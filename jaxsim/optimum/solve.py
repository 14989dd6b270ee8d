"""From certificates to bounds of inf L: searches leave them, verification turns them into bounds.

    known at once  +  verified certificates  =  the bracket

A search is cut short by its budget and goes on from its certificate when there is more, or when its
strategy has learned to find more. Whatever is read is verified; what a certificate does not show is
not believed, and is said.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from jaxsim.evidence import Bound, largest, smallest
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.hypothesis_class import HypothesisClass
from jaxsim.optimum.registry import STRATEGIES
from jaxsim.optimum.strategy import Bounds, Budget, Certificate, CertificateError, Strategy

CLOSED = 1e-9
"""A bracket of no more than this relative width is searched no further,"""
NOTHING = 1e-12
"""or of this width relative to the risk of the best constant."""
FIRST_SLICE = 20.0
"""Seconds after which a search is kept for the first time. Every further slice of its time is twice
as long as the one before, so that being killed costs half of a search at the most."""
_OF_ARRAYS = (ValueError, KeyError, IndexError, TypeError, ArithmeticError, MemoryError)
"""What arrays that a stranger has written may raise in any computation."""


class Certificates(Protocol):
    """Where certificates are kept: files of a directory, or memory."""

    def load(self, key: str, strategy: str) -> Certificate | None:
        """Return the certificate of a hypothesis class and a strategy; None if there is none.

        Raises:
            CertificateError: if what is there cannot be read.
        """
        ...

    def place(self, key: str, strategy: str) -> str:
        """Return where it is kept, for sentences."""
        ...

    def save(self, key: str, certificate: Certificate) -> None:
        """Keep a certificate in place of an earlier one of the same strategy."""
        ...


class InMemory:
    """Certificates of this process, kept nowhere."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Certificate] = {}

    def load(self, key: str, strategy: str) -> Certificate | None:
        """Return what was saved."""
        return self._kept.get((key, strategy))

    def place(self, key: str, strategy: str) -> str:
        """Return what it is."""
        return f"certificate {strategy!r}"

    def save(self, key: str, certificate: Certificate) -> None:
        """Keep it until the process ends."""
        self._kept[key, certificate.strategy] = certificate


class Solution(NamedTuple):
    """What certificates show of one hypothesis class.

    Attributes:
        bounds: lower and upper bounds, with the parameters of the best upper one.
        unfinished: strategies whose search was cut short, is of an earlier version or has not
            begun, and could still help.
        remarks: sentences on certificates that are not used.
        begun: whether a certificate is there.
        outdated: whether a search that is unfinished was finished by an earlier version.
        damaged: strategies whose certificate is not used.
    """

    bounds: Bounds = Bounds()
    unfinished: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    begun: bool = False
    outdated: bool = False
    damaged: tuple[str, ...] = ()

    @property
    def goes_on(self) -> str:
        """Why the search of a class is not at its end, once it has begun; empty if it is."""
        return self.open_clause(self.begun)

    def open_clause(self, searched: bool) -> str:
        """Return why a search is not at its end; empty if it is, or nothing has been searched.

        Args:
            searched: whether this class, or another of the study, has had time for its search.
        """
        # Of what is damaged a remark tells.
        if not (searched and set(self.unfinished) - set(self.damaged)):
            return ""
        if self.outdated:
            why = "is of an earlier version"
        elif self.begun:
            why = "was cut short by its budget"
        else:
            why = "was left no time by its budget"
        return f"{why}; `jaxsim run` goes on"

    def added_to(self, known: Bracket) -> Bracket:
        """Return what is known together with what the certificates show."""
        lowers, uppers = self.bounds.lowers, self.bounds.uppers
        return Bracket((*known.lowers, *lowers), (*known.uppers, *uppers))


def strategies_for(of: HypothesisClass, below: bool = False) -> dict[str, Strategy]:
    """Return the strategies that have something to say about a hypothesis class.

    Args:
        of: the class.
        below: only those that may give lower bounds.
    """
    return {
        name: strategy
        for name, strategy in STRATEGIES.items()
        if strategy.bounds_below >= below
        and not strategy.unsupported_reason(of.problem, of.network)
    }


def why_not_below(of: HypothesisClass) -> str:
    """Return why no search bounds a class from below, one clause; empty if one may."""
    reasons = {
        name: strategy.unsupported_reason(of.problem, of.network)
        for name, strategy in STRATEGIES.items()
        if strategy.bounds_below
    }
    if not all(reasons.values()):
        return ""
    clauses = "; ".join(f"{name.replace('_', ' ')}: {reason}" for name, reason in reasons.items())
    return f"no search bounds it from below ({clauses})"


def solution(
    of: HypothesisClass, known: Bracket, certificates: Certificates, below: bool = False
) -> Solution:
    """Return what the certificates of a hypothesis class show, each verified.

    Args:
        of: the class.
        known: what is known without them.
        certificates: where they are kept.
        below: whether searches are unfinished only if they may give lower bounds.
    """
    bounds_of: list[Bounds] = []
    unfinished, remarks, damaged = [], [], []
    begun = outdated = False
    for name, strategy in strategies_for(of).items():
        certificate, bounds, complaint = _loaded(of, strategy, certificates)
        bounds_of.append(bounds)
        begun |= certificate is not None
        if complaint:
            remarks.append(f"{complaint}; `jaxsim run` makes it anew")
            damaged.append(name)
        if not _is_over(strategy, certificate) and strategy.bounds_below >= below:
            unfinished.append(name)
            outdated |= certificate is not None and certificate.finished
    together = merged(bounds_of)
    if is_closed(of, Solution(together).added_to(known)):
        unfinished = []
    return Solution(together, tuple(unfinished), tuple(remarks), begun, outdated, tuple(damaged))


def search(
    of: HypothesisClass,
    known: Bracket,
    certificates: Certificates,
    budget: Budget,
    runs: Sequence[np.ndarray] = (),
    announce: Callable[[str], None] = lambda text: None,
    below: bool = False,
) -> Solution:
    """Search with every strategy that has something to say, until the bracket is closed.

    Args:
        of: the class.
        known: what is known without a search.
        certificates: where they are kept, and where earlier searches left theirs.
        budget: of all strategies together; shared evenly, what one leaves is for the others.
        runs: final parameters [P] of a study's runs: with any, finished searches are asked again.
        announce: told in a sentence what went wrong.
        below: whether only lower bounds are of interest.
    """
    strategies = strategies_for(of, below)
    for number, strategy in enumerate(strategies.values()):
        begin, _, complaint = _loaded(of, strategy, certificates)
        if complaint:
            announce(f"{complaint}; it is made anew")
        part = budget.share(1 / (len(strategies) - number))
        if _is_over(strategy, begin) and not runs:
            continue
        if begin is not None and begin.version < strategy.version:
            begin = replace(begin, finished=False)
        seconds, offered = FIRST_SLICE, runs
        while not part.spent:
            if is_closed(of, solution(of, known, certificates).added_to(known)):
                return solution(of, known, certificates, below)
            piece = part.at_most(seconds)
            certificate = _searched(of, strategy, piece, begin, offered, announce)
            if certificate is None:
                break
            certificates.save(of.key, certificate)
            if certificate.finished or not piece.spent:
                break
            begin, offered, seconds = certificate, (), 2 * seconds
    return solution(of, known, certificates, below)


def _searched(
    of: HypothesisClass,
    strategy: Strategy,
    budget: Budget,
    begin: Certificate | None,
    runs: Sequence[np.ndarray],
    announce: Callable[[str], None],
) -> Certificate | None:
    """Return what a search leaves and its check admits, None for nothing that can be kept."""
    name = strategy.name
    try:
        found = strategy.search(of.problem, of.network, budget, begin, runs)
    except _OF_ARRAYS as error:
        if begin is None:
            raise
        # Its bounds are verified, but not what it says of its progress.
        announce(f"the search {name!r} of inf L does not go on from its certificate "
                 f"({type(error).__name__}: {error}): it is begun anew")  # fmt: skip
        return _searched(of, strategy, budget, None, runs, announce)
    try:
        if found is None:
            # A search that found nothing is not begun anew every time.
            arrays = {} if begin is None else begin.arrays
            found = Certificate(name, arrays, finished=not budget.spent)
        elif begin is not None and begin.arrays and _is_worse(of, strategy, found, begin):
            found = Certificate(name, begin.arrays, found.finished)
        verified(of, strategy, found)
    except CertificateError as error:
        announce(f"the strategy {name!r} of inf L left a certificate that shows nothing "
                 f"({error}): it is not kept")  # fmt: skip
        return None
    return replace(found, version=strategy.version)


def _is_over(strategy: Strategy, certificate: Certificate | None) -> bool:
    """Return whether a search has nothing left to do: an earlier version's is searched on."""
    if certificate is None or not certificate.finished:
        return False
    return certificate.version >= strategy.version


def verified(of: HypothesisClass, strategy: Strategy, certificate: Certificate) -> Bounds:
    """Return the bounds that a certificate shows, computed anew, once per process.

    Raises:
        CertificateError: if it shows none.
    """
    if not certificate.arrays:
        return Bounds()
    reason = strategy.unsupported_reason(of.problem, of.network)
    if reason:
        raise CertificateError(reason)
    key = of.key, certificate.strategy, _digest(certificate.arrays)
    if key in _VERIFIED:
        _VERIFIED.move_to_end(key)
        return _VERIFIED[key]
    try:
        with np.errstate(all="ignore"):  # whatever overflows shows nothing
            bounds = strategy.verify(of.problem, of.network, certificate)
    except CertificateError:
        raise
    except _OF_ARRAYS as error:
        raise CertificateError(f"its check failed: {type(error).__name__}: {error}") from error
    wrong = [b for b in bounds.lowers if not b.value < math.inf]
    if wrong or not all(b.value > -math.inf for b in bounds.uppers):
        raise CertificateError("its bounds are no numbers")
    _VERIFIED[key] = bounds
    if len(_VERIFIED) > _MOST_REMEMBERED:
        _VERIFIED.popitem(last=False)
    return bounds


_VERIFIED: OrderedDict[tuple[str, str, str], Bounds] = OrderedDict()
_MOST_REMEMBERED = 1024


def merged(parts: Sequence[Bounds]) -> Bounds:
    """Return all bounds, with the parameters of the best upper one."""
    lowers = tuple(bound for part in parts for bound in part.lowers)
    uppers = tuple(bound for part in parts for bound in part.uppers)
    explicit = [part for part in parts if part.theta is not None and part.uppers]
    best = min(explicit, key=lambda part: smallest(part.uppers).value, default=None)
    return Bounds(lowers, uppers, None if best is None else best.theta)


def is_closed(of: HypothesisClass, bracket: Bracket) -> bool:
    """Return whether a bracket is as good as one value, be it next to nothing."""
    upper = bracket.upper.value
    if not math.isfinite(upper):
        return False
    return bracket.width <= CLOSED * abs(upper) or bracket.width <= NOTHING * of.scale


def _loaded(
    of: HypothesisClass, strategy: Strategy, certificates: Certificates
) -> tuple[Certificate | None, Bounds, str]:
    """Return a certificate if it can be trusted, what it shows, and what is wrong with it."""
    try:
        certificate = certificates.load(of.key, strategy.name)
        bounds = Bounds() if certificate is None else verified(of, strategy, certificate)
    except CertificateError as error:
        return None, Bounds(), f"{certificates.place(of.key, strategy.name)} is not used: {error}"
    return certificate, bounds, ""


def _is_worse(
    of: HypothesisClass, strategy: Strategy, found: Certificate, before: Certificate
) -> bool:
    """Return whether a certificate shows less than the one that it would replace."""
    new, old = verified(of, strategy, found), verified(of, strategy, before)
    lower, upper = _ends(new), _ends(old)
    return lower[0] <= upper[0] and lower[1] >= upper[1] and lower != upper


def _ends(bounds: Bounds) -> tuple[float, float]:
    nothing = Bound(-np.inf), Bound(np.inf)
    lower, upper = largest((nothing[0], *bounds.lowers)), smallest((nothing[1], *bounds.uppers))
    return lower.value, upper.value


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
