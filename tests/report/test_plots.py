"""Figures: their geometry, what they show of what is not known, and whose words they use."""

import dataclasses
import gc
import math
import weakref
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.collections import FillBetweenPolyCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from jaxsim.evidence import PROVED
from jaxsim.questions.answer import Answer
from jaxsim.questions.data import EvidenceAnswer
from jaxsim.questions.design import DesignAnswer
from jaxsim.questions.distribution import DistributionAnswer
from jaxsim.report.plots import FIGURES, draw_all
from jaxsim.report.plots.against_n import spaced
from jaxsim.report.plots.labels import MOST, clean, short_names
from jaxsim.report.plots.parts import axis_bottom, logarithmic
from jaxsim.report.plots.sheet import Around, Sheet
from jaxsim.report.plots.style import BOUND, each_given_back, number_short, save
from jaxsim.report.table import notes
from jaxsim.report.text import MOST_DRAWN
from tests.report.answers import (
    ALIKE,
    HOSTILE,
    WEAK,
    nothing_known,
    small_answer,
    with_bounds,
    with_experiments,
    with_grid,
    with_optimum,
    with_thresholds,
    with_undecided,
)
from tests.report.figures import (
    assert_texts_are_apart,
    drawn,
    inches,
    labelled,
    note,
    points,
    renderer_of,
)

MANY = 30
"""Experiments of which a panel against n has no room for all."""
PROOF = EvidenceAnswer.of(PROVED)


@pytest.fixture(scope="module")
def answer():
    return small_answer()


@pytest.mark.parametrize(
    ("count", "thresholds"),
    [(1, 1), (1, 3), (1, 8), (2, 1), (2, 8), (11, 1), (11, 3), (25, 1), (25, 3), (60, 1), (60, 8)],
)
def test_no_legend_takes_room_from_panels(answer, count, thresholds):
    labels = [f"an optimizer with a long name, b2 0.9, number {k}" for k in range(count)]
    many = with_thresholds(with_experiments(answer, labels), thresholds)
    names = FIGURES if count == 11 and thresholds == 1 else ["exceedance_vs_n"]
    for name in names:
        figure = drawn(name, many)
        for left, bottom, width, height in inches(figure):
            assert width >= 2.2
            assert height >= 1.5
            assert left >= 0
            assert bottom >= 0
        for legend in figure.legends:
            box = legend.get_window_extent(renderer_of(figure))
            assert all(not box.overlaps(panel.get_window_extent()) for panel in figure.axes)


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_or_lies_on_another(answer, name):
    labels = [*HOSTILE[5:9], "W" * 40 + "i"]
    wordy = with_experiments(answer, labels).model_copy(
        update={"title": "A title that goes on " * 20 + "W" * 200}
    )
    assert_texts_are_apart(drawn(name, wordy))


def test_curves_against_eps_are_stairs_inside_the_band(answer):
    figure = drawn("exceedance_vs_eps", answer)
    for panel, e in zip(figure.axes, answer.experiments, strict=True):
        (line,) = labelled(panel, Line2D, "_estimate")
        x, y = points(line)
        assert set(np.asarray(e.band.eps)) == set(x)
        for i, (left, right) in enumerate(pairwise(e.band.eps)):
            between = np.geomspace(left, right, 7)[1:-1]
            seen = np.interp(np.log(between), np.log(x), y)
            assert (seen == e.band.estimate[i][-1]).all()
            assert (seen <= e.band.upper[i][-1]).all()
            assert (seen >= e.band.lower[i + 1][-1]).all()
    assert len({p[-1] for p in answer.experiments[0].band.estimate}) > 3


def test_a_threshold_of_zero_is_the_left_end_of_a_logarithmic_axis(answer):
    chosen = []
    for e in answer.experiments:
        band = e.band.model_copy(
            update={
                "eps": [0.0, *e.band.eps],
                **{
                    key: [[0.875] * len(e.checkpoints), *getattr(e.band, key)]
                    for key in ("estimate", "estimate_upper", "lower", "upper")
                },
            }
        )
        chosen.append(e.model_copy(update={"band": band}))
    zero = answer.model_copy(update={"experiments": chosen})
    panel = drawn("exceedance_vs_eps", zero).axes[0]
    (line,) = labelled(panel, Line2D, "_estimate")
    x, y = points(line)
    assert (x > 0).all()
    assert y[0] == 0.875
    assert x[0] < panel.get_xlim()[0]


