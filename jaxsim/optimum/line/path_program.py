"""Lower bounds of a region of paths from multipliers: a dynamic program over cells and phases.

Let the k-th knot lie at t_k, where the lines l_k and l_{k+1} meet, and let sum_k c_k s_k = 0. For
any numbers a_1, ..., a_N (of the knots) and m (of the slopes)

    |f - g|^2 >= sum_k min over lines l = value y at x + slope s of
                 cost + w (y - f)^2 + S (s - b)^2 + 2 (a_k - a_{k-1}) y + 2 d_k s
               = sum_k cost + 2 (a_k - a_{k-1}) f - (a_k - a_{k-1})^2 / w + 2 d_k b - d_k^2 / S,
    d_k = a_k (t_k - x) - a_{k-1} (t_{k-1} - x) + m c_k,

with the moments (w, x, S, f, b, cost) of the masses between the knots' cells, those in the cells
left out (a line costs less on fewer masses). The last line is concave in d_k, which lies in an
interval if the knots lie in cells: it is least at an end of it. Of a constant piece s = 0 and the
sum has cost + S b^2 in place of what depends on d_k. So the least sum over all paths through cells
and phases is a bound, whatever the multipliers are (weak duality).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property

import numpy as np

from jaxsim.optimum.line.pieces import HUGE, Pieces
from jaxsim.optimum.line.regions import Region
from jaxsim.optimum.line.slope_families import COEFFICIENT, Family, Kind

_UNIT = 2.0**-53


class Path:
    """A path through cells, and its sum C + 2 g . z - z . H z for multipliers z = (a, m).

    The ends of the intervals of d_k are those that are least at the multipliers it was found with.

    Attributes:
        key: its cells and phases.
        middle: of its cells [N].
        half: half widths of its cells [N].
        phases: of its knots [N].
        by_spread: 1 / S of its pieces [N + 1].
        constant: C.
        linear: g [N + 1].
        square: H [N + 1, N + 1].
        weak: multipliers that must be 0 for the sum to be finite.
        tied: pairs of multipliers that must be equal.
        loose: whether m must be.
        left_out: about what its lines would cost in the cells of its knots.
        sides: of each piece u, v, 1 / w, 1 / S with a_k - a_{k-1} = u . z and d_k = v . z.
    """

    def __init__(
        self,
        pieces: Pieces,
        places: list[int],
        phases: list[int],
        kinds: list[Kind],
        z: np.ndarray,
    ) -> None:
        """Take indices of cells among those of each knot, phases, kinds of pieces, multipliers."""
        knots = pieces.knots
        self.key = tuple(places), tuple(phases)
        self.phases = phases
        self.middle = np.array([pieces.middle[k][places[k]] for k in range(knots)])
        self.half = np.array([pieces.half[k][places[k]] for k in range(knots)])
        self.constant = 0.0
        self.linear = np.zeros(knots + 1)
        self.square = np.zeros((knots + 1, knots + 1))
        self.weak: set[int] = set()
        self.tied: list[tuple[int, int]] = []
        self.loose = False
        self.sides: list[tuple[np.ndarray, np.ndarray, float, float]] = []
        shares, lines = [], []
        for k, kind in enumerate(kinds):
            place = places[k - 1] if k else 0, places[k] if k < knots else 0
            row = (float(column[place]) for column in pieces.moments[k].rows)
            cost, f, slope, x, by_spread, by_weight = row
            shares.append(by_spread)
            lines.append((x, f, slope))
            u, v = np.zeros(knots + 1), np.zeros(knots + 1)
            v[knots] = COEFFICIENT[kind]
            around = [(k, 1.0)] * (k < knots) + [(k - 1, -1.0)] * (k > 0)
            d = v[knots] * z[knots]
            for i, sign in around:
                u[i] = sign
                d += sign * z[i] * (self.middle[i] - x)
            side = -np.sign(slope - d * by_spread)
            for i, sign in around:
                end = side * sign * np.sign(z[i]) * self.half[i]
                v[i] = sign * (self.middle[i] + end - x)
            flat = kind is Kind.FLAT
            if flat:
                v[:] = 0.0
                cost += slope**2 / by_spread
            if by_spread >= HUGE and flat and 0 < k < knots:
                self.tied.append((k - 1, k))
            elif by_spread >= HUGE:
                self.weak |= set(np.flatnonzero(np.abs(u) + np.abs(v)).tolist())
                self.loose |= COEFFICIENT[kind] != 0
            else:
                self.linear += slope * v
                self.square += by_spread * np.outer(v, v)
            if by_weight < HUGE:
                self.linear += f * u
                self.square += by_weight * np.outer(u, u)
            self.constant += cost
            self.sides.append((u, v, by_weight, by_spread))
        self.by_spread = np.array(shares)
        self.left_out = 0.0
        for k in range(knots):
            weight, at, value = (float(row) for row in pieces.contents[k][:, places[k]])
            beside = [lines[i] for i in (k, k + 1) if shares[i] < HUGE]
            off = [value - (f + slope * (at - x)) for x, f, slope in beside]
            self.left_out += weight * min((d**2 for d in off), default=0.0)

    def lies_in(self, region: Region) -> bool:
        """Return whether it is a path of a region."""
        inside = (region.low <= self.middle) & (self.middle < region.high)
        inside &= (region.phases >> np.array(self.phases) & 1).astype(bool)
        inside_too = (region.least < self.by_spread) & (self.by_spread <= region.most)
        return bool(inside.all() and inside_too.all())

    @cached_property
    def most(self) -> float:
        """The largest sum that multipliers give it, about."""
        free = [i for i in range(len(self.linear)) if i not in self.weak]
        square, linear = self.square[np.ix_(free, free)], self.linear[free]
        square = square + np.eye(len(free)) * (1e-13 * np.trace(square) + 1e-300)
        return self.constant + float(linear @ np.linalg.solve(square, linear))

    def value(self, z: np.ndarray) -> float:
        """Return its sum for multipliers."""
        return float(self.constant + 2 * self.linear @ z - z @ self.square @ z)

    def paid(self, z: np.ndarray) -> np.ndarray:
        """Return what its pieces lose to the squares of multipliers [N + 1]."""
        rows = [w * (u @ z) ** 2 + s * (v @ z) ** 2 for u, v, w, s in self.sides]
        return np.array(rows)


class Evaluation:
    """The least sum over the paths of a region for some multipliers."""

    def __init__(self, pieces: Pieces, family: Family, region: Region, z: np.ndarray) -> None:
        """Run the program."""
        self.pieces, self.family, self.region, self.z = pieces, family, region, z
        knots = pieces.knots
        self.ranges = [
            np.searchsorted(pieces.middle[k], (region.low[k], region.high[k])).tolist()
            for k in range(knots)
        ]
        self.value = np.inf
        self.costs: list[Callable[[Kind], np.ndarray]] = []
        self.layers: list[dict[int, np.ndarray]] = [{0: np.zeros(1)}]
        if any(first >= last for first, last in self.ranges):
            return
        for k in range(knots + 1):
            cost = cache(self._costs(k))
            self.costs.append(cost)
            ahead, layer = self.layers[-1], {}
            for before, behind, kind in family.pieces(k, knots):
                closed = k < knots and not region.phases[k] >> behind & 1
                if closed or before not in ahead:
                    continue
                least = (ahead[before][:, None] + cost(kind)).min(0)
                layer[behind] = np.minimum(layer[behind], least) if behind in layer else least
            self.layers.append(layer)
        if 0 in self.layers[-1]:
            self.value = float(self.layers[-1][0][0])

    @property
    def bound(self) -> float:
        """The bound that the least sum shows: rounding may have raised it."""
        return self.value - self.pieces.slack

    def _costs(self, k: int) -> Callable[[Kind], np.ndarray]:
        """Return kind -> what piece k costs at least, by cells."""
        pieces, region, z, knots = self.pieces, self.region, self.z, self.pieces.knots
        rows = slice(*self.ranges[k - 1]) if k else slice(None)
        columns = slice(*self.ranges[k]) if k < knots else slice(None)
        part = rows, columns
        cost, f, slope, x, by_spread, by_weight = (m[part] for m in pieces.moments[k].rows)
        left = z[k - 1] if k else 0.0
        right = z[k] if k < knots else 0.0
        step = right - left
        outside = None
        if region.least[k] > 0 or region.most[k] < np.inf:
            outside = (by_spread <= region.least[k]) | (by_spread > region.most[k])

        def total(kind: Kind) -> np.ndarray:
            sum_of_piece = cost
            if step:
                sum_of_piece = sum_of_piece + (2 * step * f - step**2 * by_weight)
            shift = COEFFICIENT[kind] * z[knots]
            if kind is Kind.FLAT:
                sum_of_piece = sum_of_piece + slope**2 / by_spread
            elif left or right:
                d, reach = shift - step * x, 8 * _UNIT * (abs(left) + abs(right) + abs(shift))
                if right:
                    d += right * pieces.middle[k][columns]
                    reach = reach + abs(right) * pieces.half[k][columns]
                if left:
                    d -= left * pieces.middle[k - 1][rows][:, None]
                    reach = reach + (abs(left) * pieces.half[k - 1][rows])[:, None]
                # d (2 b - d / S) at the worse end of d - reach, d + reach.
                best = d * by_spread
                np.subtract(slope, best, out=best)
                gain = slope + best
                gain *= d
                np.abs(best, out=best)
                best *= 2
                best += reach * by_spread
                best *= reach
                gain -= best
                sum_of_piece = sum_of_piece + gain
            elif shift:
                sum_of_piece = sum_of_piece + ((2 * shift) * slope - shift**2 * by_spread)
            return sum_of_piece if outside is None else np.where(outside, np.inf, sum_of_piece)

        return total

    def path(self) -> Path | None:
        """Return a path with the least sum, None if there is none."""
        if not np.isfinite(self.value):
            return None
        knots = self.pieces.knots
        places, phases, kinds = [0] * knots, [0] * knots, [Kind.LINE] * (knots + 1)
        place, phase = 0, 0
        for k in range(knots, -1, -1):
            best = np.inf
            ends = place, phase
            for before, behind, kind in self.family.pieces(k, knots):
                if behind != ends[1] or before not in self.layers[k]:
                    continue
                column = self.layers[k][before] + self.costs[k](kind)[:, ends[0]]
                lowest = int(column.argmin())
                if column[lowest] < best or best == np.inf:
                    best, place, phase, kinds[k] = column[lowest], lowest, before, kind
            if k:
                places[k - 1], phases[k - 1] = place + self.ranges[k - 1][0], phase
        return Path(self.pieces, places, phases, kinds, self.z)

    def through(self) -> list[np.ndarray]:
        """Return the least sums of paths through every cell of each knot [N][cells]."""
        pieces, knots = self.pieces, self.pieces.knots
        sums_of_cells = [np.full(len(cells), np.inf) for cells in pieces.cells]
        if not np.isfinite(self.value):
            return sums_of_cells
        behind_all: dict[int, np.ndarray] = {0: np.zeros(1)}
        for k in range(knots, 0, -1):
            ahead_all = self.layers[k]
            new: dict[int, np.ndarray] = {}
            for before, behind, kind in self.family.pieces(k, knots):
                if behind not in behind_all or before not in ahead_all:
                    continue
                least = (self.costs[k](kind) + behind_all[behind]).min(1)
                new[before] = np.minimum(new[before], least) if before in new else least
            behind_all = new
            sums = [ahead_all[phase] + behind_all[phase] for phase in behind_all]
            sums_of_cells[k - 1][slice(*self.ranges[k - 1])] = np.min(sums, axis=0)
        return sums_of_cells
