r"""Tables of an answer for LaTeX: they fit the width of a text, and long ones go on over pages.

LaTeX reports a table that is too wide or too high and sets it all the same, over the margin or the
end of the page. Widths and heights are therefore estimated here, from the letters of Computer
Modern in a text of `article`'s width, which is narrower than most: letters get smaller, then texts
are wrapped, then the page is turned.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from jaxsim.report.clean import clean

TEXT_WIDTH, TEXT_HEIGHT = 345.0, 550.0
"""Of LaTeX's `article` in points."""
LETTER, LINE = 4.7, 12.0
"""Mean width of a letter in a text and distance of lines in points, at the normal size."""
WIDTHS = {
    **dict.fromkeys(".,:;[]()il|'j!I", 2.85),
    **dict.fromkeys(" ftr", 3.6),
    "m": 8.4,
    "w": 7.3,
    "M": 9.2,
    "W": 10.3,
}
"""Of letters in points; of others"""
WIDE, USUAL = 7.5, 5.1
"""(capitals, and those that a font may lack), and of digits and the rest."""
SIZES = (("normalsize", 1.0, 6.0), ("small", 0.93, 4.0), ("footnotesize", 0.86, 3.0))
SIZES += (("scriptsize", 0.8, 3.0),)
"""Size of letters, their width as a share of the normal one's (small letters are wider than their
size), and blank at both sides of a column in points."""
NARROW = 55.0
"""A column of texts is no narrower, in points."""
LONGEST = 15
"""Letters of a word that is not broken where texts are wrapped."""
BREAK = "\ue000"
"""Stands where a word may be broken."""
FORMULA = "P(L(Theta_n) > inf L + eps)"


@dataclass(frozen=True)
class Cells:
    """A table of texts.

    Attributes:
        title: above it, perhaps empty.
        heads: of the columns, [C].
        rows: [R][C]; the first cell of a row that goes on with an experiment is empty.
        notes: below it.
        texts: number of its first columns that hold texts: they are set to the left.
    """

    title: str
    heads: list[str]
    rows: list[list[str]]
    notes: list[str]
    texts: int = 1


def latex_tables(tables: Sequence[Cells]) -> str:
    r"""Return tables as LaTeX, after a line that names the packages that they need."""
    made = [_Made(cells) for cells in tables]
    packages = ["array"] * any(one.wrapped for one in made) + ["booktabs"]
    packages += ["longtable"] * any(one.long for one in made)
    packages += ["pdflscape"] * any(one.turned for one in made)
    head = f"% \\usepackage{{{','.join(packages)}}}"
    return "\n".join([head, *(one.text() for one in made)])


