"""`jaxsim.plot` and `jaxsim plot`: one figure of a study."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.figure import Figure

import jaxsim
from jaxsim.errors import InputError
from jaxsim.report import plots
from jaxsim.report.plot import KINDS, plot, write_plot
from tests.report.answers import small_answer, with_design, with_grid


@pytest.fixture(scope="module")
def grid():
    table = [{"network.hidden": f"[{m}]", "training.batch_size": b} for m in (2, 4) for b in (1, 9)]
    return with_grid(small_answer(), table, [0.5, 0.4, 0.3, 0.2])


def test_kinds_are_those_that_are_drawn():
    assert set(KINDS) == {*plots.FIGURES, *plots.FURTHER, *plots.OF_GRIDS}


def test_a_figure_shows_the_eps_that_is_asked_for(grid):
    figure = jaxsim.plot(grid, "exceedance_vs_grid", eps=0.05, axes="training.batch_size")
    (panel,) = figure.axes
    first = next(x for x in panel.get_lines() if x.get_label() == "_estimate")
    np.testing.assert_array_equal(first.get_xdata(), [1, 9])
    expected = [e.exceedance.estimates[1][-1].estimate for e in grid.experiments[:2]]
    np.testing.assert_array_equal(first.get_ydata(), expected)


def test_one_eps_of_a_design_is_drawn_alone():
    figure = plot(with_design(small_answer()), "strata", eps=[0.3])
    assert len(figure.axes) == 1


def test_figures_for_papers_have_a_caption_in_place_of_words_around(grid):
    figure = plot(grid, "exceedance_vs_grid", style="paper")
    other = plot(grid, "exceedance_vs_grid")
    assert figure.get_figwidth() < 0.75 * other.get_figwidth()
    said = [t.get_text() for t in figure.texts if t.get_text()]
    assert len(said) == 2  # names of the axes
    assert "95\u00a0% clopper-pearson interval" in str(figure.get_label())
    assert isinstance(plot(grid, "phase_diagram", style="paper"), Figure)


@pytest.mark.parametrize(("kind", "begin"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89")])
def test_files_are_the_same_bytes_again(grid, tmp_path, kind, begin):
    once, caption = write_plot(grid, "exceedance_vs_grid", tmp_path, kind, eps=0.05)
    again, _ = write_plot(grid, "exceedance_vs_grid", tmp_path, kind, tmp_path / "x", eps=0.05)
    assert once.read_bytes().startswith(begin)
    assert once.read_bytes() == again.read_bytes()
    assert once.parent.name == "figures"
    assert "against width" in caption


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda a: plot(a, "map"), r"kind = 'map' is not known.*phase_diagram"),
        (lambda a: plot(a, "strata"), "its design is plain"),
        (lambda a: plot(a, "phase_diagram"), "fewer than two numbers"),
        (lambda a: plot(a, "exceedance_vs_n", eps=0.7), r"eps = 0.7 is not.*0.001, 0.05, 0.3"),
        (lambda a: plot(a, "exceedance_vs_n", style="x"), r"style = 'x'.*paper, report"),
        (lambda a: plot(a, "exceedance_vs_n", axes="steps"), "axes = .* is not accepted"),
        (lambda a: plot(cast("Any", {}), "exceedance_vs_n"), "it should be results"),
        (
            lambda a: write_plot(a, "exceedance_vs_n", Path(), "gif"),
            "format = .gif.*pdf, png, svg",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call(small_answer())
