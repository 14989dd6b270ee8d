"""The figures of a page, with a title and a description for readers who do not see them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from jaxsim.questions.answer import Answer
from jaxsim.report.page.descriptions import described
from jaxsim.report.page.svg import FONTS, Classes, Drawing, inline
from jaxsim.report.write import OPTIMAL_RISK

FIGURES = (
    (
        "exceedance_vs_eps",
        "How far from the optimum?",
        "The probability that the true risk exceeds the optimal risk by more than eps.",
    ),
    (
        "exceedance_vs_risk",
        "How large does the risk stay?",
        "The probability that the true risk exceeds a value.",
    ),
    (
        "exceedance_vs_error_rate",
        "How many are wrong?",
        "The probability that the error rate exceeds a value.",
    ),
    (
        "exceedance_vs_n",
        "Does it go to 0?",
        "The same probability against the number of steps. Convergence in probability would mean "
        "that every curve goes to 0.",
    ),
    (
        "exceedance_vs_grid",
        "What does it depend on?",
        "The same probability at the last step against a number that the study varies.",
    ),
    (
        "phase_diagram",
        "Two numbers at once",
        "The same probability at the last step over two numbers that the study varies.",
    ),
    (
        "strata",
        "Where does the probability come from?",
        "The strata of the initializations: how likely each is, how often its runs fail, and what "
        "it adds to the failure probability.",
    ),
    (
        "risk_distribution",
        "Where do runs end?",
        "Bars that stand alone are values at which many runs stop, as at local minima of the risk.",
    ),
    ("learning_curves", "Learning curves", "Quantiles of the true risk over the runs."),
)
"""Name of the file, heading and explanation, in the order of the page."""
_OTHERS = {
    OPTIMAL_RISK: (
        "How is the optimal risk known?",
        "Target and best network that is known, where they have a picture, and both ends of the "
        "optimal risk by the number of neurons, where several are known.",
    )
}
"""Figures that stand elsewhere."""


_ALL = f".figure *{{stroke-linejoin:round;stroke-linecap:butt}}.figure text{{{FONTS}}}"
"""What Matplotlib says of every element, and the fonts."""


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes:
        name: of its file.
        heading: its title.
        text: what it shows.
        said: the same in numbers, for readers who do not see it.
        drawing: its elements; None if the page has no room for it.
    """

    name: str
    heading: str
    text: str
    said: str
    drawing: Drawing | None

    @property
    def tall(self) -> bool:
        """Whether it is printed on a page in portrait."""
        return self.drawing is not None and self.drawing.height > 0.8 * self.drawing.width

    @property
    def rule(self) -> str:
        """The rule of its size: text stays readable on a phone, where the figure is scrolled."""
        if self.drawing is None:
            return ""
        width = self.drawing.width
        ground = ";background:#fff;fill:#000" if self.name in _ON_PAPER else ""
        least, most = 9 * width // 10, 5 * width // 4
        return f".s-{self.name}{{min-width:{least}px;max-width:{most}px{ground}}}"


MOST_BYTES = 900_000
"""Of all figures of a page: the page can be mailed. Others are files of the result directory."""
_ON_PAPER = {"phase_diagram"}
"""Figures whose colours are numbers: they stay what they are, and stand on white in the dark."""


def figures_of(
    answer: Answer, directory: Path, files: Collection[str]
) -> tuple[dict[str, Figure], str]:
    """Return the figures of an answer by their names, in the order of the page, and their style.

    Args:
        answer: that they show.
        directory: that holds them in its folder "plots".
        files: names of those that belong to the answer.
    """
    classes, on_paper = Classes(), Classes("p", dark=False)
    known = {name: (heading, text) for name, heading, text in FIGURES} | _OTHERS
    drawn = [name.removesuffix(".svg") for name in files if name.endswith(".svg")]
    others = sorted(set(drawn) - set(known))
    names = [name for name in known if name in drawn] + others
    figures, size = {}, 0
    for name in names:
        heading, text = known.get(name, (name.replace("_", " ").capitalize(), ""))
        path = Path(directory) / "plots" / f"{name}.svg"
        chosen = on_paper if name in _ON_PAPER else classes
        drawing = inline(path, f"f{len(figures)}", chosen)
        size += len(drawing.inner.encode())
        fits = size <= MOST_BYTES
        size -= 0 if fits else len(drawing.inner.encode())
        figures[name] = Figure(
            name, heading, text, described(name, answer) or text, drawing if fits else None
        )
    rules = [classes.sheet(), on_paper.sheet(), *(figure.rule for figure in figures.values())]
    return figures, _ALL + "".join(rules)
