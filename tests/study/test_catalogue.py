"""The catalogue: folders per source, smaller settings, and published numbers as data."""

import re

import pytest

from jaxsim.errors import InputError
from jaxsim.study.catalogue import NAMES, REPRODUCTIONS, Summary, ready_table, sources, summary
from jaxsim.study.expand import variations
from jaxsim.study.read import quick_table, study_spec
from jaxsim.study.study import Study
from jaxsim.theory.born_dead import born_dead_lower, born_dead_upper
from tests.studies import table, toml

WITHOUT_NUMBERS = {"2212.13111", "2503.01660", "2511.06675"}


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_a_reproduction_says_what_it_is_of_and_has_numbers_of_its_own_experiments(name):
    spec = study_spec(ready_table(name))
    assert spec.name == name.replace("/", "-")
    assert spec.title
    # Of some sources only statements are reproduced, or figures.
    assert spec.published or name.partition("/")[0] in WITHOUT_NUMBERS
    labels = {v.label for v in variations(spec)}
    assert all(p.source and p.quantity for p in spec.published)
    named = {p.experiment for p in spec.published if p.experiment is not None}
    assert named <= labels
    if spec.quick:
        small = study_spec(quick_table(ready_table(name), name))
        assert small.name == f"{spec.name}-quick"
        assert small.replicates <= spec.replicates
        assert small.published == spec.published


def test_a_study_that_was_ready_before_keeps_its_name_and_its_runs():
    former, now = Study.load("symmetry"), Study.load("2511.06675")
    assert former.spec.name == "symmetry"
    assert [e.id for e in former.experiments] == [e.id for e in now.experiments]


def test_the_bounds_of_born_dead_networks_are_those_of_their_formulas():
    entries = [e for e in ready_table("1903.06733/born-dead")["published"] if "theorem" in str(e)]
    assert len(entries) == 40
    for entry in entries:
        width, layers = (int(number) for number in re.findall(r"\d+", entry["experiment"]))
        bound = {
            "at least": born_dead_lower(width, layers),
            "at most": born_dead_upper([width] * (layers - 1)),
        }[entry["relation"]]
        assert entry["value"] == pytest.approx(bound, rel=1e-5)


def test_sources_name_their_studies():
    assert {name for source in sources() for name in source.studies} == set(REPRODUCTIONS)
    for source in sources():
        assert source.title in source.citation
        assert source.about


def test_a_study_without_smaller_settings_has_none():
    with pytest.raises(InputError, match=r"'depth' has no table \[quick\].*replicates=100"):
        Study.load("depth", quick=True)


def test_settings_come_after_the_smaller_ones(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(toml(table(quick={"replicates": 16, "network.hidden": [2]}, title="Mine")))
    whole, small = Study.load(path), Study.load(path, ["steps=50"], quick=True)
    assert (whole.spec.name, small.spec.name) == ("small", "small-quick")
    assert (small.spec.replicates, small.spec.steps) == (16, 50)
    assert small.spec.network.hidden == [2]
    assert "Mine (quick)" in small.spec.title or "small-quick" in small.spec.title
    # [quick] has no part in what a study is.
    assert [e.id for e in whole.experiments] == [
        e.id for e in Study.from_dict(table(title="Mine")).experiments
    ]


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(InputError, match=r"neither a file nor a ready study.*quickstart"):
        Study.load("1712.0896")


def test_a_list_says_what_the_checked_study_has():
    for name in NAMES:
        spec = study_spec(ready_table(name))
        assert summary(name) == Summary(
            spec.title, len(variations(spec)), len(spec.published), bool(spec.quick)
        )
