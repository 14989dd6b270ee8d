"""The hierarchy R*(m): the optimal risk with m neurons in the first hidden layer.

A run whose other first-layer neurons are dead cannot do better than R*(m). A narrower network's
functions are a wider one's, so that R*(m) does not increase with m: a lower bound for m neurons is
one for fewer, too, and an upper bound is one for more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxsim.evidence import Bound, Enclosure, largest, smallest
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.hypothesis_class import HypothesisClass, has_levels
from jaxsim.optimum.optimal_risk import optimal_risk
from jaxsim.optimum.parabola import parabola_of
from jaxsim.optimum.solve import Certificates, Solution, solution, strategies_for

MOST_LEVELS = 16
"""Numbers m of neurons, from 1 on, that are searched; the own width's bound holds for the others,
and inactive neurons that leave more are no reason to fail."""


def searched_levels(of: HypothesisClass, below: bool = True) -> list[HypothesisClass]:
    """Return the narrower classes that some strategy can bound, the narrowest first.

    None where what dead neurons leave is no network of the same form.

    Args:
        of: the class.
        below: bound from below, which is what failures rest on; else from either side.
    """
    if not has_levels(of.network):
        return []
    widths = range(1, min(of.network.hidden[0], MOST_LEVELS + 1))
    classes = [of.with_first_width(m) for m in widths]
    return [narrow for narrow in classes if strategies_for(narrow, below)]


class Levels(NamedTuple):
    """What is known of R*(m).

    Attributes:
        brackets: for m = 0, 1, ..., N; None if nothing beyond constants is known.
        remarks: sentences on certificates that are not used.
        unfinished: sentences on searches that are not at their end.
    """

    brackets: tuple[Bracket, ...] | None = None
    remarks: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()


def levels(
    of: HypothesisClass,
    own: Bracket,
    certificates: Certificates,
    constant: Callable[[], Enclosure],
    below: bool = True,
) -> Levels:
    """Return what is known of R*(m) for m = 0, 1, ..., N.

    Args:
        of: the class with N neurons in the first hidden layer.
        own: what is known of it.
        certificates: of it and of narrower ones.
        constant: returns the risk of the best constant prediction.
        below: whether to look only where lower bounds may be found.
    """
    if not has_levels(of.network):
        return Levels()
    parabola = parabola_of(of.problem, of.network)
    searched = {narrow.network.hidden[0]: narrow for narrow in searched_levels(of, below)}
    if below and parabola is None and not searched:
        return Levels()
    width = of.network.hidden[0]
    brackets, remarks = [_constants(of, constant())], []
    solutions: list[Solution] = []
    if parabola is not None:
        brackets[0] = brackets[0].with_lower(
            Bound(parabola.lower(0), reason="closed form for 0 neurons")
        )
    for m in range(1, width):
        known = Bracket(own.lowers) if parabola is None else parabola.bracket(m)
        if m in searched:
            narrow = searched[m]
            known = known if parabola else optimal_risk(narrow.problem, narrow.network)
            shown = solution(narrow, known, certificates, below)
            known = shown.added_to(known)
            remarks += shown.remarks
            solutions.append(shown)
        brackets.append(known)
    unfinished = []
    if parabola is None:  # beside a closed form searches only narrow what is known
        searched_at_all = any(s.begun for s in (*solutions, solution(of, own, certificates)))
        clauses = [s.open_clause(searched_at_all) for s in solutions]
        unfinished = [f"a search for R*(m), narrower networks, {c}" for c in clauses if c]
    said = (tuple(dict.fromkeys(part)) for part in (remarks, unfinished))
    return Levels(monotone([*brackets, own]), *said)


def _constants(of: HypothesisClass, best: Enclosure) -> Bracket:
    """Return the bracket of networks whose first layer is silent: constants, made by the biases."""
    if of.network.layer_specs[-1].biases is None:
        return Bracket((best.lower,))
    return Bracket((best.lower,)).with_risk(best.value, best.error, best.evidence, best.reason)


def monotone(brackets: Sequence[Bracket]) -> tuple[Bracket, ...]:
    """Return brackets of numbers that do not increase, each with its neighbours' better ends."""
    lowered = [Bracket(b.lowers, b.uppers) for b in brackets]
    for m in range(len(lowered) - 2, -1, -1):
        lowered[m] = _better(lowered[m], lowered[m + 1].lower, largest, Bracket.with_lower)
    for m in range(1, len(lowered)):
        lowered[m] = _better(lowered[m], lowered[m - 1].upper, smallest, Bracket.with_upper)
    return tuple(lowered)


def _better(
    bracket: Bracket,
    other: Bound,
    best: Callable[[Sequence[Bound]], Bound],
    added: Callable[[Bracket, Bound], Bracket],
) -> Bracket:
    """Return a bracket with a neighbour's bound where that is better than its own."""
    own_end = bracket.lower if best is largest else bracket.upper
    if best((own_end, other)) is own_end or other.value == own_end.value:
        return bracket
    return added(bracket, other)


def lower_levels(found: Sequence[Bracket] | None) -> Callable[[int], Bound] | None:
    """Return m -> a lower bound of R*(m), if one is known."""
    if found is None:
        return None
    bounds = [bracket.lower for bracket in found]
    return lambda m: bounds[m]
