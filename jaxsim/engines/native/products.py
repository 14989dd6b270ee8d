"""Register-tiled matrix products of lanes, as C: c[m, n] = start + sum_k a[m, k] b[k, n].

Every element is a vector of lanes. A tile of c stays in registers while k runs, so that each
vector loaded serves several multiplications; the tile is the one of least estimated time for the
number of registers there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

LATENCY, PER_CYCLE = 4, 2
"""Of a fused multiplication and addition; loads per cycle are as many."""
MOST_ROWS = 16
PACKED_FROM = 24
"""Columns from which on rows of b lie so far apart that a copy of the panel pays."""


@dataclass(frozen=True)
class Operand:
    """A matrix in memory, element [row, column] at base[(row * rows + column * columns) * unit].

    Attributes:
        base: C expression of a pointer.
        rows: distance of rows, in vectors.
        columns: distance of columns, in vectors.
        unit: C expression of the distance of vectors, in numbers.
        one: elements are single numbers, the same for all lanes.
    """

    base: str
    rows: int
    columns: int
    unit: str
    one: bool = False

    def at(self, row: str, column: str) -> str:
        """Return the C expression of an element's address."""
        return f"{self.base} + (({row}) * {self.rows} + ({column}) * {self.columns}) * {self.unit}"

    def load(self, row: str, column: str) -> str:
        """Return the C expression of an element as a vector."""
        address = self.at(row, column)
        return f"splat(*({address}))" if self.one else f"load({address})"

    def add(self, row: str, column: str, text: str) -> str:
        """Return the C statement that adds a vector to an element."""
        place = self.at(row, column)
        return f"store({place}, load({place}) + {text});"

    def transposed(self) -> Operand:
        """Return the transpose."""
        return replace(self, rows=self.columns, columns=self.rows)


@dataclass(frozen=True)
class Product:
    """A product and what happens to its elements.

    Attributes:
        rows: of c.
        columns: of c.
        inner: length of the sums.
        a: operand [rows, inner].
        b: operand [inner, columns].
        start: (row, column) -> C expression of what the sum starts from.
        finish: (row, column, sum) -> C statements that store it.
        column_sums: (column, sum) -> C statements that store sum_k b[k, n]; None for none.
        column_start: column -> C expression of what the column sums start from.
        lower: whether elements above the diagonal are not needed; most are left out.
    """

    rows: int
    columns: int
    inner: int
    a: Operand
    b: Operand
    start: Callable[[str, str], str]
    finish: Callable[[str, str, str], str]
    column_sums: Callable[[str, str], str] | None = None
    column_start: Callable[[str], str] = lambda n: "splat(0)"
    lower: bool = False

    def source(self, registers: int) -> list[str]:
        """Return the C statements; `pack` points to room for a panel of b."""
        tall, wide = tile(self.rows, self.columns, registers)
        lines = ["{"]
        full = self.columns // wide * wide
        if full:
            lines.append(f"for (int n = 0; n < {full}; n += {wide}) {{")
            lines += [*self._column_of_tiles(tall, wide), "}"]
        if full < self.columns:
            lines.append(f"{{ const int n = {full};")
            lines += [*self._column_of_tiles(tall, self.columns - full), "}"]
        return [*lines, "}"]

    def panel(self, registers: int) -> int:
        """Return the vectors of a packed panel of b, 0 if it is not packed."""
        _, wide = tile(self.rows, self.columns, registers)
        return self.inner * wide if self._packed(wide) else 0

    def _packed(self, wide: int) -> bool:
        far = max(self.b.rows, self.b.columns) >= PACKED_FROM and self.b.rows % 2 == 0
        return far and not self.b.one and self.b.rows != 1 and self.inner > 8 and self.rows >= 8

    def _column_of_tiles(self, tall: int, wide: int) -> list[str]:
        lines, b = [], self.b
        if self._packed(wide):
            lines.append(f"for (int k = 0; k < {self.inner}; k++) {{")
            lines += [
                f"store(pack + (k * {wide} + {j}) * V, {b.load('k', f'n + {j}')});"
                for j in range(wide)
            ]
            lines.append("}")
            b = Operand("pack", wide, 1, "V")
        full = self.rows // tall * tall
        sums = self.column_sums is not None
        if sums and full:
            lines.append("{ const int m = 0;")
            lines += [*self._tile(tall, wide, b, True), "}"]
        begin = tall if sums else 0
        if self.lower:
            begin = f"n / {tall} * {tall}"
        if full > (tall if sums else 0):
            lines.append(f"for (int m = {begin}; m < {full}; m += {tall}) {{")
            lines += [*self._tile(tall, wide, b, False), "}"]
        if full < self.rows:
            lines.append(f"{{ const int m = {full};")
            lines += [*self._tile(self.rows - full, wide, b, sums and not full), "}"]
        return lines

    def _tile(self, tall: int, wide: int, b: Operand, sums: bool) -> list[str]:
        cells = [(i, j) for i in range(tall) for j in range(wide)]
        column = "n + {}" if b is self.b else "{}"
        lines = [f"vec c{i}_{j} = {self.start(f'(m + {i})', f'(n + {j})')};" for i, j in cells]
        if sums:
            lines += [f"vec s{j} = {self.column_start(f'(n + {j})')};" for j in range(wide)]
        lines.append(f"for (int k = 0; k < {self.inner}; k++) {{")
        lines += [f"const vec b{j} = {b.load('k', column.format(j))};" for j in range(wide)]
        for i in range(tall):
            lines.append(f"const vec a{i} = {self.a.load(f'm + {i}', 'k')};")
            lines += [f"c{i}_{j} += a{i} * b{j};" for j in range(wide)]
        if sums:
            lines += [f"s{j} += b{j};" for j in range(wide)]
        lines.append("}")
        lines += [self.finish(f"(m + {i})", f"(n + {j})", f"c{i}_{j}") for i, j in cells]
        if sums:
            assert self.column_sums is not None
            lines += [self.column_sums(f"(n + {j})", f"s{j}") for j in range(wide)]
        return lines


@lru_cache(maxsize=256)
def tile(rows: int, columns: int, registers: int) -> tuple[int, int]:
    """Return the (rows, columns) of the tiles of least estimated time.

    Example:
        >>> tile(32, 64, 32)
        (4, 6)
        >>> tile(32, 1, 32)
        (16, 1)
    """

    def cycles(tall: int, wide: int) -> float:
        total = 0.0
        for height, many in ((tall, rows // tall), (rows % tall, 1)):
            for width, times in ((wide, columns // wide), (columns % wide, 1)):
                if height and width and many and times:
                    arithmetic = max(LATENCY, height * width / PER_CYCLE)
                    loads = (height + width) / PER_CYCLE
                    # Loads and arithmetic overlap, but not perfectly.
                    total += many * times * (max(arithmetic, loads) + 0.25 * min(arithmetic, loads))
        return total

    sizes = [
        (tall, wide)
        for tall in range(1, min(rows, MOST_ROWS) + 1)
        for wide in range(1, min(columns, MOST_ROWS) + 1)
        if tall * wide + min(tall, wide) + 1 <= registers
    ]
    return min(sizes, key=lambda size: (cycles(*size), size[0] * size[1]))
