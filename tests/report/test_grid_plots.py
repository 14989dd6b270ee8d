"""Figures of grids: which numbers are axes, and that they show what the answer holds."""

import io
import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxsim.errors import InputError
from jaxsim.report import plots
from jaxsim.report.plots import OF_GRIDS, draw_all
from jaxsim.report.plots.against_axis import MOST_LINES, against_axis
from jaxsim.report.plots.grid_axes import grid_of
from jaxsim.report.plots.phase_diagram import phase_diagram
from jaxsim.report.plots.style import styled
from tests.report.answers import (
    HOSTILE,
    WEAK,
    small_answer,
    with_bounds,
    with_grid,
    with_thresholds,
)

WIDTHS, RATES, BATCHES, NAMES = (2, 4, 8, 16), (0.001, 0.01, 0.1), (1, 8, 64), ("sgd", "adam")


@pytest.fixture(scope="module")
def answer():
    return small_answer()


@pytest.fixture(scope="module")
def line(answer):
    """Two optimizers and four widths, one of them not finished."""
    axes = [{"optimizer.name": name, "network.hidden": f"[{m}]"} for name in NAMES for m in WIDTHS]
    return with_grid(answer, axes, [0.8, 0.4, 0.2, 0.1, 0.6, None, 0.3, 0.2])


@pytest.fixture(scope="module")
def square(answer):
    """Two optimizers, three learning rates and three batch sizes, one of them not finished."""
    axes = [
        {"optimizer.name": n, "optimizer.learning_rate": r, "training.batch_size": b}
        for n, r, b in itertools.product(NAMES, RATES, BATCHES)
    ]
    return with_grid(answer, axes, [None if k == 4 else (k % 9) / 10 for k in range(18)])


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def lines(panel: Axes, label: str) -> list[Line2D]:
    return [x for x in panel.get_lines() if x.get_label() == label]


def keys(table: list[dict]) -> list[str]:
    return [axis.key for axis in grid_of(table).axes]


def test_widths_and_depths_of_equal_layers_are_axes():
    assert keys([{"network.hidden": f"[{m}]"} for m in WIDTHS]) == ["network.hidden.width"]
    deep = [{"network.hidden": str([3] * d)} for d in (1, 2, 4)]
    assert keys(deep) == ["network.hidden.depth"]
    assert grid_of(deep).axes[0].places == [1.0, 2.0, 4.0]
    both = [{"network.hidden": str([m] * d)} for m in (2, 4) for d in (1, 2)]
    assert keys(both) == ["network.hidden.width", "network.hidden.depth"]
    one = [{"network.hidden": str([m, 5])} for m in (2, 4)]
    assert keys(one) == ["network.hidden.width of layer 1"]


def test_lists_of_widths_without_an_order_are_names():
    grid = grid_of([{"network.hidden": "[8]"}, {"network.hidden": "[8, 4]"}])
    assert grid.axes == ()
    assert grid.names == ("hidden [8]", "hidden [8, 4]")


def test_a_learning_rate_that_goes_with_the_optimizer_is_no_axis():
    grid = grid_of(
        [{"optimizer.name": n, "optimizer.learning_rate": r} for n, r in zip("ab", RATES[:2])]  # noqa: B905
    )
    assert grid.axes == ()
    assert grid.names == ("a", "b")


def test_a_number_that_follows_from_an_axis_goes_with_it():
    grid = grid_of([{"network.hidden": f"[{m}]", "optimizer.learning_rate": 5 / m} for m in WIDTHS])
    assert [a.title for a in grid.axes] == ["width"]
    assert grid.along == ("learning rate",)


def test_numbers_that_only_some_experiments_have_leave_the_others_out():
    grid = grid_of(
        [{"optimizer.name": "sgd", "optimizer.b2": None}]
        + [{"optimizer.name": "adam", "optimizer.b2": b} for b in (0.9, 0.99)]
    )
    assert grid.axes[0].values == (None, 0.9, 0.99)


