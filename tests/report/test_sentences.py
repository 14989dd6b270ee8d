"""The answer in words: nothing is ranked that is not separated, nothing said that is not so."""

import io
import re

import pytest
from rich.console import Console

from jaxsim import analyse, simulate
from jaxsim.questions.data import EvidenceAnswer
from jaxsim.report.page import write_page
from jaxsim.report.sentences import NOTEWORTHY, sentences
from jaxsim.report.table import bound_text, notes, print_whole, table
from jaxsim.report.text import interval_text, lower_text
from tests.studies import TWO, study

SPEC = {"grid": TWO, "paired": ["optimizer"], "replicates": 160, "title": "x^2, $cheap"}
EPS = [0.001, 0.05]


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    return analyse(simulate(study(**SPEC), tmp_path_factory.mktemp("said")), EPS)


def with_estimates(answer, changes):
    """Return the answer's spreads with given fields in place of the computed ones."""
    spreads = [s.model_copy(update=changes) for s in answer.spreads]
    return answer.model_copy(update={"spreads": spreads})


def test_the_answer_is_a_sentence_a_person_would_say(answer):
    said = sentences(answer)
    last = [e.exceedance.estimates[1][-1] for e in answer.experiments]
    spread = answer.spreads[1]
    assert spread.lowest_estimate == min(one.estimate for one in last)
    assert spread.highest_estimate == max(one.estimate_upper for one in last)
    assert said[1].startswith(
        "After 60 steps the risk exceeds the optimal risk by more than 0.05 with probability "
    )
    assert "in 2 experiments (simultaneous 95 % intervals from" in said[1]
    assert any("of 1 pairs differ" in s for s in said)
    assert any(
        s.startswith("Proved, without any run and for every number of steps: the risk of every ")
        for s in said
    )


def test_the_limit_is_bounded_in_a_sentence_that_selects_with_simultaneous_confidence(answer):
    (said,) = (s for s in sentences(answer) if s.startswith("However long training goes on: "))
    best = max(answer.experiments, key=lambda e: e.liminf.simultaneous[0])
    text = lower_text(best.liminf.simultaneous[0])
    assert f"of {best.label} exceeds the optimal risk by more than 0.001 is at least {text}" in said
    assert f"since {best.permanent.count[0]} of 160 runs fail for ever (simultaneous" in said
    assert any(line.startswith("liminf: lower bound of liminf P(") for line in notes(answer))
    none = [
        e.model_copy(update={"liminf": e.liminf.model_copy(update={"simultaneous": [0.0, 0.0]})})
        for e in answer.experiments
    ]
    silent = sentences(answer.model_copy(update={"experiments": none}))
    assert not any("However long" in s for s in silent)


def test_experiments_are_ranked_only_where_runs_separate_them(answer):
    apart = with_estimates(answer, {"separated": True, "lowest": ["a"], "highest": ["b"]})
    assert "; b fails more often than a." in sentences(apart)[1]
    close = with_estimates(answer, {"separated": False, "lowest": ["a"], "highest": ["b"]})
    assert "; these runs do not tell a and b apart." in sentences(close)[1]
    assert "more often" not in sentences(close)[1]
    equal = with_estimates(
        answer, {"lowest_estimate": 0.5, "highest_estimate": 0.5, "separated": False}
    )
    assert "with probability 0.50 in both experiments" in sentences(equal)[1]
    shared = with_estimates(answer, {"lowest": ["a", "b", "c"], "separated": False})
    assert "(a and 2 others)" in sentences(shared)[1]


def test_an_experiment_is_not_told_apart_from_itself(answer):
    """Undecided runs can make an experiment both the lowest and the highest."""
    open_ends = {"lowest_estimate": 0.0, "highest_estimate": 1.0, "separated": False}
    both = with_estimates(answer, open_ends | {"lowest": ["a", "b"], "highest": ["a", "b"]})
    assert "with probability 0 to 1 in both experiments" in sentences(both)[1]
    assert sentences(both)[1].endswith(": undecided runs leave it open.")
    one = with_estimates(answer, open_ends | {"lowest": ["a", "b"], "highest": ["a"]})
    assert "; these runs do not tell them apart." in sentences(one)[1]
    assert "a and a" not in "".join(sentences(one))


