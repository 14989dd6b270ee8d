"""What is seen in a figure, which tests of figures share."""

from typing import TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxsim.questions.answer import Answer
from jaxsim.report.plots import FIGURES
from jaxsim.report.plots.style import styled

T = TypeVar("T", bound=Artist)


def drawn(name: str, answer: Answer) -> Figure:
    """Return a figure."""
    figure = FIGURES[name](answer)
    assert figure is not None
    return figure


def labelled(panel: Axes, kind: type[T], label: str) -> list[T]:
    """Return the artists of a kind and label in a panel."""
    return [x for x in panel.get_children() if isinstance(x, kind) and x.get_label() == label]


def points(line: Line2D) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of a line."""
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def renderer_of(figure: Figure) -> RendererAgg:
    """Return what measures a figure's texts."""
    assert isinstance(figure.canvas, FigureCanvasAgg)
    return figure.canvas.get_renderer()


def note(figure):
    """Return the words of a figure outside its panels, on one line."""
    return " ".join(" ".join(t.get_text().split()) for t in figure.texts)


def inches(figure):
    """Return the boxes of the panels in inches."""
    size = figure.get_size_inches()
    return [panel.get_position().bounds * np.tile(size, 2) for panel in figure.axes]


def words(figure):
    """Return what is written outside the panels: texts that are not empty."""
    legends = [t for legend in figure.legends for t in legend.get_texts()]
    names = [panel.title for panel in figure.axes]
    return [t for t in [*figure.texts, *legends, *names] if t.get_text().strip()]


def assert_texts_are_apart(figure):
    """Check that no text around the panels is cut or lies on another one."""
    with styled():
        figure.canvas.draw()
        renderer = renderer_of(figure)
        texts = words(figure)
        boxes = [t.get_window_extent(renderer) for t in texts]
        panels = [panel.get_window_extent(renderer) for panel in figure.axes]
        ticks = [
            t.get_window_extent(renderer)
            for panel in figure.axes
            for t in (*panel.get_xticklabels(), *panel.get_yticklabels())
            if t.get_text() and t.get_visible()
        ]
    whole = figure.bbox
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= whole.x0, text
        assert box.y0 >= whole.y0, text
        assert box.x1 <= whole.x1, text
        assert box.y1 <= whole.y1, text
    for place, box in enumerate(boxes):
        others = [*boxes[:place], *boxes[place + 1 :], *panels]
        assert not any(box.overlaps(other) for other in others), texts[place]
    outside = [b for b, t in zip(boxes, texts, strict=True) if t in figure.texts]
    assert not any(tick.overlaps(box) for tick in ticks for box in outside)
