"""`jaxsim optimum`: the bracket of every width by itself, from the command line."""

import json

import numpy as np
import pandas as pd
import pytest

from jaxsim.launch.optimum import find_optima
from jaxsim.optimum import solve
from jaxsim.optimum.parabola import Parabola
from jaxsim.questions.hierarchy import OptimaAnswer
from jaxsim.report.plots.optimum import optimum_figure
from jaxsim.study.study import Study
from tests.optimum.toy import GOAL, Toy
from tests.studies import command, study, table, toml


@pytest.fixture
def toy(monkeypatch):
    made = Toy()
    monkeypatch.setattr(solve, "STRATEGIES", {"toy": made})
    solve._VERIFIED.clear()
    yield made
    solve._VERIFIED.clear()


def run(monkeypatch, capsys, *arguments, code=0):
    return command(monkeypatch, capsys, "optimum", *arguments, code=code)


def test_the_bracket_of_every_width_is_shown_and_kept(toy, tmp_path, monkeypatch, capsys):
    file, directory = tmp_path / "own.toml", tmp_path / "out"
    file.write_text(toml(table(network__hidden=[5])))
    shown, said = run(monkeypatch, capsys, file, "--budget", 20, "-o", directory)
    assert "for up to 20 s" in said
    rows = [line.split() for line in shown.splitlines()]
    widths = {int(row[0]): row for row in rows if row and row[0].isdigit()}
    assert sorted(widths) == [0, 1, 2, 3, 4, 5]
    assert widths[4][1:4] == ["0.000142222", "0.000142223", "1"]
    assert "counted to 4, too" not in shown  # of equal ends the one known at once is named
    frame = pd.read_csv(directory / "optimum" / "optimum.csv")
    closed = [Parabola().lower(m) for m in range(6)]
    assert np.allclose(frame.lower, closed, rtol=1e-15, atol=0)
    assert frame.upper.is_monotonic_decreasing
    assert set(frame.lower_evidence) == {"proved"}
    assert frame.lower_reason.str.len().min() > 0
    kept = json.loads((directory / "optimum" / "optimum.json").read_text())
    answer = OptimaAnswer.model_validate(kept)
    assert answer.hierarchies[0].widths[5].parameters == [float(GOAL)] * 16
    for kind in ("png", "svg"):
        assert (directory / "optimum" / f"optimum.{kind}").stat().st_size > 1000
    # A study that is run there later finds the certificates; again, without a search, as before.
    calls = len(toy.calls)
    again, _ = run(monkeypatch, capsys, file, "--budget", 0, "-o", directory, "--no-plots")
    assert [r for r in again.splitlines() if r[:1].isdigit()] == [
        r for r in shown.splitlines() if r[:1].isdigit()
    ]
    assert len(toy.calls) == calls


def test_without_a_directory_nothing_is_written(toy, tmp_path, monkeypatch, capsys):
    before = set(tmp_path.iterdir())
    shown, _ = run(monkeypatch, capsys, "quickstart", "--budget", 5)
    assert "0.000142222" in shown
    assert set(tmp_path.iterdir()) == before


def test_a_directory_of_another_study_is_refused(toy, tmp_path, monkeypatch, capsys):
    directory = tmp_path / "out"
    directory.mkdir()
    (directory / "letter.txt").write_text("to whom it may concern")
    _, said = run(monkeypatch, capsys, "quickstart", "-o", directory, code=2)
    assert said.count("error: ") == 1
    assert "holds other files" in said
    assert not (directory / "optimum").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["quickstart", "--budget", "-1"], "--budget -1.0 is not accepted"),
        (["quickstart", "--budget", "nan"], "--budget nan is not accepted"),
        (["nothing.toml"], "neither a file nor a ready study"),
        (["quickstart", "--set", "optimum.budget=-3"], "optimum.budget = -3"),
    ],
)
def test_bad_input_is_one_sentence(toy, monkeypatch, capsys, arguments, why):
    _, said = run(monkeypatch, capsys, *arguments, code=2)
    assert why in said
    assert "Traceback" not in said


def test_what_is_not_searched_and_what_is_not_finished_is_said(toy, monkeypatch, capsys):
    toy.at_most = 1
    shown, _ = run(monkeypatch, capsys, "quickstart", "--set", "network.hidden=[3]", "--budget", 5)
    assert "not finished within a budget of 5 s (hidden: 3)" in shown
    shown, _ = run(monkeypatch, capsys, "quickstart", "--set", "network.hidden=[2,2]")
    assert "no search bounds it from below (toy: it knows one hidden layer only)" in shown


def test_experiments_of_one_chain_share_a_table(toy):
    grid = study(grid={"network.hidden": [[2], [6], [3, 2]]})
    found = find_optima(grid, None, 20.0)
    assert [h.experiments for h in found.hierarchies] == [["hidden 2", "hidden 6"], ["hidden 3-2"]]
    assert [row.neurons for row in found.hierarchies[0].widths] == list(range(7))
    (panels, other) = np.reshape(optimum_figure(found, grid).axes, (2, 2))
    line = panels[0].get_lines()[0]
    assert np.allclose(line.get_ydata(), np.asarray(line.get_xdata()) ** 2)
    assert len(panels[0].get_lines()) == 2
    assert len(other[0].get_lines()) == 1  # no explicit network is known there