@pytest.mark.parametrize("name", ["exceedance_vs_n", "exceedance_vs_eps"])
def test_undecided_runs_are_drawn_above_the_line_and_named(answer, name):
    assert "undecided" not in note(drawn(name, with_undecided(answer, 0)))
    figure = drawn(name, with_undecided(answer, 9))
    assert "darker: undecided runs" in note(figure)
    for panel in figure.axes:
        assert labelled(panel, PolyCollection, "_undecided")
    if name == "exceedance_vs_n":
        assert "at most 9 of 64 runs" in note(figure)
        bands = labelled(figure.axes[2], PolyCollection, "_undecided")
        for band, e in zip(bands, answer.experiments, strict=True):
            step, seen = e.checkpoints[-1], e.exceedance.estimates[2][-1]
            corners = np.asarray(band.get_paths()[0].vertices)
            ends = corners[corners[:, 0] == step, 1]
            assert ends.max() == seen.estimate
            assert ends.min() == max(seen.failures - 9, 0) / seen.runs


@pytest.mark.parametrize("kind", ["proved", *WEAK])
@pytest.mark.parametrize("name", ["exceedance_vs_n", "exceedance_vs_eps"])
def test_a_bound_is_called_proved_only_if_its_evidence_says_so(answer, name, kind):
    evidence = WEAK.get(kind, PROOF)
    figure = drawn(name, with_bounds(answer, 0.25, evidence))
    said = note(figure)
    assert ("proved lower bounds" in said) == (kind == "proved")
    assert ("not proved" in said) == (kind != "proved")
    assert "provable" not in said
    if kind != "proved":
        assert f"({evidence.mark} in the table)" in said
    if name == "exceedance_vs_eps":
        markers = [x for x in figure.axes[0].lines if x.get_marker() == "^"]
        assert len(markers) == len(answer.eps)
        filled = {to_hex(x.get_markerfacecolor()) != "#ffffff" for x in markers}
        assert filled == {kind == "proved"}


@pytest.mark.parametrize("name", ["exceedance_vs_n", "exceedance_vs_eps"])
def test_bounds_that_matter_to_nobody_are_not_drawn(answer, name):
    figure = drawn(name, with_bounds(answer, 8.6e-78, WEAK["estimated"]))
    assert "bound" not in note(figure)
    lines = [x for panel in figure.axes for x in panel.lines]
    assert not [x for x in lines if x.get_marker() == "^" and np.size(x.get_xdata()) == 1]
    assert not [x for x in lines if x.get_color() == BOUND]


@pytest.mark.parametrize(
    ("lower", "upper", "lines", "strip"),
    [
        (0.25, 0.25, [0.25], None),
        (0.002, 0.02, [0.002, 0.02], (0.002, 0.02)),
        (0.0, 0.02, [0.02], (None, 0.02)),
        (-math.inf, 0.02, [0.02], (None, 0.02)),
        (0.002, math.inf, [0.002], (0.002, None)),
        (-math.inf, math.inf, [], (None, None)),
    ],
)
def test_learning_curves_show_both_ends_of_the_optimum(answer, lower, upper, lines, strip):
    figure = drawn("learning_curves", with_optimum(answer, lower, upper))
    panel = figure.axes[0]
    bottom, top = panel.get_ylim()
    lines_drawn = [float(np.ravel(x.get_ydata())[0]) for x in labelled(panel, Line2D, "_optimum")]
    assert sorted(lines_drawn) == lines
    spans = [p for p in panel.patches if p.get_label() == "_optimum"]
    assert len(spans) == (strip is not None)
    if strip is not None:
        low, high = strip
        box = spans[0].get_path().get_extents(spans[0].get_patch_transform())
        assert box.y0 == (low if low is not None else bottom)
        assert box.y1 == pytest.approx(high if high is not None else top)
        assert "grey: inf L lies in it" in note(figure)
    else:
        assert "dotted: inf L" in note(figure)
    assert ("none is known" in note(figure)) == math.isinf(upper)


def test_each_figure_says_how_many_steps_and_runs(answer):
    one = with_experiments(answer, ["only"])
    single = [
        e.model_copy(update={"runs": 1, "checkpoints": [*e.checkpoints[:-1], 1]})
        for e in one.experiments
    ]
    said = note(drawn("exceedance_vs_eps", one.model_copy(update={"experiments": single})))
    assert said.startswith("1 run; band")
    assert "failure probability after 1 step $" in said
    first, second = answer.experiments
    longer = second.model_copy(
        update={"checkpoints": [*second.checkpoints[:-1], 7000], "runs": 128}
    )
    mixed = answer.model_copy(update={"experiments": [first, longer]})
    figure = drawn("risk_distribution", mixed)
    assert "after the last step" in note(figure)
    assert "64 to 128 runs per experiment" in note(figure)
    assert [panel.get_title() for panel in figure.axes] == ["sgd (30 steps)", "adam (7,000 steps)"]