def test_separation_is_that_of_the_paired_test(answer):
    for spread, one in zip(answer.spreads, answer.pairs.comparisons, strict=True):
        assert spread.eps == one.eps
        assert spread.separated == one.differ or spread.lowest_estimate == spread.highest_estimate


def test_only_differing_pairs_are_named_with_intervals_for_all_together(answer):
    alike = [c.model_copy(update={"differ": False}) for c in answer.pairs.comparisons]
    pairs = answer.pairs.model_copy(update={"comparisons": alike})
    none = sentences(answer.model_copy(update={"pairs": pairs}))
    assert any("0 of 1 pairs differ at eps = 0.001; 0 of 1 pairs differ" in s for s in none)
    assert not any("more often than" in s for s in none if s.startswith("On the same"))
    wide = [
        c.model_copy(
            update={"differ": True, "simultaneous_lower": -0.5, "simultaneous_upper": 0.75}
        )
        for c in answer.pairs.comparisons
    ]
    pairs = answer.pairs.model_copy(update={"comparisons": wide})
    (some,) = [
        s
        for s in sentences(answer.model_copy(update={"pairs": pairs}))
        if s.startswith("On the same")
    ]
    assert "1 of 1 pairs differ at eps = 0.001, the largest difference seen being that" in some
    assert re.search(r"\((-0\.50 to 0\.75|-0\.75 to 0\.50)\)", some)


def test_every_number_of_steps_has_its_own_sentences(tmp_path):
    grid = {"steps": [1, 40]}
    results = simulate(study(grid=grid, replicates=32, checkpoints=1), tmp_path / "steps")
    said = sentences(analyse(results, [0.05]))
    assert said[0].startswith("After 40 steps the risk of steps 40 exceeds")
    assert said[1].startswith("After 1 step the risk of steps 1 exceeds")


def test_the_table_has_a_row_per_experiment_and_eps_and_fits_a_terminal(answer):
    stream = io.StringIO()
    Console(file=stream, width=80).print(table(answer))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(bool(re.search(r" 0\.(001|05) ", line)) for line in lines) == 4
    for e in answer.experiments:
        last = e.exceedance.estimates[1][-1]
        _, low, high = interval_text(last.estimate, last.lower, last.upper)
        assert any(f"[{low}, {high}]" in line for line in lines)


def test_a_narrow_terminal_loses_no_column(answer):
    stream = io.StringIO()
    console = Console(file=stream, width=40)
    print_whole(table(answer), console)
    assert console.width == 40
    header = stream.getvalue().splitlines()[1]
    assert header.split()[-5:] == ["n", "permanent", "liminf", "div.", "und."]


def test_the_notes_say_how_things_are_known(answer):
    said = "\n".join(notes(answer))
    assert "clopper-pearson (coverage guaranteed" in said
    assert "inf L in [" in said
    assert "free-knot linear fits of a parabola with 3 and 2 kinks" in said
    assert "Gauss-Legendre, exact" in said


def marked(answer, value, evidence):
    """Return the answer with all bounds of a value and evidence."""
    experiments = []
    for e in answer.experiments:
        bounds = [
            b.model_copy(update={"value": value, "evidence": evidence})
            for b in e.exceedance.lower_bounds
        ]
        exceedance = e.exceedance.model_copy(update={"lower_bounds": bounds})
        experiments.append(e.model_copy(update={"exceedance": exceedance}))
    return answer.model_copy(update={"experiments": experiments})


def shown_table(answer):
    stream = io.StringIO()
    Console(file=stream, width=120).print(table(answer))
    return stream.getvalue()


def test_numbers_that_matter_to_nobody_take_no_column_and_no_sentence(answer):
    proved = answer.experiments[0].exceedance.lower_bounds[0].evidence
    for tiny in (8.63e-78, 3e-21, NOTEWORTHY / 2):
        small = marked(answer, tiny, proved)
        assert "every n" not in shown_table(small)
        assert not any("without any run" in s for s in sentences(small))
    assert bound_text(3e-21, proved) == "> 0"
    assert "every n" in shown_table(marked(answer, 1e-6, proved))


