"""A meter whose machine is made up: a clock that passes as it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jaxsim.launch.meters import Meter, NotMeasured, TimedOut


class Clock:
    """A clock that only measurements move."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class MadeUp(Meter):
    """A meter of a made-up machine.

    Args:
        clock: that its measurements move.
        rates: engine -> width -> member-steps per second; None: out of memory.
        compiling: seconds.
        factors: by which its readings are multiplied, one after the other.
        ceiling: seconds that reading one takes.
    """

    def __init__(
        self,
        clock: Clock,
        rates: Mapping[str, Callable[[int], float | None]],
        compiling: float = 1.0,
        factors: tuple[float, ...] = (1.0,),
        ceiling: float = 1.0,
    ) -> None:
        self.ceiling_seconds = ceiling
        self.clock, self.rates, self.compiling, self.factors = clock, rates, compiling, factors
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.closed, self._readings = False, 0

    def ask(self, what: str, timeout: float = float("inf"), **request: Any) -> dict[str, float]:
        if self.closed:
            raise NotMeasured("it was ended")
        self.asked.append((what, request))
        begin = self.clock.seconds
        found = getattr(self, f"_{what}")(**request)
        if self.clock.seconds - begin > timeout:
            self.clock.seconds = begin + timeout
            self.close()
            raise TimedOut("it took longer than the budget")
        return found

    def close(self) -> None:
        self.closed = True

    def _compile(self, engine, width, lanes):
        self.clock.seconds += self.compiling
        if self.rates[engine](width) is None:
            raise NotMeasured("out of memory")
        return {"seconds": self.compiling, "state_bytes": 1000 * width}

    def _read(self, seconds, engine, width, lanes):
        self.clock.seconds += seconds
        self._readings += 1
        rate = self.rates[engine](width)
        assert rate is not None
        return {"seconds_per_step": width / rate * self.factors[self._readings % len(self.factors)]}

    def _observe(self, engine, width, lanes):
        self.clock.seconds += 0.5
        return {"seconds": 1e-5 * width}

    def _ceiling(self, devices):
        self.clock.seconds += self.ceiling_seconds
        return {"gflops": 100.0, "gigabytes": 10.0}

    def _form(self, seconds: float, **config: Any) -> dict[str, float]:
        self.clock.seconds += 0.01 * seconds
        return {"another": False}

    def _alike(self, engine):
        return {"alike": 1.0}
