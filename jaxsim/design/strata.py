"""Strata by the number of first-layer neurons that are inactive at initialization.

    K ~ Bin(N, p),    P(F) = sum_k P(K = k) P(F | K = k)

The neurons are independent, p is known (`theory.inactive.event_probability`), and initializations
given K = k are drawn exactly (`conditional`). Inactive is meant with the margins of the training's
arithmetic, so that what is said of a stratum is certain in its trainings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from jaxsim.design.conditional import FirstLayer, conditional_network, padding_bias
from jaxsim.design.refusal import (
    LEAST_ACCEPTANCE,
    Pieces,
    probability_of,
    refusal,
    require_inactive_neurons,
)
from jaxsim.design.stratum import Design, Stratum
from jaxsim.design.structure import Structure, structure_of
from jaxsim.network.activations import Activation
from jaxsim.theory.inactive import event_probability
from jaxsim.theory.inactive_counts import binomial_pmf
from jaxsim.theory.inactive_event import InactiveEvent
from jaxsim.training.experiment import Experiment
from jaxsim.training.keys import identity_words

MOST_STRATA = 32
NEGLIGIBLE = 1e-40
"""Numbers of inactive neurons beyond this probability share a stratum."""
_SHARES = (1.0, 0.95, 0.75, 0.5, 0.25)
"""Where strata of many neurons begin, by P(K >= k); from there on in geometric steps."""
_NARROWEST = 8
"""Networks of fewer neurons are not worth a program of their own."""
_WIDE = 64
"""Networks that take long enough for a program that saves a quarter of their neurons."""


def stratified_design(
    experiment: Experiment, most: int = MOST_STRATA, name: str = "strata"
) -> Design:
    """Return the design with strata by the number of inactive first-layer neurons.

    Args:
        experiment: to be stratified.
        most: strata, at most; networks with fewer neurons get one for each number.
        name: of the design.

    Raises:
        InputError: where the design is not permitted, with the reason and what would work.
    """
    require_inactive_neurons(experiment, name)
    network = experiment.network
    pieces, silent, aside = _pieces(experiment)
    p, error = probability_of(experiment, pieces, name)
    n = network.hidden[0]
    why_whole = _why_whole(experiment, silent)
    if why_whole and min(p, 1 - p) < LEAST_ACCEPTANCE:
        raise refusal(
            experiment,
            f"inactive neurons must be drawn ({why_whole}), but their probability is {p:.3g}",
            "a coordinatewise optimizer as adam, with an activation that is 0 where it is flat",
            name,
        )
    pmf = binomial_pmf(n, p)
    ranges = grouped(pmf, most)
    event = InactiveEvent.of(
        network.layer_specs[0], experiment.problem.law.support, pieces, experiment.precision
    )
    structure = structure_of(experiment) if silent else None
    if structure is not None and pmf @ structure.later < NEGLIGIBLE:
        structure = None
    # Strata with a later layer that is dead are one: the first layer has no part in their risk.
    later = np.zeros(n + 1) if structure is None else structure.later
    parts = [(least, top, pmf * (1 - later), False) for least, top in ranges]
    if structure is not None:
        parts.append((0, n, pmf * later, True))
    parts = [part for part in parts if part[2][part[0] : part[1] + 1].any()]
    strata = []
    for number, (least, top, law, dead) in enumerate(parts):
        width = n if why_whole else trained_width(n, n - least)
        weight, wrong = _weight(n, p, error, law, least, top)
        padding = None if why_whole else padding_bias(pieces)
        first = FirstLayer(network.layer_specs[0], event, width, padding)
        strata.append(
            Stratum(
                number=number,
                text=_LATER if dead else _text(least, top, n, structure is not None),
                probability=weight,
                error=wrong,
                experiment=_given(experiment, first, (law, least, top), structure, float(dead)),
                least=least,
                most=top,
                dead_later=None if structure is None else dead,
                removed=n - width,
            )
        )
    return Design(name, tuple(strata), _note(n, strata, why_whole, aside))


def grouped(pmf: np.ndarray, most: int = MOST_STRATA) -> list[tuple[int, int]]:
    """Return the ranges [least, most] of the strata, from the law of K [N + 1].

    Each number by itself while there are few; else the bulk in quarters and the upper tail in steps
    of equal ratio of P(K >= k), down to `NEGLIGIBLE`.

    Example:
        >>> grouped(np.array([0.5, 0.25, 0.25]))
        [(0, 0), (1, 1), (2, 2)]
        >>> grouped(np.array([0.5, 0.5, 1e-50]))
        [(0, 0), (1, 2)]
    """
    n = len(pmf) - 1
    at_least = np.cumsum(pmf[::-1])[::-1]
    at_most = np.cumsum(pmf)
    if n + 1 <= most:
        starts = [
            k
            for k in range(n + 1)
            if k == 0 or (at_least[k] >= NEGLIGIBLE and at_most[k - 1] >= NEGLIGIBLE)
        ]
    else:
        starts = [0]
        # As many steps as give no more strata: for numbers near `most` many fall together.
        for steps in range(max(most - len(_SHARES), 1), 8 * most):
            shares = [*_SHARES[1:], *np.geomspace(0.1, NEGLIGIBLE, steps)]
            reached = [np.flatnonzero(at_least <= s)[0] for s in shares if s >= at_least[-1]]
            finer = sorted({0, *(int(k) for k in reached)})
            if len(finer) > most:
                break
            starts = finer
    ends = [*(k - 1 for k in starts[1:]), n]
    return list(zip(starts, ends, strict=True))


def trained_width(neurons: int, needed: int) -> int:
    """Return the width of the network that is trained: one of few, so that few are compiled.

    Example:
        >>> [trained_width(20, m) for m in (20, 15, 10, 9, 1)]
        [20, 20, 10, 10, 5]
    """
    if neurons < _NARROWEST:
        return neurons
    kept = (0.75, 0.5, 0.25) if neurons >= _WIDE else (0.5, 0.25)
    widths = [neurons, *(math.ceil(neurons * share) for share in kept)]
    return min(width for width in widths if width >= needed)


def _pieces(experiment: Experiment) -> tuple[Pieces, bool, str]:
    """Return (flat pieces that count, whether the activation is 0 on them, what is left aside)."""
    activation = experiment.network.activation
    assert activation is not None
    unbounded = tuple(p for p in activation.flat if math.inf in (-p[0], p[1]))
    silent = tuple(p for p in unbounded if _value(activation, p) == 0)
    other = tuple(p for p in unbounded if p not in silent)
    if not silent or not other:
        return silent or other, bool(silent), ""
    layer, support = experiment.network.layer_specs[0], experiment.problem.law.support
    found = [event_probability(layer, support, p, experiment.precision) for p in (silent, other)]
    if found[0] is None or found[1] is None or found[1][0] <= found[0][0]:
        aside = (
            ""
            if found[1] is not None and found[1][0] <= 0
            else ("neurons that are inactive with a value other than 0 count as active")
        )
        return silent, True, aside
    return unbounded, False, ""


def _value(activation: Activation, piece: tuple[float, float]) -> float:
    end = piece[0] if math.isfinite(piece[0]) else piece[1]
    return float(activation.function(jnp.asarray(end, jnp.float64)))


def _why_whole(experiment: Experiment, silent: bool) -> str:
    """Return why inactive neurons are drawn and trained like the others; empty if they are not."""
    if not experiment.optimizer.coordinatewise:
        return f"the optimizer {experiment.optimizer.name!r} looks at whole layers"
    if not silent:
        return "inactive neurons have a value other than 0"
    return ""


def _weight(
    n: int, p: float, error: float, pmf: np.ndarray, least: int, most: int
) -> tuple[float, float]:
    """Return (P(least <= K <= most), bound on its error)."""
    k = np.arange(least, most + 1)
    terms = pmf[k]
    # |log P(K = k)| moves by k |log p'/p| + (n - k) |log (1 - p')/(1 - p)|.
    grows = k * np.log1p(error / (p - error)) + (n - k) * np.log1p(error / (1 - p - error))
    rounding = 1e-13 + 2e-15 * n
    # Beyond e^700 the bound is of no use anyway.
    wrong = float((terms * (np.expm1(np.minimum(grows, 700.0)) + rounding)).sum())
    return float(terms.sum()), min(wrong, 1.0)


def _given(
    experiment: Experiment,
    first: FirstLayer,
    numbers: tuple[np.ndarray, int, int],
    structure: Structure | None,
    dead: float,
) -> Experiment:
    """Return the experiment whose initializations have a number of inactive neurons in a range.

    Args:
        experiment: to be stratified.
        first: how its first layer is drawn.
        numbers: law of the number of inactive neurons, the least and the largest.
        structure: of later layers, if strata tell them apart.
        dead: whether one of these is dead, 1 or 0.
    """
    whole, width = experiment.network.hidden[0], first.width
    data = conditional_distribution(*numbers)
    given: list[object] = [*numbers[1:]]
    if structure is not None:
        data = np.append(data, dead)
        given.append(f"later layer dead: {dead:.0f}")
    drawn = [experiment.initialization_key, first.event.text, width, first.padding]
    return replace(
        experiment,
        network=conditional_network(experiment.network, first, structure),
        id=_digits([experiment.id, "inactive at initialization", *given, width]),
        key_words=identity_words(_text_of([*experiment.key_words, "inactive", *given])),
        initialization_key=_text_of(
            ["given the inactive", *drawn, *([] if structure is None else ["and later layers"])]
        ),
        training_key=_of_width(experiment.training_key, width, whole),
        training_structure=_of_width(experiment.training_structure, width, whole),
        evaluation_key=_of_width(experiment.evaluation_key, width, whole),
        draw_data=data,
    )


def conditional_distribution(pmf: np.ndarray, least: int, most: int) -> np.ndarray:
    """Return P(K <= k | least <= K <= most), float64 [N + 1]; 1 from `most` on.

    Example:
        >>> conditional_distribution(np.array([0.5, 0.125, 0.375]), 1, 2)
        array([0.  , 0.25, 1.  ])
    """
    k = np.arange(len(pmf))
    inside = np.where((k >= least) & (k <= most), pmf, 0.0)
    total = inside.sum()
    if not total > 0:  # too small for float64: the likelier end stands for all
        inside = (k == (least if pmf[: least + 1].any() else most)).astype(float)
        total = 1.0
    distribution = np.cumsum(inside / total)
    distribution[most:] = 1.0
    return distribution


def _of_width(text: str, width: int, whole: int) -> str:
    return text if width == whole else _text_of([text, "first-layer neurons", width])


def _digits(parts: Sequence[object]) -> str:
    return "".join(f"{word:08x}" for word in identity_words(_text_of(parts)))


def _text_of(parts: Sequence[object]) -> str:
    return json.dumps(list(parts), separators=(",", ":"))


_LATER = "a later layer dead by the signs of its weights"


def _text(least: int, most: int, n: int, later: bool) -> str:
    number = f"{least}" if least == most else f"{least} to {most}"
    others = ", no later layer dead by signs" if later else ""
    return f"{number} of {n} neurons inactive{others}"


def _note(n: int, strata: Sequence[Stratum], why_whole: str, aside: str) -> str:
    """Return what is said of the networks that are trained."""
    widths = sorted({n - s.removed for s in strata}, reverse=True)
    if why_whole:
        said = f"the whole network is trained in every stratum: {why_whole}"
    elif len(widths) == 1:
        said = "inactive neurons are not drawn: neurons with weights 0 stand for them"
    else:
        listed = ", ".join(str(w) for w in widths)
        said = (
            f"networks with {listed} first-layer neurons are trained, equal in law to the whole one"
        )
    return f"{said}; {aside}" if aside else said
