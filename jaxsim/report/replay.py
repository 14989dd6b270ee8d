"""A replay on the terminal and as CSV."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from rich.console import Console

from jaxsim.launch.replay import Replay
from jaxsim.results.files import write_atomically
from jaxsim.training.records import Status


def print_replay(replay: Replay, console: Console) -> None:
    """Print the run in a few lines and write its trajectory beside the study's results."""
    records, experiment = replay.records, replay.experiment
    rates = {}
    if records.error_rate.shape[1]:
        rates["error_rate"], rates["error_rate_error"] = records.error_rate[0].T
    if records.pattern_changes.shape[1]:
        rates["pattern_changes"] = records.pattern_changes[0]
    rows = pd.DataFrame(
        {"n": replay.steps, "risk": records.risk[0], "error": records.error[0]}
        | rates
        | {
            f"inactive_{layer + 1}": records.inactive[0, :, layer]
            for layer in range(records.inactive.shape[2])
        }
        | {"constant": records.constant[0]}
    )
    text = io.StringIO()
    rows.to_csv(text, index=False)
    path = replay.directory / "replays" / f"{experiment.id}-{replay.replicate}.csv"
    write_atomically(path, text.getvalue().encode())
    status = Status(int(records.status[0]))
    console.print(
        f"{experiment.label}, replicate {replay.replicate} (seed path "
        f"{experiment.seed_path(replay.replicate)}): {status.message}",
        highlight=False,
        soft_wrap=True,
    )
    if status == Status.DIVERGED:
        console.print(f"diverged at step {int(records.diverged_step[0])}", highlight=False)
    shown = np.unique(np.linspace(0, len(rows) - 1, 9).astype(int))
    console.print(rows.iloc[shown].to_string(index=False), highlight=False)
    verdict = {
        True: "the recorded risks are the same bits",
        False: "THE RECORDED RISKS DIFFER: another device kind or version computed them",
        None: "its shard is not finished: nothing to compare with",
    }[replay.agrees]
    console.print(f"{verdict}\ntrajectory: {path}", highlight=False, soft_wrap=True)