def test_levels_where_runs_stop_are_seen_in_small_panels(answer):
    figure = drawn("risk_distribution", answer)
    for panel in figure.axes:
        (bars,) = panel.patches[:1]
        share, edges, _ = bars.get_data()
        (lines,) = [c for c in panel.collections if c.get_label() == "_high bars"]
        found = {round(float(np.log10(x)), 6): y for (x, _), (_, y) in lines.get_segments()}
        centres = np.log10(edges[:-1] * edges[1:]) / 2
        high = share > 0.1 * share.max()
        assert found == {
            round(float(x), 6): y for x, y in zip(centres[high], share[high], strict=True)
        }


def test_short_names_are_distinct_clean_and_short():
    names = short_names([*HOSTILE, *ALIKE])
    assert len(set(names)) == len(names)
    assert all(len(name) <= MOST + 5 for name in names)
    assert names[0] == HOSTILE[0]
    for name in names:
        assert name == clean(name)
        ET.fromstring(f"<a>{name.replace('&', '').replace('<', '')}</a>".encode())


def test_legends_name_every_experiment(answer):
    figure = drawn("exceedance_vs_n", with_experiments(answer, ["_a", "$x$", "$", "b"]))
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["_a", "$x$", "$", "b"]
    assert not any(t.get_parse_math() for t in legend.get_texts())
    assert len(legend.get_lines()) == 4


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_hostile_labels_are_xml_with_the_labels_in_them(answer, tmp_path, name):
    labels = [*HOSTILE, *ALIKE] if name == "exceedance_vs_n" else [HOSTILE[6], HOSTILE[4]]
    hostile = with_experiments(answer, labels).model_copy(update={"title": HOSTILE[6]})
    figure = drawn(name, hostile)
    _, file = save(figure, tmp_path / name)
    said = "".join(ET.parse(file).getroot().itertext())
    for label in labels:
        assert label in said or label not in HOSTILE[:6]
    assert "\ufffd[31m" in said


@pytest.mark.parametrize("ends", [(0.0, math.inf), (-math.inf, math.inf)])
def test_nothing_known_of_the_optimum_is_drawn(answer, tmp_path, ends):
    single = with_experiments(answer, ["one"])
    assert len(draw_all(with_optimum(single, *ends), tmp_path)) == 2 * len(FIGURES)
    figure = drawn("risk_distribution", nothing_known(answer))
    assert "measured from 0 where inf L has no lower end" in note(figure)


def test_a_run_far_away_does_not_hide_the_others(answer):
    chosen = []
    for e in answer.experiments:
        d = e.distribution
        far = d.model_copy(
            update={
                "lower": [*d.lower, 1e300],
                "upper": [*d.upper, 1e301],
                "count": [*d.count, 1],
            }
        )
        chosen.append(e.model_copy(update={"distribution": far}))
    wild = answer.model_copy(update={"experiments": chosen})
    figure = drawn("risk_distribution", wild)
    assert figure.axes[0].get_xlim()[1] < 1e6
    assert "the outermost bars hold all runs beyond them" in note(figure)


def test_rare_failures_have_a_logarithmic_axis_on_which_none_is_shown(answer):
    chosen = []
    for e in answer.experiments:
        rows = [
            [
                dataclasses.replace(one, failures=0, estimate=0.0, estimate_upper=0.0, upper=1e-3)
                for one in row
            ]
            for row in e.exceedance.estimates
        ]
        found = e.exceedance.model_copy(update={"estimates": rows})
        chosen.append(e.model_copy(update={"exceedance": found}))
    figure = drawn("exceedance_vs_n", answer.model_copy(update={"experiments": chosen}))
    assert figure.axes[0].get_yscale() == "log"
    assert "no run fails" in note(figure)
    triangles = [x for x in figure.axes[0].lines if x.get_marker() == "v"]
    heights = [np.asarray(x.get_ydata()) for x in triangles]
    assert heights
    assert all((h == 1e-3).all() for h in heights)


