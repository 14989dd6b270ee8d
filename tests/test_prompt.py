"""What objects show of themselves at the prompt and in a notebook."""

import html.parser
import re
from dataclasses import replace

import jaxsim
from jaxsim.estimation import Estimate
from tests.report.answers import HOSTILE, small_answer, with_experiments
from tests.studies import TWO, made_up, study


def tags(text: str) -> set[str]:
    found = set()

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.add(tag)

    Reader().feed(text)
    return found


TABLE = {"div", "p", "table", "thead", "tbody", "tr", "th", "td"}


def test_a_study_shows_its_experiments():
    one = study(grid=TWO, title="<b>bold</b>")
    assert repr(one) == "Study('small': 2 experiments, 80 replicates each, 60 steps)"
    shown = one._repr_html_()
    assert tags(shown) == TABLE
    assert "&lt;b&gt;bold" in shown
    assert ">adam<" in shown


def test_results_show_what_is_finished(tmp_path):
    results = made_up(study(grid=TWO), tmp_path)
    assert repr(results).endswith("2 experiments, 160 of 160 runs finished)")
    assert tags(results._repr_html_()) == TABLE
    results.store.path(next(iter(results.planned.values()))[0]).unlink()
    assert repr(results).endswith("128 of 160 runs finished)")


def test_an_answer_shows_its_table():
    answer = with_experiments(small_answer(), HOSTILE)
    assert repr(answer).startswith("Answer('small': 10 experiments, 640 runs; eps = 0.001, ")
    assert len(repr(answer)) < 200
    shown = answer._repr_html_()
    assert tags(shown) <= TABLE | {"details", "summary", "ul", "li"}
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt;" in shown


def test_an_estimate_is_one_line():
    one = small_answer().experiments[0].exceedance.estimates[1][-1]
    assert isinstance(one, Estimate)
    said = repr(one)
    assert said.startswith("Estimate('sgd', n = 30, eps = 0.05: P = ")
    assert f"{one.failures} of 64 runs fail" in said
    assert "\n" not in said


def test_an_estimate_is_a_table_in_a_notebook_with_what_it_rests_on():
    one = small_answer().experiments[0].exceedance.estimates[1][-1]
    shown = replace(one, experiment="<i>a</i>", lower_bound=0.12399)._repr_html_()
    assert tags(shown) == TABLE - {"p"} | {"details", "summary", "ul", "li"}
    assert "&lt;i&gt;a" in shown
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", shown)
    assert cells[1:3] == ["eps = 0.05", "30"]
    assert cells[5:7] == [f"{one.failures}", "64"]
    assert cells[3] in repr(one)
    assert all(end in repr(one) for end in cells[4].split(" to "))
    assert "at least 0.123 for every n" in shown  # rounded down
    said = [
        repr(replace(one, event=kind, eps=eps))
        for kind, eps in (("not_all_right", 0.0), ("risk_above", 0.0), ("inactive_at_least", 2.0))
    ]
    names = ["not all right", "risk above 0", "inactive at least 2"]
    assert all(f", {name}: P = " in text for name, text in zip(names, said, strict=True))


def test_the_public_names_are_there_and_documented():
    for name in jaxsim.__all__:
        assert getattr(jaxsim, name).__doc__
    assert set(jaxsim.__all__) <= set(dir(jaxsim))
