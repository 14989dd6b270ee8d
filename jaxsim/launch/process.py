"""A worker process: `python -m jaxsim.launch.process DIR --index I --of N`.

Takes its own part of what is missing first, then helps the others from the far end. With `--pin` it
keeps to one core. With `--measure` it measures the study on its standard input instead.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from jaxsim import runtime
from jaxsim.errors import InputError
from jaxsim.launch.directory import reopen
from jaxsim.launch.layout import choose_layouts
from jaxsim.launch.worker import Task, work
from jaxsim.study.study import Study


def share(tasks: list[Task], index: int, of: int) -> list[Task]:
    """Return the tasks in the order in which worker `index` of `of` should try them."""
    begin, end = (len(tasks) * i // of for i in (index, index + 1))
    others = tasks[:begin] + tasks[end:]
    return tasks[begin:end] + others[::-1]


def measure_study() -> int:
    """Measure the forms of the study on standard input into the cache."""
    request = json.load(sys.stdin)
    base, allow_code = request["base"], request["allow_code"]
    study = Study.from_dict(request["study"], allow_code=allow_code, base=base)
    runtime.configure(None, study.spec.execution.matmul_precision)
    choose_layouts(study)
    return 0


def main() -> int:
    """Run the worker; exit code 0 when nothing of the plan is missing, 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--pin", action="store_true")
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--allow-code", action="store_true")
    options = parser.parse_args()
    if options.pin or options.measure:
        runtime.pin(options.index)
    if options.measure:
        return measure_study()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        directory = reopen(options.directory, allow_code=options.allow_code)
        runtime.configure(None, directory.study.spec.execution.matmul_precision)
        tasks = share(directory.missing(), options.index, options.of)
        work(directory, tasks, runtime.choose_devices(options.devices), stop=stop)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
