"""The fastest form of a native program is found where it is worth it, and never changes a bit."""

import numpy as np
import pytest

from jaxsim.engines import block
from jaxsim.engines.native import forms as native_forms
from jaxsim.engines.native import library
from jaxsim.engines.native.program import Target
from jaxsim.engines.registry import ExecutionConfig, make_engine
from jaxsim.errors import InputError
from jaxsim.launch import forms
from tests.studies import study

NATIVE = ExecutionConfig("native", 16, 16)
HERE = Target(64, 32)
LONG = 1e4


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSIM_CACHE_DIR", str(tmp_path))


def experiment(**changes):
    (only,) = study(**{"network__hidden": [4], "training__batch_size": 16, **changes}).experiments
    return only


@pytest.fixture
def machine(monkeypatch):
    """A processor on which every form takes the seconds that are said, and what was compiled."""
    monkeypatch.setattr(library, "target", lambda: HERE)
    monkeypatch.setattr(library, "has_tunings", lambda: True)
    seconds, ends, compiled = {}, {}, []

    class Clock:
        def __init__(self, experiment, config, form):
            self.form = form

        def read(self, reading, now):
            listed = seconds.get(self.form, 1.0)
            if not isinstance(listed, list):
                return listed
            return listed.pop(0) if len(listed) > 1 else listed[0]

    def trained(experiment, config, form):
        compiled.append(form)
        if ends.get(form) == "fails":
            raise InputError("the C compiler fails")
        return np.float32(ends.get(form, 0))

    monkeypatch.setattr(forms, "TrainingClock", Clock)
    monkeypatch.setattr(forms, "trained", trained)
    monkeypatch.setattr(forms, "native_engine", lambda experiment, lanes, form: form)
    return seconds, ends, compiled


def test_forms_are_vectors_rows_and_tunings_each_once(machine):
    found = native_forms.forms(experiment())
    wanted = [Target(64, 32, 16), Target(64, 32, 8), Target(64, 32, 4)]
    wanted += [Target(64, 32, 16, "processor")]
    wanted += [Target(32, 32, 16), Target(32, 32, 8), Target(32, 32, 4)]
    assert found == wanted
    odd = native_forms.forms(experiment(training__batch_size=6))
    assert {form.rows for form in odd} == {6}
    whole = native_forms.forms(experiment(network__parametrization="ntk"))
    assert {form.rows for form in whole} == {0}


def test_the_fastest_form_is_taken_and_remembered(machine):
    seconds, _, compiled = machine
    best = Target(32, 32, 8)
    seconds |= {best: 0.7, Target(64, 32, 8): 0.8}
    assert native_forms.form_of(experiment()) == HERE
    assert forms.find_form(experiment(), NATIVE, LONG)
    assert native_forms.form_of(experiment()) == best
    # All optimizers share it, other batches do not; and it is measured once.
    assert native_forms.form_of(experiment(optimizer__name="adamax")) == best
    assert native_forms.form_of(experiment(training__batch_size=8)) == HERE
    before = len(compiled)
    assert not forms.find_form(experiment(), NATIVE, LONG)
    assert len(compiled) == before


@pytest.mark.parametrize(
    ("seconds", "ends"),
    [
        ({Target(32, 32, 8): 0.97}, {}),  # within what readings differ by
        ({Target(32, 32, 8): [0.5] * forms.ROUNDS + [1.0]}, {}),  # fast by accident
        ({Target(32, 32, 8): 0.5}, {Target(32, 32, 8): 1e-7}),  # other bits
        ({Target(32, 32, 8): 0.5}, {Target(32, 32, 8): "fails"}),
    ],
    ids=["no faster", "not again", "other bits", "no compilation"],
)
def test_the_estimate_stays_unless_another_form_is_surely_better(machine, seconds, ends):
    machine[0].update(seconds)
    machine[1].update(ends)
    assert not forms.find_form(experiment(), NATIVE, LONG)
    assert native_forms.form_of(experiment()).vector_bytes == 64


def test_what_is_short_or_not_native_is_not_measured(machine):
    assert not forms.find_form(experiment(), NATIVE, forms.WORTH_SECONDS / 2)
    assert not forms.find_form(experiment(), ExecutionConfig("vmap", 16), LONG)
    assert not machine[2]


@pytest.mark.parametrize("text", ["{", "[]", '{"vector_bytes": 64}', '{"other": 1}'])
def test_a_damaged_memory_is_no_memory(machine, text):
    native_forms.remember(experiment(), Target(32, 32, 8))
    assert native_forms.is_found(experiment())
    native_forms._path(experiment()).write_text(text)
    assert native_forms.form_of(experiment()) == HERE


def test_a_form_of_another_processor_or_batch_is_not_used(machine, monkeypatch):
    native_forms.remember(experiment(), Target(64, 32, 5))
    assert native_forms.form_of(experiment()) == HERE
    native_forms.remember(experiment(), Target(64, 32, 8, "gone"))
    assert native_forms.form_of(experiment()) == HERE
    native_forms.remember(experiment(), Target(64, 32, 8))
    assert native_forms.form_of(experiment()) == Target(64, 32, 8)
    monkeypatch.setattr(native_forms, "processor", lambda: "another")
    assert native_forms.form_of(experiment()) == HERE


@pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")
def test_a_remembered_form_is_compiled_and_trains_to_the_same_bits(monkeypatch):
    trains = experiment(steps=30)
    compiled, load = [], library.load
    monkeypatch.setattr(library, "load", lambda source: compiled.append(source) or load(source))

    def end():
        engine = make_engine(trains, NATIVE)
        return np.asarray(engine.theta(block.advance_to_end(engine, trains, 0, 16)))

    estimate = end()
    form = Target(16, library.target().registers, 4)
    native_forms.remember(trains, form)
    np.testing.assert_array_equal(end(), estimate)
    assert any("#define VECTOR_BYTES 16" in source.text for source in compiled)