def test_the_picture_of_points_shows_them_and_ends_that_are_zero(toy, tmp_path):
    file = tmp_path / "points.csv"
    file.write_text("x,label\n2,1\n-1,0\n0.5,0\n1,1\n")
    points = study(problem={"data": {"path": str(file), "scale": "none"}, "loss": "logistic"})
    answer = find_optima(points, None, 0.0)
    row = answer.hierarchies[0].widths[-1]
    row = row.model_copy(update={"parameters": [1.0] * points.experiments[0].network.size})
    (one,) = answer.hierarchies
    answer.hierarchies[0] = one.model_copy(update={"widths": [*one.widths[:-1], row]})
    functions, brackets = optimum_figure(answer, points).axes
    marks, line = functions.get_lines()
    assert sorted(zip(marks.get_xdata(), marks.get_ydata(), strict=True)) == [
        (-1, 0), (0.5, 0), (1, 1), (2, 1)
    ]  # fmt: skip
    assert list(line.get_xdata()) == [-1, 0.5, 1, 2]
    assert np.allclose(line.get_ydata(), 3 * np.maximum(np.array([-1, 0.5, 1, 2]) + 1, 0) + 1)
    assert brackets.get_ylim()[0] >= 0


def test_what_has_no_picture_leaves_no_empty_panel(monkeypatch):
    monkeypatch.setattr(solve, "STRATEGIES", {})
    iris = study(problem={"data": "iris", "loss": "softmax_cross_entropy"})
    found = find_optima(iris, None, 0.0)
    (panel,) = optimum_figure(found, iris).axes
    # Constants bound what no search does, at every width.
    rows = found.hierarchies[0].widths
    assert [row.neurons for row in rows] == [0, 1, 2, 3]
    assert [row.optimum.upper.value for row in rows] == pytest.approx(4 * [np.log(3)])
    frozen = study(problem={"data": "iris", "loss": "softmax_cross_entropy"},
                   network__freeze=["output"])  # fmt: skip
    (panel,) = optimum_figure(find_optima(frozen, None, 0.0), frozen).axes
    assert list(panel.get_xticks()) == [3]


def test_every_output_of_a_function_is_drawn(toy):
    pair = study(problem__target=["x", "x**2"])
    found = find_optima(pair, None, 0.0)
    lines = optimum_figure(found, pair).axes[0].get_lines()
    x = np.asarray(lines[0].get_xdata())
    assert np.allclose([line.get_ydata() for line in lines], [x, x**2])


def test_a_title_does_not_tell_of_a_target_that_was_changed(toy):
    base = table(title="x^2 by three neurons")
    for settings, title in (
        ([], "x^2 by three neurons"),
        (["epsilon=[0.1]", "replicates=8"], "x^2 by three neurons"),
        (["problem.target='sin(x)'", "seed=1"], "small with problem.target = sin(x)"),
        (["network.hidden=[2]", "title='mine'"], "mine"),
    ):
        assert Study.from_dict(base, settings).spec.title == title
    assert Study.from_dict(table(), ["network.hidden=[2]"]).spec.title == ""


def test_what_is_stated_is_in_the_bracket_with_its_reason(toy):
    stated = {"lower": 0.001, "reason": "Theorem 3"}
    found = find_optima(study(problem__target="sin(x)", problem__optimum=stated), None, 0.0)
    lower = found.hierarchies[0].widths[-1].optimum.lower
    assert (lower.value, lower.evidence.kind) == (0.001, "stated")
    assert lower.reason == "stated in the study: Theorem 3"


def test_numbers_of_neurons_from_few_to_many_stand_apart(toy):
    wide = study(grid={"network.hidden": [[2], [4], [2048]]})
    found = find_optima(wide, None, 0.0)
    functions, brackets = optimum_figure(found, wide).axes
    assert functions.get_title() == "target and best network"
    places = brackets.transData.transform([(m, 1.0) for m in (0, 1, 2, 4, 2048)])[:, 0]
    width = brackets.bbox.width
    assert (np.diff(places) > width / 20).all()
    assert [t.get_text() for t in brackets.get_xticklabels()] == ["0", "1", "10", "100", "1,000"]


def test_a_zero_below_a_short_range_has_no_number_upon_it(toy):
    flat = study(problem__target="0.2*abs(x)")
    figure = optimum_figure(find_optima(flat, None, 0.0), flat)
    brackets = figure.axes[-1]
    assert any(text.get_text() == "0" for text in brackets.texts)
    figure.canvas.draw()
    assert not any(t.get_text() for t in brackets.get_yticklabels(minor=True))


def test_one_number_of_neurons_is_no_picture_of_its_own(toy):
    linear = study(network={"hidden": []}, problem__target="x")
    assert len(optimum_figure(find_optima(linear, None, 0.0), linear).axes) == 1