def test_negative_risks_are_drawn_on_a_linear_axis(answer):
    chosen = []
    for e in answer.experiments:
        q = e.quantiles
        low = {
            key: [[x - 5 for x in row] for row in getattr(q, key)]
            for key in ("value", "lower", "upper")
        }
        chosen.append(e.model_copy(update={"quantiles": q.model_copy(update=low)}))
    below = with_optimum(answer.model_copy(update={"experiments": chosen}), -6.0, -5.0)
    panel = drawn("learning_curves", below).axes[0]
    assert panel.get_yscale() == "linear"
    bottom, top = panel.get_ylim()
    assert bottom < -6.0
    assert all(bottom < v < top for row in below.experiments[0].quantiles.value for v in row)


def test_texts_of_panels_are_no_mathematics(answer):
    figure = drawn("risk_distribution", with_experiments(answer, ["$x$", "a_b^c"]))
    assert [panel.get_title() for panel in figure.axes] == ["$x$", "a_b^c"]
    assert not any(panel.title.get_parse_math() for panel in figure.axes)
    assert isinstance(figure.axes[0].title, Text)


def test_figures_of_very_many_experiments_show_the_first_and_say_so(answer, tmp_path, monkeypatch):
    # A panel each would be higher than PNG allows.
    many = with_experiments(answer, [str(k) for k in range(MOST_DRAWN + 5)])
    drawn_of: list[Answer] = []
    monkeypatch.setattr(
        "jaxsim.report.plots.FIGURES", {name: lambda a: drawn_of.append(a) for name in FIGURES}
    )
    draw_all(many, tmp_path)
    assert len(drawn_of) == len(FIGURES)
    assert all([e.label for e in a.experiments] == [str(k) for k in range(MOST_DRAWN)]
               for a in drawn_of)  # fmt: skip
    assert f"figures show the first {MOST_DRAWN} of {MOST_DRAWN + 5} experiments" in notes(many)
    assert not any("figures show" in line for line in notes(answer))


def test_bins_of_the_risk_make_no_levels_of_a_small_excess(answer):
    """Risks spread evenly above inf L = 0.09 lie in bins as wide as half the excess."""
    edges = 0.09 * (1 + 2.0**-12 * np.arange(9))
    even = DistributionAnswer(
        lower=edges[:-1].tolist(), upper=edges[1:].tolist(), count=[8] * 8, diverged=0
    )
    chosen = [e.model_copy(update={"distribution": even}) for e in answer.experiments[:1]]
    one = answer.model_copy(update={"experiments": chosen, "eps": [5e-5]})
    known = with_optimum(one, 0.09, 0.09)
    figure = drawn("risk_distribution", known)
    (bars,) = (p for p in figure.axes[0].get_children() if isinstance(p, StepPatch))
    share, cuts, _ = bars.get_data()
    assert share.sum() == pytest.approx(1)
    inner = cuts[1:-1] < edges[-2] - 0.09
    assert (share[1:-1][inner[:-1]] > 0).all(), "no bar stands alone"
    width = np.diff(np.clip(cuts, 0, edges[-1] - 0.09))
    even_share = width[1:-1] / (edges[-1] - 0.09)
    np.testing.assert_allclose(share[1:-1], even_share, atol=1e-12)
    assert "dotted" in note(figure)
    assert "the outermost bars hold all runs beyond them" in note(figure)
    assert "levels at which polished runs end" not in note(figure)
    asked = known.model_copy(update={"eps": []})
    assert "dotted" not in note(drawn("risk_distribution", asked))


def test_axes_are_logarithmic_where_probabilities_are_small_and_begin_at_1e_30(answer):
    one = answer.experiments[0]

    def with_last(design, **known):
        rows = [
            [*row[:-1], dataclasses.replace(row[-1], **known)] for row in one.exceedance.estimates
        ]
        found = one.exceedance.model_copy(update={"estimates": rows})
        return [one.model_copy(update={"exceedance": found, "design": design})]

    design = DesignAnswer(name="post-stratified", note="", strata=[])
    assert not logarithmic(with_last(design, estimate=0.4, upper=0.5))
    assert logarithmic(with_last(design, estimate=1e-5, upper=0.5))
    assert not logarithmic(with_last(None, estimate=1e-5, upper=0.5))
    assert logarithmic(with_last(None, estimate=0.0, upper=1.8e-4))
    assert not logarithmic([one])
    assert axis_bottom([0.0, 1e-200, 1.0]) == 1e-30
    assert axis_bottom([0.0, 2e-29]) == pytest.approx(2e-30)


