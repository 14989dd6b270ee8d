"""The slope condition of one hidden layer of ReLU, as paths through phases.

A network of N neurons has N kinks, counted from the left, and the slopes s_0, ..., s_N between
them. If the neurons with indices in S face left, it satisfies

    s_0 + sum_{j in S} (s_j - s_{j-1}) = sum_k c_k s_k = 0,   c_k = [k in S] - [k + 1 in S],

with 0 in S and N + 1 not; neurons whose kink is not inside count as ones at the border. The nonzero
c_k alternate, +1, -1, ..., +1. There is one of them if S is the first p kinks: piece p is constant.
Else there are three at least. Every continuous function with N kinks that satisfies the condition
for some S belongs to one of the two families, whose members are paths through phases: what has been
said of S up to a kink.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """What a piece is in the slope condition: c_k = 0, 1 or -1, or constant."""

    LINE = 0
    PLUS = 1
    MINUS = 2
    FLAT = 3


COEFFICIENT = {Kind.LINE: 0.0, Kind.PLUS: 1.0, Kind.MINUS: -1.0, Kind.FLAT: 0.0}
"""c_k by kind; of constant pieces the condition asks nothing else."""


class Family(NamedTuple):
    """Functions that are paths through phases.

    Attributes:
        name: for certificates.
        coupled: whether the condition couples slopes.
        start: (phase of the first kink, kind of the piece before it).
        steps: (phase of a kink, phase of the next one, kind of the piece between).
        end: (phase of the last kink, kind of the piece behind it).
    """

    name: str
    coupled: bool
    start: tuple[tuple[int, Kind], ...]
    steps: tuple[tuple[int, int, Kind], ...]
    end: tuple[tuple[int, Kind], ...]

    def pieces(self, k: int, knots: int) -> tuple[tuple[int, int, Kind], ...]:
        """Return (phase before, phase behind, kind) of piece k of 0, ..., knots.

        The phase before the first kink and the one behind the last are 0.
        """
        if k == 0:
            return tuple((0, phase, kind) for phase, kind in self.start)
        if k == knots:
            return tuple((phase, 0, kind) for phase, kind in self.end)
        return self.steps


_BEFORE, _BEHIND = range(2)
CONSTANT = Family(
    "constant",
    False,
    ((_BEFORE, Kind.LINE), (_BEHIND, Kind.FLAT)),
    (
        (_BEFORE, _BEFORE, Kind.LINE),
        (_BEFORE, _BEHIND, Kind.FLAT),
        (_BEHIND, _BEHIND, Kind.LINE),
    ),
    ((_BEFORE, Kind.FLAT), (_BEHIND, Kind.LINE)),
)
"""One piece is constant; phases: before and behind it."""

# Neurons so far face left; the last faces right; it faces left again; it faces right again.
_IN, _OUT, _IN_AGAIN, _OUT_AGAIN = range(4)
COUPLED = Family(
    "coupled",
    True,
    ((_IN, Kind.LINE), (_OUT, Kind.PLUS)),
    (
        (_IN, _IN, Kind.LINE),
        (_IN, _OUT, Kind.PLUS),
        (_OUT, _OUT, Kind.LINE),
        (_OUT, _IN_AGAIN, Kind.MINUS),
        (_IN_AGAIN, _IN_AGAIN, Kind.LINE),
        (_IN_AGAIN, _OUT_AGAIN, Kind.PLUS),
        (_OUT_AGAIN, _OUT_AGAIN, Kind.LINE),
        (_OUT_AGAIN, _IN_AGAIN, Kind.MINUS),
    ),
    ((_IN_AGAIN, Kind.PLUS), (_OUT_AGAIN, Kind.LINE)),
)
"""Three slopes or more are coupled."""

FAMILIES = (CONSTANT, COUPLED)
PHASES = 4
