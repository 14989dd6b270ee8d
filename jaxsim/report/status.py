"""Where a study stands, on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxsim.errors import shown
from jaxsim.launch.status import Status
from jaxsim.report.text import duration

SHOWN = 3


def print_status(found: Status, console: Console) -> None:
    """Print a table of the experiments, then sentences on workers, time and jobs."""
    table = Table("experiment", "runs", "done", "missing", "diverged", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for e in found.experiments:
        diverged = "unknown" if e.diverged is None else f"{e.diverged:,}"
        table.add_row(
            Text(shown(e.experiment.label)),
            f"{e.planned:,}",
            f"{e.done:,}",
            f"{e.planned - e.done:,}",
            diverged,
        )
    if found.experiments:
        console.print(table)
    for line in sentences(found):
        console.print(shown(line), highlight=False, markup=False, soft_wrap=True)


def sentences(found: Status) -> list[str]:
    """Return what is to be said of a study besides the table."""
    lines = ["Engines and widths are not settled yet: that is the first job's work."]
    if found.experiments:
        share = found.done / found.planned
        lines = [f"{found.done:,} of {found.planned:,} runs are there ({share:.1%})."]
    still_open = sum(e.open for e in found.experiments)
    if still_open:
        lines.append(
            f"Of {still_open:,} experiment{'s' if still_open > 1 else ''} more runs may follow: "
            "how many depends on what these show."
        )
    if found.searched:
        lines.append(
            f"{found.searched:,} of {found.searches:,} problems with their networks have "
            "certificates of inf L."
        )
    damaged = sum(e.damaged for e in found.experiments)
    if damaged:
        lines.append(
            f"{damaged} shards are damaged: `jaxsim run` or `launch` with --repair makes them anew."
        )
    elif found.done and found.verified:
        lines.append("All shards that are there were read and are whole.")
    elif found.done:
        lines.append("Of the shards only the ends were read; --verify reads all of them.")
    if found.running:
        lines.append(_at_work(found))
    if found.ended:
        ended = ", ".join(f"{count} {reason}" for reason, count in sorted(found.ended.items()))
        lines.append(f"Workers that ended: {ended}.")
    lines += [f"A worker failed on {failure}" for failure in found.failures[-SHOWN:]]
    if len(found.devices) > 1:
        kinds = ", ".join(f"{n:,} on {kind}" for kind, n in sorted(found.devices.items()))
        lines.append(
            f"Several kinds of device: {kinds}; the bits would differ if they changed places."
        )
    if found.jobs:
        lines.append(_queue(found))
    return lines


def _at_work(found: Status) -> str:
    count = len(found.running)
    text = f"{count} worker{'s are' if count > 1 else ' is'} at work"
    if found.rate > 0:
        text += f" at {found.rate:,.1f} runs/s"
    if found.seconds_left:
        text += f", {duration(found.seconds_left)} left"
    return f"{text}."


def _queue(found: Status) -> str:
    ids = ", ".join(f"{job.job} ({job.kind})" for job in found.jobs)
    if found.queue is None:
        return f"Jobs {ids}; no Slurm here tells their states."
    if not found.queue:
        return f"Jobs {ids}: none is in Slurm's queue any more."
    counts: dict[str, int] = {}
    for name, state in found.queue.items():
        counts[state.lower()] = counts.get(state.lower(), 0) + _size(name)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return f"Jobs {ids}: {states}."


def _size(name: str) -> int:
    """Return how many tasks an entry of the queue stands for, as 17_[3-9,12%4]."""
    inside = name.partition("[")[2].partition("]")[0].partition("%")[0]
    if not inside:
        return 1
    ends = [part.partition("-")[::2] for part in inside.split(",")]
    try:
        return sum(int(last or first) - int(first) + 1 for first, last in ends)
    except ValueError:
        return 1
