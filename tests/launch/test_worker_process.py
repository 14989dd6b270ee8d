"""Which GPUs the worker processes of one machine get."""

import os
import signal
import subprocess
from dataclasses import dataclass

import jax
import numpy as np
import pytest

from jaxsim import InputError
from jaxsim.launch import worker_process
from jaxsim.launch.directory import bind
from jaxsim.launch.simulate import Progress, _processes, simulate
from tests.studies import study


@dataclass(frozen=True)
class Fake:
    local_hardware_id: int
    platform: str = "gpu"
    device_kind: str = "Fake GPU"


def numbers(there, workers, each):
    found = worker_process.shares([Fake(10 + k) for k in range(there)], workers, each)
    return [[d.local_hardware_id - 10 for d in part] for part in found]


@pytest.mark.parametrize(
    ("there", "workers", "each", "parts"),
    [
        (4, 4, None, [[0], [1], [2], [3]]),
        (4, 2, None, [[0, 1], [2, 3]]),
        (5, 2, None, [[0, 1], [2, 3, 4]]),
        (8, 3, None, [[0, 1], [2, 3, 4], [5, 6, 7]]),
        (1, 3, None, [[0], [0], [0]]),
        (2, 5, None, [[0], [1], [0], [1], [0]]),
        (4, 2, 1, [[0], [1]]),
        (4, 3, 2, [[0, 1], [2, 3], [0, 1]]),
        (4, 1, 4, [[0, 1, 2, 3]]),
    ],
)
def test_workers_share_the_gpus_of_a_machine(there, workers, each, parts):
    assert numbers(there, workers, each) == parts


@pytest.mark.parametrize("each", [0, 5])
def test_more_gpus_than_there_are_is_said(each):
    with pytest.raises(InputError, match=rf"devices = {each} is not available; accepted: 1 to 4"):
        numbers(4, 2, each)


def test_a_worker_sees_its_gpus_by_the_numbers_the_driver_gives_them():
    seen = worker_process.seeing([Fake(2), Fake(5)])
    assert seen == {"JAX_CUDA_VISIBLE_DEVICES": "2,5", "JAX_ROCM_VISIBLE_DEVICES": "2,5"}


def test_workers_compute_on_the_kind_of_device_that_was_planned_for(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")  # said in Python that it is to be the CPU
    assert worker_process.environment()["JAX_PLATFORMS"] == "cpu"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert worker_process.environment()["JAX_PLATFORMS"] == "cuda"


def test_the_gpus_are_handed_to_the_workers(tmp_path, monkeypatch):
    begun = []

    class Ended:
        returncode = 0

        def __init__(self, command, env, **options):
            begun.append((command, env))

        def poll(self):
            return 0

        def terminate(self):
            pass

        wait = terminate

    directory = bind(study(), tmp_path / "out")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [Fake(k) for k in range(4)])
    monkeypatch.setattr(subprocess, "Popen", Ended)
    _processes(directory, 2, None, Progress())
    assert [env["JAX_CUDA_VISIBLE_DEVICES"] for _, env in begun] == ["0,1", "2,3"]
    for number, (command, _) in enumerate(begun):
        options = " ".join(command)
        assert f"--platform gpu --all-devices --index {number} --of 2" in options
        assert "--pin" not in command


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_tells_its_workers(tmp_path, monkeypatch, number):
    told = []

    class Working:
        returncode = None

        def __init__(self, command, **options):
            pass

        def poll(self):
            if not told:
                os.kill(os.getpid(), number)

        def terminate(self):
            told.append("end")
            os.kill(os.getpid(), number)  # a second request while workers end changes nothing

        def wait(self):
            told.append("waited for")

    directory = bind(study(), tmp_path / "out")
    monkeypatch.setattr(subprocess, "Popen", Working)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended:
            _processes(directory, 2, None, Progress())
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert ended.value.code == 128 + number
    assert told == ["end"] * 2 + ["waited for"] * 2


@pytest.mark.parametrize("progress", [True, "x", object(), Progress])
def test_what_does_not_take_progress_is_refused_before_anything_is_made(tmp_path, progress):
    with pytest.raises(InputError, match=r"^progress = .* is of type .*; accepted: None or an "):
        simulate(study(), tmp_path / "out", progress=progress)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [0, -1, 100_000, "10", True, 2.5, np.int64(10**6)])
def test_a_number_of_workers_that_cannot_be_is_refused_before_anything_is_made(tmp_path, workers):
    with pytest.raises(InputError, match=r"^workers = .* is not accepted; accepted: 1 to \d+, "):
        simulate(study(), tmp_path / "out", workers=workers)
    assert not (tmp_path / "out").exists()


def test_workers_that_would_find_nothing_to_do_are_not_started(tmp_path, monkeypatch):
    started = []

    class Told(Progress):
        def start(self, directory, missing, total, parallel=1):
            started.append(parallel)
            raise KeyboardInterrupt

    assert worker_process.require_workers(np.int64(16)) == 16
    with pytest.raises(KeyboardInterrupt):
        simulate(study(), tmp_path / "out", workers=16, progress=Told())
    assert started == [3]  # shards


def test_an_accelerator_of_one_process_at_a_time_is_not_shared():
    with pytest.raises(InputError, match="workers are not accepted on TPU v5e"):
        worker_process.seeing([Fake(0, "tpu", "TPU v5e")])