def test_a_short_logarithmic_axis_has_several_numbers():
    axes = Figure().subplots()
    axes.set_xscale("log")
    axes.set_xlim(0.3, 4.0)
    number_short(axes.xaxis)
    axes.figure.canvas.draw()
    assert {"0.5", "1", "2"} <= {label.get_text() for label in axes.get_xticklabels()}


def test_zeros_leave_a_logarithmic_axis_of_learning_curves_near_its_end(answer):
    """A line to an exact zero does not fall straight down from the checkpoint before it."""
    done = answer.experiments[0]
    value = [[0.5, 0.4, 0.3, 0.0][: len(done.checkpoints)] for _ in done.quantiles.levels]
    value[0] = [1e-6] * len(value[0])
    quantiles = done.quantiles.model_copy(update={"value": value})
    one = answer.model_copy(
        update={"experiments": [done.model_copy(update={"quantiles": quantiles})]}
    )
    panel = drawn("learning_curves", one).axes[0]
    (line,) = [x for x in panel.get_lines() if x.get_linewidth() == 1.7]
    bottom = panel.get_ylim()[0]
    assert 0 < line.get_ydata()[-1] < bottom
    assert line.get_ydata()[-1] > 1e-6 * bottom
    assert line.get_marker() == "o"


def test_names_of_panels_are_placed_without_a_search_unless_a_power_may_stand_there(monkeypatch):
    searched = []
    find = Axis.get_tightbbox
    monkeypatch.setattr(
        Axis, "get_tightbbox", lambda *a, **k: [searched.append(1), find(*a, **k)][1]
    )
    around = Around(title="t", what="w", x="x", y="y", note="n")
    for top, powers in ((1.0, False), (3e-7, True)):
        sheet = Sheet(2, 2.7, 1.8)
        for panel in sheet.axes:
            panel.plot([0, 1], [0, top])
        sheet.name(["a" * 200, "b"])
        figure = sheet.arrange(around)
        figure.canvas.draw()
        assert bool(searched) == powers
        name = sheet.axes[0].title.get_window_extent()
        assert sheet.axes[0].yaxis.offsetText.get_text() == ("1e−7" if powers else "")
        if powers:
            assert not name.overlaps(sheet.axes[0].yaxis.offsetText.get_window_extent())
        assert name.y0 > sheet.axes[0].get_window_extent().y1
        searched.clear()


def test_of_many_experiments_lines_are_spaced_from_the_lowest_to_the_highest(answer):
    shares = [((7 * k) % MANY) / MANY for k in range(MANY)]
    many = with_grid(answer, [{"place": k} for k in range(MANY)], shares)
    kept = [int(e.axes["place"]) for e in spaced(many.finished)]
    order = sorted(range(MANY), key=lambda k: shares[k])
    # Nine places from 0 to 29, 29/8 apart, rounded (ties to even).
    assert kept == sorted(order[k] for k in (0, 4, 7, 11, 14, 18, 22, 25, 29))
    figure = drawn("exceedance_vs_n", many)
    assert len([t for legend in figure.legends for t in legend.get_texts()]) == 9
    (grey,) = labelled(figure.axes[0], FillBetweenPolyCollection, "_range")
    ends = np.asarray(grey.get_paths()[0].vertices)[:, 1]
    assert (ends.min(), ends.max()) == pytest.approx((0.0, 29 / 30), abs=2e-3)  # of 400 runs
    assert "lines: 9 of 30 experiments, evenly spaced from the lowest to the highest" in note(
        figure
    )
    few = with_grid(answer, [{"place": k} for k in range(16)], shares[:16])
    assert len(spaced(few.finished)) == 16
    assert not labelled(drawn("exceedance_vs_n", few).axes[0], FillBetweenPolyCollection, "_range")


def test_the_memory_of_a_figure_is_given_back_before_the_next_is_drawn(monkeypatch):
    set_aside = []
    monkeypatch.setattr(gc, "get_freeze_count", lambda: len(set_aside))
    monkeypatch.setattr(gc, "freeze", lambda: set_aside.append(1))
    monkeypatch.setattr(gc, "unfreeze", set_aside.clear)
    with each_given_back() as give_back:
        assert set_aside
        figure = Figure()
        figure.add_subplot().plot([1, 2])
        still_there = weakref.ref(figure)
        del figure
        give_back()
        assert still_there() is None
        with each_given_back() as within:
            within()
        assert set_aside
    assert not set_aside
