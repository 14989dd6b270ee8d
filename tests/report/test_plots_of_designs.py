"""Figures of designs: three parts of a probability, strata, and runs that were split."""

import dataclasses

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.container import BarContainer
from matplotlib.lines import Line2D
from scipy import stats

from jaxsim.report.plots import FIGURES, FURTHER
from jaxsim.report.plots.parts import resolved_end
from jaxsim.report.plots.strata import strata
from jaxsim.report.table import notes
from tests.report.answers import (
    INACTIVE,
    NEURONS,
    PROVED_FROM,
    small_answer,
    with_design,
)
from tests.report.figures import (
    assert_texts_are_apart,
    drawn,
    labelled,
    note,
    points,
)


@pytest.fixture(scope="module")
def answer():
    return small_answer()


@pytest.fixture(scope="module")
def stratified(answer):
    """The first experiment has a design; events are those of the risk above the optimum."""
    return with_design(answer)


def spans(panel, label):
    """Return (least, greatest height) of the filled regions with a label."""
    regions = labelled(panel, PolyCollection, label)
    heights = [np.asarray(p.vertices)[:, 1] for r in regions for p in r.get_paths()]
    return min(map(np.min, heights)), max(map(np.max, heights))


def test_three_parts_of_a_probability_are_apart_against_n(stratified):
    panels = drawn("exceedance_vs_n", stratified).axes
    for panel, row in zip(panels, stratified.experiments[0].exceedance.estimates, strict=True):
        assert panel.get_yscale() == "log"
        assert panel.get_ylim()[0] == pytest.approx(row[0].provable / 10, rel=1e-2)
        (proved,) = labelled(panel, Line2D, "_proved")
        assert np.allclose(points(proved)[1], stats.binom.sf(PROVED_FROM - 1, NEURONS, INACTIVE))
        low, middle = spans(panel, "_resolved")
        seen, high = spans(panel, "_unresolved")
        assert low == min(one.lower for one in row)
        assert high == max(one.upper for one in row)
        # Failures of sampled strata lie below what strata without any leave open.
        assert middle < 0.1 * high
        # The unresolved region begins where failures end: above every estimate, below its top.
        ends = [max(one.upper - one.unresolved, one.estimate) for one in row]
        assert seen == pytest.approx(min(ends), rel=1e-6)
        assert middle == pytest.approx(max(ends), rel=1e-6)
        assert all(one.estimate < middle for one in row)
        # More is unresolved than known: no points, and triangles at the upper ends.
        assert all(one.open for one in row)
        circles = [x for x in panel.lines if x.get_marker() == "o"]
        assert np.isnan(points(circles[0])[1]).all()
        triangles = [x for x in panel.lines if x.get_marker() == "v"]
        assert np.array_equal(points(triangles[0])[1], [one.upper for one in row])
        (known,) = labelled(panel, Line2D, "_known")
        assert np.array_equal(points(known)[1], [one.estimate for one in row])


def test_three_parts_of_a_probability_are_apart_against_eps(stratified):
    one = stratified.experiments[0]
    panel = drawn("exceedance_vs_eps", stratified).axes[0]
    assert panel.get_yscale() == "log"
    (proved,) = labelled(panel, Line2D, "_proved")
    assert set(points(proved)[1]) == {one.band.provable[0][-1]}
    assert spans(panel, "_resolved")[1] < 0.1 * spans(panel, "_unresolved")[1]
    assert not labelled(panel, PolyCollection, "_band")
    asked = labelled(panel, Line2D, "_open")
    assert [points(x)[1][0] for x in asked] == [r[-1].upper for r in one.exceedance.estimates]


@pytest.mark.parametrize(
    ("estimate", "upper", "unresolved", "end"),
    [
        (1e-9, 1e-4, 9.9e-5, 1e-6),
        (1e-30, 1e-4, 1e-4, 1e-30),
        (1e-30, 1e-4, 1e-4 * (1 - 1e-15), 1e-30),
        (0.5, 0.6, 0.2, 0.5),
        (0.1, 0.3, 0.0, 0.3),
    ],
)
def test_rounding_resolves_nothing(estimate, upper, unresolved, end):
    assert float(resolved_end(estimate, upper, unresolved)) == pytest.approx(end, rel=1e-6)


def test_strata_show_weights_shares_and_where_the_probability_comes_from(stratified):
    figure = strata(stratified)
    assert figure is not None
    one = stratified.experiments[0]
    assert len(figure.axes) == len(stratified.eps)
    for g, panel in enumerate(figure.axes):
        assert panel.get_yscale() == "log"
        bottom, top = panel.get_ylim()
        (weight,) = labelled(panel, Line2D, "_weight")
        expected = stats.binom.pmf(np.arange(NEURONS + 1), NEURONS, INACTIVE)
        assert np.allclose(points(weight)[1], expected)
        bars: dict[str, dict[float, float]] = {}
        for container in panel.containers:
            for bar in container.patches if isinstance(container, BarContainer) else ():
                place = round(bar.get_x() + bar.get_width() / 2, 6)
                top_of = bars.setdefault(str(container.get_label()), {})
                top_of[place] = bar.get_y() + bar.get_height()
        last = one.exceedance.estimates[g][-1]
        assert sum(bars["_proved"].values()) == pytest.approx(last.provable, rel=1e-9)
        assert sum(bars["_product"].values()) == pytest.approx(last.resolved, rel=1e-9)
        assert set(bars["_proved"]) == {19, 20}
        assert set(bars["_unresolved"]) >= {0, 1, 2, 3, 8}
        # Nothing is known of strata without runs but their probability.
        assert bars["_unresolved"][1] == pytest.approx(expected[1])
        assert bars["_unresolved"][3] < 0.1 * expected[3]
        said = [text.get_text().strip() for text in panel.texts]
        assert said == [f"{k.runs:,}" if k.runs else "" for k in one.design.strata]
        assert bottom <= expected.min()
        assert top > 1
    assert "8,000 runs" in note(figure)
    assert strata(stratified.model_copy(update={"experiments": []})) is None


@pytest.mark.parametrize("name", ["exceedance_vs_eps", "exceedance_vs_n", "strata"])
def test_no_text_of_designs_is_cut_or_lies_on_another(answer, name):
    figure = {**FIGURES, **FURTHER}[name](with_design(answer, "splitting", alone=2))
    assert figure is not None
    assert_texts_are_apart(figure)


def test_a_band_beside_families_says_whose_runs_it_is_of(answer):
    alone = with_design(answer, "splitting", alone=2)
    assert "not split" not in note(FIGURES["exceedance_vs_eps"](alone))
    rows = alone.experiments[0].exceedance.estimates
    assert any("no families of clones, as runs see" in line for line in notes(alone))
    rows[0][-1] = dataclasses.replace(rows[0][-1], families=9)
    figure = FIGURES["exceedance_vs_eps"](alone)
    assert "together, from the runs that were not split" in note(figure)
    assert any("families of clones count in" in line for line in notes(alone))
