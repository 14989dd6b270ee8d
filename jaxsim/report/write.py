"""The report: the answer is computed, everything is written, and then it is printed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from jaxsim.errors import shown
from jaxsim.questions.answer import Answer
from jaxsim.questions.ask import analyse
from jaxsim.report.kept_figures import KeptFigures
from jaxsim.report.levels import levels_table, shows_levels
from jaxsim.report.published import published_tables
from jaxsim.report.sentences import sentences
from jaxsim.report.table import notes, print_whole, table
from jaxsim.report.tables import TABLES, write_tables
from jaxsim.results.files import write_atomically
from jaxsim.results.results import Results
from jaxsim.study.study import Study

if TYPE_CHECKING:  # of the libraries behind them, each is loaded when it is needed
    from matplotlib.figure import Figure

    from jaxsim.report.page.origin import Origin

ANSWER = "answer.json"
PAGE = "report.html"
OPTIMAL_RISK = "optimal_risk"
"""Name of the figure of how the optimal risk is known."""


def write_report(
    results: Results, study: Study, directory: Path, console: Console, plots: bool = True
) -> Answer:
    """Answer a study, write the answer and its views, and print it.

    Args:
        results: of the study.
        study: whose questions are asked.
        directory: of the files; what an earlier report left there is replaced or removed.
        console: to print to, after everything is written.
        plots: whether figures are drawn.

    Raises:
        InputError: as `jaxsim.analyse`, or if the files cannot be written.
    """
    from jaxsim.report.page.origin import origin_of

    spec = study.spec
    answer = analyse(
        results,
        spec.asking,
        spec.confidence,
        spec.method,
        spec.name,
        spec.title,
        study.warnings,
        spec.post_stratify,
        study.published,
    )
    if not answer.finished:
        console.print("no finished runs yet", highlight=False)
        return answer
    lines, remarks = sentences(answer), notes(answer)
    origin = origin_of(results, study)
    picture = partial(_optimal_risk, results, study) if plots else None
    of_page = notes(answer, on_page=True)
    written = write_views(answer, directory, lines, of_page, plots, origin, picture)
    for sentence in lines[: len(answer.contradictions)]:
        _say(console, sentence, "bold red")
    print_whole(table(answer), console)
    if shows_levels(answer.finished):
        print_whole(levels_table(answer), console)
    for note in remarks:
        _say(console, note, "dim")
    console.print()
    for shown_beside in published_tables(answer):
        print_whole(shown_beside, console)
        console.print()
    for sentence in lines[len(answer.contradictions) :]:
        _say(console, sentence)
    console.print()
    _say(console, f"results: {results.store.directory / 'shards'}   {written}")
    return answer


def write_views(
    answer: Answer,
    directory: Path,
    said: Sequence[str],
    remarks: Sequence[str],
    plots: bool,
    origin: Origin | None = None,
    picture: Callable[[], Picture | None] | None = None,
) -> str:
    """Write answer.json, tables, figures and page; return where they are, in words.

    Files of an earlier report that this one does not write are removed: tables, figures and page
    always belong to one answer.

    Args:
        answer: of the study.
        directory: of the files.
        said: the answer in sentences, contradictions first.
        remarks: below the table of the page.
        plots: whether figures are drawn.
        origin: what the page says of where the numbers come from.
        picture: returns how the optimal risk is known, if that has a picture.
    """
    from jaxsim.report.page import write_page

    directory = Path(directory)
    text = answer.model_dump_json() + "\n"
    write_atomically(directory / ANSWER, text.encode())
    tables = write_tables(answer, directory)
    _remove(directory / f"{name}.csv" for name in TABLES if f"{name}.csv" not in tables)
    figures: set[str] = set()
    if plots:
        figures = _figures(answer, text, directory)
        shown = picture() if picture is not None else None
        if shown is not None:
            figures |= _picture(shown, directory / "plots")
    folder = directory / "plots"
    stale = (folder / name for name in FIGURE_FILES if name not in figures)
    _remove(stale)
    page = write_page(answer, directory, said, remarks, figures, origin)
    places = f"answer: {directory / ANSWER}   tables: {directory / 'estimates.csv'}, ..."
    return places + (f"   plots: {folder}" if plots else "") + f"   page: {page}"


def _figures(answer: Answer, text: str, directory: Path) -> set[str]:
    """Draw the figures of an answer where they are not those of an earlier report; return files.

    Args:
        answer: of the study.
        text: all of it.
        directory: above the folder of the figures.
    """

    def draw() -> list[Path]:
        # Matplotlib takes a second to import: not before it is needed.
        from jaxsim.report.plots import draw_all

        return draw_all(answer, directory)

    return KeptFigures(directory / "plots", text).drawn(draw)


class Picture(NamedTuple):
    """A figure to draw.

    Attributes:
        content: text that determines what is drawn.
        draw: returns the figure.
    """

    content: str
    draw: Callable[[], Figure]


def _picture(shown: Picture, folder: Path) -> set[str]:
    """Draw how the optimal risk is known, or leave it as it is; return its files."""

    def draw() -> list[Path]:
        from jaxsim.report.plots.style import save

        return save(shown.draw(), folder / OPTIMAL_RISK)

    return KeptFigures(folder, shown.content).drawn(draw)


FIGURE_FILES = tuple(
    f"{name}.{kind}"
    for name in (
        "exceedance_vs_eps",
        "exceedance_vs_risk",
        "exceedance_vs_error_rate",
        "exceedance_vs_n",
        "exceedance_vs_grid",
        "phase_diagram",
        "strata",
        "risk_distribution",
        "learning_curves",
        OPTIMAL_RISK,
    )
    for kind in ("png", "svg")
)
"""What `draw_all` may write."""


MOST_CLASSES = 40
"""Hypothesis classes of a study whose optimal risks are drawn,"""
MOST_HIERARCHIES = 6
"""and problems and architectures; of more, `jaxsim optimum` draws the first."""


def _optimal_risk(results: Results, study: Study) -> Picture | None:
    """Return target and best network, and inf L of all widths, from certificates that are there."""
    from jaxsim.launch.optimum import known_optima

    if len({e.hypothesis_class for e in study.experiments}) > MOST_CLASSES:
        return None
    answer = known_optima(study, results)
    several = any(
        len(one.widths) > 1 or one.widths[0].optimum.width > 0 for one in answer.hierarchies
    )
    drawn = several or any(e.network.inputs == 1 for e in study.experiments)
    if len(answer.hierarchies) > MOST_HIERARCHIES or not drawn:
        return None

    def draw() -> Figure:
        from jaxsim.report.plots.optimum import optimum_figure

        return optimum_figure(answer, study)

    # The target is drawn, too: experiments say what it is, the user's own code included.
    identities = " ".join(e.id for e in study.experiments)
    return Picture(f"{identities}\0{answer.model_dump_json()}", draw)


def _say(console: Console, text: str, style: str | None = None) -> None:
    """Print text as it is: labels and paths may hold what looks like markup.

    What a stranger's files hold may not control the terminal.
    """
    console.print(shown(text), style=style, highlight=False, soft_wrap=True, markup=False)


def written_files() -> list[str]:
    """Return the names of all files that a report may write into its folder."""
    figures = (f"plots/{name}" for name in FIGURE_FILES)
    return [ANSWER, PAGE, *(f"{name}.csv" for name in TABLES), *figures]


def _remove(paths) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
