"""Who reads the clock of a benchmark: this process, or processes that keep to one core each.

A meter is asked one thing at a time and answers with plain data, so that several can be asked at
the same time and one that takes too long can be ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

import jax

from jaxsim import runtime
from jaxsim.engines.registry import ExecutionConfig
from jaxsim.errors import InputError, reason
from jaxsim.launch import worker_process
from jaxsim.launch.forms import find_form
from jaxsim.launch.measure import trains_alike
from jaxsim.launch.request import pack, unpack
from jaxsim.speed.machine import copy_bandwidth, matrix_products, product_sizes
from jaxsim.speed.timing import TrainingClock, observation_seconds
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment

CEILING_SECONDS = 0.3
"""About how long a ceiling is read, each of its sizes."""
MEGABYTES = 256
"""Of the array that is copied by all devices of a CPU together: more than its caches hold."""


class NotMeasured(Exception):
    """What was asked for could not be measured; the text says why."""


class TimedOut(NotMeasured):
    """The meter was ended: it took longer than it may."""


class Meter:
    """A meter in this process.

    Args:
        experiment: what is measured.
        device: that computes; JAX's default one if None.
    """

    def __init__(self, experiment: Experiment, device: Any = None) -> None:
        self.experiment, self.device = experiment, device
        self._clocks: dict[ExecutionConfig, TrainingClock] = {}

    def ask(self, what: str, timeout: float = float("inf"), **request: Any) -> dict[str, float]:
        """Return what is measured.

        Args:
            what: "compile", "read", "observe", "alike", "form" or "ceiling".
            timeout: seconds after which a meter in another process is ended.
            request: engine, width and lanes, or what else is to be known.

        Raises:
            NotMeasured: if it cannot be.
        """
        try:
            with jax.default_device(self.device):
                return getattr(self, f"_{what}")(**request)
        except InputError as error:
            raise NotMeasured(str(error)) from None
        except Exception as error:  # whatever a compiler may raise, or a device that is full
            full = runtime.is_out_of_memory(error)
            raise NotMeasured("out of memory" if full else reason(error)) from None

    def close(self) -> None:
        """Forget all blocks."""
        self._clocks.clear()

    def _compile(self, **config: Any) -> dict[str, float]:
        asked = ExecutionConfig(**config)
        clock = TrainingClock(self.experiment, asked)
        self._clocks[asked] = clock
        return {"seconds": clock.compile_seconds, "state_bytes": clock.state_bytes}

    def _read(self, seconds: float, **config: Any) -> dict[str, float]:
        return {"seconds_per_step": self._clocks[ExecutionConfig(**config)].read(seconds)}

    def _observe(self, **config: Any) -> dict[str, float]:
        return {"seconds": observation_seconds(self.experiment, ExecutionConfig(**config))}

    def _form(self, seconds: float, **config: Any) -> dict[str, float]:
        return {"another": find_form(self.experiment, ExecutionConfig(**config), seconds)}

    def _alike(self, engine: str) -> dict[str, float]:
        return {"alike": float(trains_alike(self.experiment, engine))}

    def _ceiling(self, devices: int = 1) -> dict[str, float]:
        on_cpu = jax.default_backend() == "cpu"
        precision = self.experiment.precision
        return {
            "gflops": matrix_products(product_sizes(), precision, 10, CEILING_SECONDS),
            "gigabytes": copy_bandwidth(
                max(MEGABYTES // devices, 32) if on_cpu else 4 * MEGABYTES, 10, CEILING_SECONDS
            ),
        }


class ProcessMeter(Meter):
    """A meter in a process of its own that keeps to one core, as workers on a CPU do.

    Args:
        study: of the experiment.
        number: of the experiment in the study, from 0.
        index: of the core.
    """

    def __init__(self, study: Study, number: int, index: int = 0) -> None:
        code = ["--allow-code"] if study.allow_code else []
        command = worker_process.command("--meter", "--pin", "--index", str(index), *code)
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            command,
            env=worker_process.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        with contextlib.suppress(NotMeasured):  # whoever asks hears of it
            self._send({"study": pack(study), "number": number})

    def ask(self, what: str, timeout: float = float("inf"), **request: Any) -> dict[str, float]:
        """As `Meter.ask`; a meter that takes longer than `timeout` seconds is ended."""
        self._send({"what": what, **request})
        try:
            line = self._answers.get(timeout=None if timeout == float("inf") else max(timeout, 0))
        except queue.Empty:
            self.close()
            raise TimedOut("it took longer than the budget") from None
        if line is None:
            raise NotMeasured(self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise NotMeasured(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        if self._errors.closed:
            return
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._words = self._last_words()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):  # what was not yet sent
                assert stream is not None
                stream.close()

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # ended, or closed
            raise NotMeasured(self._last_words()) from None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def _last_words(self) -> str:
        if self._errors.closed:
            return self._words
        self._answers.put(None)  # whoever asks again hears the same
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        last = lines[-1].removeprefix("error: ") if lines else ""
        return last or f"its process ended with code {code}"


def ask_all(
    meters: Sequence[Meter], what: str, timeout: float = float("inf"), **request: Any
) -> list[dict[str, float]]:
    """Return the answers of several meters, asked at the same time.

    Raises:
        NotMeasured: if one has none.
    """
    if len(meters) == 1:
        return [meters[0].ask(what, timeout, **request)]
    with ThreadPoolExecutor(len(meters)) as pool:
        return list(pool.map(lambda meter: meter.ask(what, timeout, **request), meters))


def serve_meter(requests: TextIO, answers: TextIO, allow_code: bool) -> int:
    """Answer the requests of a `ProcessMeter`, a line each, until there are no more."""
    first = json.loads(requests.readline())
    study = unpack(first["study"], allow_code)
    runtime.configure(None, study.spec.execution.matmul_precision)
    meter = Meter(study.experiments[first["number"]])
    for line in requests:
        try:
            answer: dict[str, Any] = meter.ask(**json.loads(line))
        except NotMeasured as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), file=answers, flush=True)
    return 0


def private_output() -> TextIO:
    """Return standard output, to which nothing else that runs in this process writes any more."""
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel
