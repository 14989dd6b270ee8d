"""A study as TOML text means the same study."""

import math
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsim import Study
from jaxsim.study.catalogue import READY
from jaxsim.study.toml_text import toml_text

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
@settings(max_examples=50, deadline=None)
def test_any_table_is_read_back(table):
    assert tomllib.loads(toml_text(table)) == table


def test_what_toml_cannot_say_is_left_out_or_refused():
    assert tomllib.loads(toml_text({"a": None, "b": {"c": None}, "d": {"e": {"f": None}}})) == {
        "b": {},
        "d": {"e": {}},
    }
    assert math.isnan(tomllib.loads(toml_text({"a": math.nan}))["a"])
    with pytest.raises(ValueError, match="cannot be said in TOML"):
        toml_text({"a": [None]})


@pytest.mark.parametrize("name", READY)
def test_ready_studies_are_the_same_studies_as_text(name):
    spec = Study.load(name, ["replicates=3"]).spec
    again = tomllib.loads(toml_text(spec.model_dump(mode="json", exclude_unset=True)))
    assert type(spec).model_validate(again) == spec