class _Made:
    """One table, laid out.

    Attributes:
        size: name of the size of its letters.
        blank: at both sides of a column, in points.
        wrapped: widths of its columns of texts in points; empty if no text is wrapped.
        turned: whether it stands on a page that is turned.
        apart: whether there is a blank between experiments: where any has several rows.
        long: whether it goes on over pages.
    """

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        columns = list(zip(cells.heads, *cells.rows, strict=True))
        widths = [max(map(width_of, column)) for column in columns]
        self.turned, self.wrapped = False, list[float]()
        if not self._fits(widths, TEXT_WIDTH) and not self._wraps(columns, widths, TEXT_WIDTH):
            self.turned, self.wrapped = True, []
            if not self._fits(widths, TEXT_HEIGHT):
                self._wraps(columns, widths, TEXT_HEIGHT)
        body = self._lines() * LINE * self.share
        self.apart = any(not row[0] for row in cells.rows)
        groups = sum(bool(row[0]) for row in cells.rows) * 6.0 * self.apart
        letters = TEXT_WIDTH / (0.8 * LETTER)
        notes = sum(-(-len(note) // letters) for note in cells.notes) * 0.8 * LINE
        self.long = self.turned or body + groups + notes + 5 * LINE > TEXT_HEIGHT

    def _fits(self, widths: list[float], room: float) -> bool:
        """Choose the largest letters with which the columns fit; return whether there are any."""
        for name, share, blank in SIZES:
            self.size, self.share, self.blank = name, share, blank
            if share * sum(widths) + 2 * blank * len(widths) <= room:
                return True
        return False

    def _wraps(self, columns: Sequence[Sequence[str]], widths: list[float], room: float) -> bool:
        """Give the columns of texts, with the smallest letters, what the others leave them.

        Returns:
            Whether that is enough.
        """
        texts = self.cells.texts
        left = room - self.share * sum(widths[texts:]) - 2 * self.blank * len(widths)
        words = [max(width_of(part) for text in c for part in ["", *_parts(text)]) for c in columns]
        least = [
            max(self.share * word, min(self.share * width, NARROW))
            for word, width in zip(words[:texts], widths, strict=False)
        ]
        enough = left >= sum(least)
        left = max(left, sum(least))
        kept: dict[int, float] = {}
        # The narrow ones keep their width, the wide ones share what is left.
        for place in sorted(range(texts), key=lambda place: widths[place]):
            others = sum(least[k] for k in range(texts) if k not in kept and k != place)
            share = max(left / (texts - len(kept)), least[place])
            kept[place] = min(self.share * widths[place], share, left - others)
            left -= kept[place]
        self.wrapped = [kept[place] for place in range(texts)]
        return enough

    def _lines(self) -> float:
        """Return about how many lines the rows have."""
        if not self.wrapped:
            return len(self.cells.rows)
        # A tenth for what stays free at the ends of lines.
        return sum(
            max(
                math.ceil(1.1 * self.share * width_of(text) / max(room, 1.0))
                for text, room in zip(row, self.wrapped, strict=False)
            )
            for row in self.cells.rows
        )

    def text(self) -> str:
        """Return the table."""
        lines = self._over_pages() if self.long else self._on_a_page()
        if self.turned:
            lines = ["\\begin{landscape}", *lines, "\\end{landscape}"]
        return "\n".join([*lines, ""])

    def _on_a_page(self) -> list[str]:
        lines = ["\\begin{table}", f"  \\{self.size}", f"  {self._blank}", "  \\centering"]
        lines += [f"  \\caption{{{latex_text(self.cells.title)}}}"] * bool(self.cells.title)
        lines += [f"  \\begin{{tabular}}{{{self._columns}}}", "    \\toprule", self._heads]
        lines += ["    \\midrule", *self._rows(), "    \\bottomrule", "  \\end{tabular}"]
        if self.cells.notes:
            lines += ["", "  \\smallskip", "  \\begin{minipage}{\\linewidth}"]
            lines += ["    \\footnotesize\\raggedright", *self._notes(), "  \\end{minipage}"]
        return [*lines, "\\end{table}"]

    def _over_pages(self) -> list[str]:
        lines = ["\\begingroup", f"\\{self.size}", self._blank]
        lines += [f"\\begin{{longtable}}{{{self._columns}}}"]
        if self.cells.title:
            lines += [f"    \\caption{{{latex_text(self.cells.title)}}} \\\\"]
        first = ["    \\toprule", self._heads, "    \\midrule"]
        lines += [*first, "    \\endfirsthead", *first, "    \\endhead", "    \\bottomrule"]
        lines += ["    \\endfoot", *self._rows(), "\\end{longtable}"]
        if self.cells.notes:
            lines += ["{\\footnotesize\\raggedright\\parindent=0pt", *self._notes(), "}"]
        return [*lines, "\\endgroup"]

    @property
    def _blank(self) -> str:
        return f"\\setlength{{\\tabcolsep}}{{{self.blank:g}pt}}"

    @property
    def _columns(self) -> str:
        texts = "l" * self.cells.texts
        if self.wrapped:
            texts = "".join(
                f">{{\\raggedright\\arraybackslash}}p{{{width:.0f}pt}}" for width in self.wrapped
            )
        return texts + "r" * (len(self.cells.heads) - self.cells.texts)

    @property
    def _heads(self) -> str:
        heads = [
            r"$\varepsilon$" if head == "eps" else latex_text(head) for head in self.cells.heads
        ]
        return f"    {' & '.join(heads)} \\\\"

    def _rows(self) -> list[str]:
        lines = []
        for place, row in enumerate(self.cells.rows):
            if row[0] and place and self.apart:
                lines.append("    \\addlinespace")
            cells = [*map(_breakable, row[: len(self.wrapped)]), *row[len(self.wrapped) :]]
            texts = [latex_text(cell).replace(BREAK, r"\allowbreak{}") for cell in cells]
            # The braces: LaTeX would take a bracket after the end of a line for an option of it.
            lines.append(f"    {{{texts[0]}}} & {' & '.join(map(_powers, texts[1:]))} \\\\")
        return lines

    def _notes(self) -> list[str]:
        return [f"    {latex_text(note.removesuffix('.'))}.\\par" for note in self.cells.notes]


def _parts(text: str) -> list[str]:
    """Return the parts between which a text may be broken: long words are, too."""
    return [part for word in text.split() for part in re.findall(f".{{1,{LONGEST}}}", word)]


def _breakable(text: str) -> str:
    """Return a text with `BREAK` where a long word may be broken."""
    return re.sub(rf"(\S{{{LONGEST}}})(?=\S)", rf"\1{BREAK}", text)


def width_of(text: str) -> float:
    """Return about how wide a text is at the normal size, in points."""
    text = re.sub(r"(?<=\d)e[+-](?=\d)", " x 10", text)  # as `_powers` writes it
    return sum(WIDTHS.get(c) or (WIDE if c.isupper() or ord(c) > 0x2FF else USUAL) for c in text)


_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi - pi rho - sigma"
_GREEK += " tau upsilon phi chi psi omega"
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}",
    "\u00a0": "~", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$", "±": r"$\pm$",
    "→": r"$\to$", "∞": r"$\infty$", "√": r"$\sqrt{\ }$", "†": r"\dag{}", "‡": r"\ddag{}",
    "−": "$-$", "²": "$^2$", "³": "$^3$", "°": r"$^\circ$", "µ": r"$\mu$",
    **{chr(0x3B1 + k): f"$\\{name}$" for k, name in enumerate(_GREEK.split()) if name != "-"},
    "ε": r"$\varepsilon$", "ο": "o", "ς": r"$\varsigma$",
    **{letter: f"$\\{name}$" for letter, name in zip(
        "ΓΔΘΛΞΠΣΦΨΩ", "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split(), strict=True)},
}  # fmt: skip


def latex_text(text: str) -> str:
    r"""Return a text that LaTeX sets as it is; the formula of the question is set as one.

    Example:
        >>> latex_text("50 % of a_b & {c}")
        '50 \\% of a\\_b \\& \\{c\\}'
    """
    formula = r"$P(L(\Theta_n) > \inf L + \varepsilon)$"
    # Two hyphens would be a dash, two quotes a closing one, "?`" a Spanish question mark.
    parts = ["".join(_LATEX.get(c, c) for c in part) for part in clean(text).split(FORMULA)]
    return formula.join(re.sub(r"(?<=[-'`?!])(?=[-'`])", "{}", part) for part in parts)


def _powers(text: str) -> str:
    """Return numbers such as 1.2e-05 as powers of ten."""
    return re.sub(
        r"(\d+(?:\.\d+)?)e([+-]\d+)",
        lambda m: rf"${m[1]} \times 10^{{{int(m[2])}}}$",
        text,
    )
