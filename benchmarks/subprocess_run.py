"""What a process of its own measures: a part of a benchmark that wants a fresh one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def run_in_subprocess(*arguments: str, **environment: str) -> Any:
    """Return what `python -m benchmarks ARGUMENTS` says in its last line, which is JSON.

    Raises:
        SystemExit: with its words, if it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])