def test_marks_stand_beside_every_number_that_is_no_proof_and_are_explained(answer):
    sampled = EvidenceAnswer(
        kind="confidence", mark="*", adverb="Not proved (x)", clause="confidence 1 - 1e-06: x",
        delta=1e-6,
    )  # fmt: skip
    given = EvidenceAnswer(
        kind="stated", mark="†", adverb="Given that y", clause="given that y", delta=0.0
    )
    for evidence in (sampled, given):
        one = marked(answer, 0.25, evidence)
        assert f"0.25{evidence.mark}" in shown_table(one)
        assert any(evidence.clause in note for note in notes(one))
        assert any(s.startswith(evidence.adverb) for s in sentences(one))
    e = answer.experiments[0]
    permanent = e.permanent.model_copy(update={"count": [7, 7], "evidence": [given, given]})
    certified = answer.model_copy(
        update={"experiments": [e.model_copy(update={"permanent": permanent})]}
    )
    assert "7†" in shown_table(certified)
    assert any("certified (given that y)" in s for s in sentences(certified))


def test_constant_networks_are_counted_in_sight(answer):
    first, second = answer.experiments

    def with_counts(*counts):
        many = [
            e.model_copy(
                update={"runs": 20_000, "permanent": e.permanent.model_copy(update={"constant": c})}
            )
            for e, c in zip((first, second), counts, strict=False)
        ]
        one = answer.model_copy(update={"experiments": many})
        found = [n for n in notes(one) if n.startswith("constant: ")]
        return found, [s for s in sentences(one) if s.startswith("Constant networks: ")]

    none = [0] * len(first.checkpoints)
    some = [*none[1:], 3_259]
    assert with_counts(none, none) == ([], [])
    assert with_counts(some) == (
        ["constant: 3,259 of 20,000 runs"],
        [
            "Constant networks: 3,259 of 20,000 runs (0 at the start) end with a network that is "
            "constant for all inputs."
        ],
    )
    assert with_counts(some, some)[0] == ["constant: 3,259 of 20,000 runs of each experiment"]
    linear = [
        e.model_copy(
            update={
                "permanent": e.permanent.model_copy(update={"dead_neurons": [64], "constant": some})
            }
        )
        for e in (first, second)
    ]
    for experiments in (linear, [linear[0], second]):
        one = answer.model_copy(update={"experiments": experiments})
        assert not any(
            "onstant" in text and "3,259" in text for text in sentences(one) + notes(one)
        )
    found, (said,) = with_counts(none, some)
    assert found == [
        f"constant: 0 of 20,000 runs of {first.label}",
        f"constant: 3,259 of 20,000 runs of {second.label}",
    ]
    assert f"of {first.label} to 3,259 of 20,000 runs (0 at the start) of {second.label}" in said


def test_rows_are_named_where_they_differ(answer, tmp_path):
    first, second = answer.experiments
    words = {"first": "the 18 held-out rows", "second": "all 90 rows, 18 of them held out"}
    many = [
        e.model_copy(update={"label": name, "risk": e.risk.model_copy(update={"over": over})})
        for e, (name, over) in zip((first, second), words.items(), strict=True)
    ]
    one = answer.model_copy(update={"experiments": many})
    assert "risk over the 18 held-out rows or all 90 rows" in shown_table(one)
    page = write_page(one, tmp_path, sentences(one), notes(one)).read_text()
    assert "risk over the 18 held-out rows or all 90 rows, jaxsim" in page
    assert any("first: inf L over the 18 held-out rows" in n for n in notes(one))
    none = [e.model_copy(update={"label": name}) for e, name in zip(many, words, strict=True)]
    mixed = answer.model_copy(update={"experiments": [none[0], second]})
    assert "risk over the 18 held-out rows or the law of X" in shown_table(mixed)
    assert "risk over" not in shown_table(answer)
