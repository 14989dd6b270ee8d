"""The clock of training, with an engine that takes exactly so long."""

from types import SimpleNamespace

import numpy as np
import pytest

from jaxsim.engines.registry import ExecutionConfig
from jaxsim.speed import machine, timing
from tests.studies import study


@pytest.fixture
def clock(monkeypatch):
    """Time passes while an engine compiles (3 s) and steps (.001 s, and .002 s in every call)."""
    now = SimpleNamespace(seconds=0.0, calls=[], disturbed=0.0)

    def advance(state, shared, first, stop, rate):
        now.seconds += 0.002 + 0.001 * (stop - first) + now.disturbed * (len(now.calls) % 2)
        now.calls.append(int(stop - first))
        return state

    def started(experiment, config, engine=None):
        now.seconds += 3.0
        engine = SimpleNamespace(shared=lambda key: None, advance=advance)
        return engine, np.zeros((config.width, 5), np.float32), 0.0

    monkeypatch.setattr(timing, "started", started)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now.seconds)
    return now


def timed():
    (experiment,) = study().experiments
    return timing.TrainingClock(experiment, ExecutionConfig("vmap", 8))


def test_compilation_is_apart_from_steps(clock):
    found = timed()
    assert found.compile_seconds == pytest.approx(3.003)
    assert found.state_bytes == 8 * 5 * 4
    assert clock.calls == [1]


def test_a_reading_is_as_long_as_asked_and_says_what_a_step_takes(clock):
    found = timed()
    begin = clock.seconds
    step = found.read(1.0)
    assert 0.25 <= clock.calls[-1] * 0.001 <= 4.0
    assert step == pytest.approx(0.001 + 0.002 / clock.calls[-1])
    calls = len(clock.calls)
    assert found.read(1.0) == pytest.approx(0.001, rel=0.02)
    assert len(clock.calls) == calls + 1  # the length is known by now
    assert clock.seconds - begin < 10


def test_a_slow_step_is_read_once(clock, monkeypatch):
    found = timed()
    clock.disturbed = 100.0
    clock.calls.append(0)
    assert found.read(0.1) > 1
    assert found.read(0.1) < 200


def test_the_best_of_several_readings_is_the_undisturbed_one(clock):
    found = timed()
    clock.disturbed = 0.5
    assert found.best() == pytest.approx(0.001, rel=0.2)


def test_the_rate_of_products_is_that_of_the_best_size(monkeypatch):
    seconds = iter([1e-3, 2e-3, 1.0])
    monkeypatch.setattr(machine, "_least", lambda run, repetitions, limit: next(seconds))
    found = machine.matrix_products((100, 200, 300))
    assert found == pytest.approx(max(2 * 100**3 / 1e-3, 2 * 200**3 / 2e-3, 2 * 300**3) / 1e9)


def test_a_copy_counts_what_is_read_and_written(monkeypatch):
    monkeypatch.setattr(machine, "_least", lambda run, repetitions, limit: 0.5)
    assert machine.copy_bandwidth(1) == pytest.approx(2 * 2**20 / 0.5 / 1e9)
    assert machine.processor()