def test_a_diagonal_of_two_numbers_is_one_axis():
    table = [
        {"problem.target.teacher.hidden": f"[{k}]", "network.hidden": f"[{k + d}]"}
        for k in range(6, 12)
        for d in (0, 1)
    ]
    grid = grid_of(table)
    assert [a.key for a in grid.axes] == ["problem.target.teacher.hidden.width"]
    assert len(set(grid.names)) == 2
    assert grid.names[1].endswith("+ 1")


def test_targets_that_follow_from_the_dimension_are_no_names():
    grid = grid_of(
        [
            {"problem.input.dimension": k, "problem.target": f"of {k}", "network.hidden": f"[{n}]"}
            for k in range(6, 11)
            for n in (k, k + 1)
        ]
    )
    assert [a.title for a in grid.axes] == ["dimension"]
    assert grid.names[:2] == ("width = dimension", "width = dimension + 1")
    targets = [{"problem.target": t, "steps": n} for t in ("x", "x**2") for n in (10, 20)]
    assert grid_of(targets).names == ("target x", "target x", "target x**2", "target x**2")


def test_what_is_only_observed_is_no_axis():
    assert keys([{"steps": n, "checkpoints": f"[{n}]"} for n in (10, 100)]) == ["steps"]
    assert keys([{"checkpoints": n} for n in (10, 100)]) == []


def test_numbers_that_few_experiments_vary_are_no_axes_of_figures(answer):
    table = [{"optimizer.name": n, "optimizer.b2": None, "steps": 10} for n in "abcdef"]
    table += [{"optimizer.name": "adam", "optimizer.b2": b, "steps": 10} for b in (0.9, 0.99)]
    few = with_grid(answer, table, [0.5] * len(table))
    assert against_axis(few) is None
    assert against_axis(few, ["optimizer.b2"]) is not None
    # A cross has two axes and no map.
    cross = [{"steps": n, "training.batch_size": 8} for n in (10, 20, 30, 40)]
    cross += [{"steps": 10, "training.batch_size": b} for b in (1, 2, 4)]
    assert [a.title for a in grid_of(cross).axes] == ["batch size", "steps n"]
    assert phase_diagram(with_grid(answer, cross, [0.5] * len(cross))) is None


def test_lines_show_the_estimates_at_their_places(line):
    figure = drawn(against_axis(line))
    assert [panel.get_xscale() for panel in figure.axes] == ["log"] * 3
    for g, panel in enumerate(figure.axes):
        shown = lines(panel, "_estimate")
        assert len(shown) == 2
        for place, one in enumerate(shown):
            np.testing.assert_array_equal(one.get_xdata(), WIDTHS)
            expected = [
                e.exceedance.estimates[g][-1].estimate if e.runs else np.nan
                for e in line.experiments[4 * place : 4 * place + 4]
            ]
            np.testing.assert_array_equal(one.get_ydata(), expected)


def test_unfinished_experiments_leave_gaps_that_are_said(line):
    figure = drawn(against_axis(line))
    second = lines(figure.axes[0], "_estimate")[1]
    assert np.isnan(np.asarray(second.get_ydata(), float)).tolist() == [False, True, False, False]
    assert "1 experiment without finished runs" in " ".join(t.get_text() for t in figure.texts)


def test_no_failures_are_shown_by_the_upper_end(answer):
    rare = with_grid(answer, [{"steps": 10}, {"steps": 20}], [0.01, 0.0], runs=5000)
    panel = drawn(against_axis(rare)).axes[0]
    (none,) = lines(panel, "_none")
    upper = rare.experiments[1].exceedance.estimates[0][-1].upper
    assert none.get_xdata() == [20]
    assert none.get_ydata() == [upper]
    assert panel.get_yscale() == "log"


@pytest.mark.parametrize("kind", [None, "estimated"])
def test_bounds_for_every_n_are_drawn_as_strong_as_they_are(line, kind):
    bounded = line if kind is None else with_bounds(line, 0.25, WEAK[kind])
    figure = drawn(against_axis(bounded))
    values = [b.value for b in bounded.experiments[0].exceedance.lower_bounds]
    for value, panel in zip(values, figure.axes, strict=True):
        for one in lines(panel, "_bound"):
            heights = np.asarray(one.get_ydata(), float)
            assert set(heights[np.isfinite(heights)].tolist()) == {value}
    words = [t.get_text() for t in figure.legends[0].get_texts()]
    assert ("bound for every n, no proof" in words) == (kind is not None)


