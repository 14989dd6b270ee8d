"""Training alone, on one core: what a build of the package makes of some shapes.

Run as a script with a build's tree on the path: `python steps_alone.py SECONDS < SHAPES`. Shapes
come as JSON, name -> study; the answer is JSON, name -> seconds of the processor per member-step,
the least of several readings. It knows the names that builds had since commit 9429c92.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

READINGS = 7
GROUPS = 8
LONG = 1e4
"""Seconds of training, for which the form of a program is measured."""


def clock_of(study: dict[str, Any], form: bool = True) -> Any:
    """Return a function steps -> seconds of the processor, and the width of its block.

    Args:
        study: of one experiment, as a table.
        form: whether the form of the program is measured before, where a build does that.
    """
    import jax
    import numpy as np

    from jaxsim import InputError, Study, runtime

    runtime.configure()
    try:
        from jaxsim.engines.registry import ExecutionConfig
        from jaxsim.speed.timing import started
        from jaxsim.training import keys

        engine_name = "native"
    except ImportError:
        from jaxsim.launch.measure import _start as started  # type: ignore[attr-defined,no-redef]
        from jaxsim.simulation import keys  # type: ignore[attr-defined,no-redef]
        from jaxsim.simulation.engines import (  # type: ignore[import-not-found,no-redef]
            Form as ExecutionConfig,
        )

        engine_name = "kernel"

    try:
        (experiment,) = Study.from_dict(study).experiments
    except InputError:  # builds that did not search for optima have no such key
        del study["optimum"]
        (experiment,) = Study.from_dict(study).experiments
    lanes = 64 // experiment.dtype.itemsize
    config = ExecutionConfig(engine_name, GROUPS * lanes, lanes)
    try:
        from jaxsim.launch.forms import find_form
    except ImportError:
        pass
    else:
        if form:
            find_form(experiment, config, LONG)
    engine, state, rate = started(experiment, config)
    shared = engine.shared(keys.root_key(experiment.seed))

    def seconds(steps: int) -> float:
        nonlocal state
        begin = time.process_time()
        state = engine.advance(state, shared, np.int32(0), np.int32(steps), rate)
        jax.block_until_ready(state)
        return time.process_time() - begin

    return seconds, config.width


def main() -> None:
    """Answer the shapes on standard input."""
    # XLA's threads, of which workers have one each, wait busily for each other.
    os.environ["NPROC"] = "1"
    least, answers = float(sys.argv[1]), {}
    for name, study in json.load(sys.stdin).items():
        seconds, width = clock_of(study)
        steps = 2
        seconds(steps)
        while (elapsed := seconds(steps)) < least / 2:
            steps *= 2
        readings = [elapsed, *(seconds(steps) for _ in range(READINGS))]
        answers[name] = min(readings) / steps / width
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