def test_a_chosen_axis_comes_first(square):
    figure = drawn(against_axis(square, ["training.batch_size"]))
    np.testing.assert_array_equal(lines(figure.axes[0], "_estimate")[0].get_xdata(), BATCHES)
    with pytest.raises(InputError, match=r"axis = 'depth'.*optimizer.learning_rate"):
        against_axis(square, ["depth"])


def test_lines_that_cannot_be_told_apart_are_left_out_and_counted(answer):
    axes = [{"optimizer.name": f"o{k}", "steps": n} for k in range(MOST_LINES + 2) for n in (5, 9)]
    figure = drawn(against_axis(with_grid(answer, axes, [0.5] * len(axes))))
    assert len(lines(figure.axes[0], "_estimate")) == MOST_LINES
    said = " ".join(t.get_text() for t in figure.texts)
    assert f"the first {MOST_LINES} of {MOST_LINES + 2} lines" in said


def meshes(figure: Figure) -> list[np.ma.MaskedArray]:
    return [
        np.ma.asarray(x.get_array()) for a in figure.axes for x in a.collections
        if isinstance(x, QuadMesh)
    ]  # fmt: skip


def test_cells_of_a_map_are_the_estimates(square):
    figure = drawn(phase_diagram(square))
    found = meshes(figure)
    assert len(found) == 2 * 3  # optimizers and events
    for place, mesh in enumerate(found):
        begin, g = 9 * (place // 3), place % 3
        for row, column in itertools.product(range(3), range(3)):
            e = square.experiments[begin + 3 * column + row]
            if not e.runs:
                assert np.ma.getmaskarray(mesh)[row, column]
                continue
            one = e.exceedance.estimates[g][-1]
            assert mesh[row, column] == (one.estimate or one.upper)


def test_cells_have_their_intervals_and_no_failures_their_upper_end(square):
    panel = drawn(phase_diagram(square)).axes[0]
    texts = {t.get_text().split("\n")[0] for t in panel.texts}
    assert {"0.100", "0.200", "≤ 0.0092"} <= texts, texts
    one = square.experiments[1].exceedance.estimates[0][-1]
    assert any(f"[{one.lower:.3f}, " in t.get_text() for t in panel.texts)
    assert len(panel.texts) == 8


def test_maps_need_two_axes(line):
    assert phase_diagram(line) is None


def test_names_of_strangers_are_harmless(answer):
    table = [
        {"optimizer.name": name, "optimizer.learning_rate": r, "training.batch_size": b}
        for name in HOSTILE for r, b in itertools.product(RATES[:2], BATCHES[:2])
    ]  # fmt: skip
    hostile = with_thresholds(with_grid(answer, table, [0.5] * len(table)), 1)
    for draw in OF_GRIDS.values():
        svg = io.BytesIO()
        with styled():
            drawn(draw(hostile)).savefig(svg, format="svg")
        ET.fromstring(svg.getvalue())


def test_reports_draw_grids_where_there_are_any(answer, line, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "FIGURES", {})
    monkeypatch.setattr(plots, "FURTHER", {})
    assert not any(p.stem in OF_GRIDS for p in draw_all(answer, tmp_path))
    files = {p.name for p in draw_all(line, tmp_path)}
    assert {"exceedance_vs_grid.svg", "exceedance_vs_grid.png"} <= files
    assert "phase_diagram.svg" not in files


def test_words_that_follow_from_others_are_left_out_of_long_names():
    full = {
        "training.batch_size": "full",
        "training.set.scope": "replicate",
        "training.set.n": "all",
    }
    whole = {
        "training.batch_size": "population",
        "training.set.scope": None,
        "training.set.n": None,
    }
    grid = grid_of(
        [{**which, "network.hidden": f"[{m}]"} for which in (full, whole) for m in (2, 4)]
    )
    assert set(grid.names) == {"batch size full", "batch size population"}
    short = grid_of([{"a.name": name, "b.name": name * 2} for name in "xy"])
    assert set(short.names) == {"x, xx", "y, yy"}
