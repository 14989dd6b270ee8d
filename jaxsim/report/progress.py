"""Progress of a run on the terminal: rate, time left, running estimates, on the host only."""

from __future__ import annotations

import itertools
import time

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from jaxsim.digits import probability
from jaxsim.estimation import RiskHistogram, clopper_pearson
from jaxsim.launch.directory import Directory
from jaxsim.launch.simulate import Progress as Observer
from jaxsim.launch.throughput import Throughput, work_of
from jaxsim.questions.events import ABOVE_OPTIMUM
from jaxsim.questions.quantities import values_of_event
from jaxsim.report.text import duration, number
from jaxsim.results.store import Shard
from jaxsim.study.spec import StudySpec
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records

PLAIN_SECONDS = 10.0
SHOWN = 14


class ConsoleProgress(Observer):
    """A live display on a terminal, a plain line every ten seconds elsewhere.

    The running estimates count risks above the best risk seen so far plus the middle eps of the
    study, or its first event of another kind, with pointwise Clopper-Pearson intervals: a preview,
    labelled so.
    """

    def __init__(self, console: Console, spec: StudySpec) -> None:
        self.console = console
        self.spec = spec
        alike = [event for event in spec.asked if event.kind == spec.asked[0].kind]
        self.event = alike[len(alike) // 2]
        self.above_best = self.event.kind == ABOVE_OPTIMUM
        excess = f"risk > best + {number(self.event.threshold)}"
        self.preview = f"preview of P({excess if self.above_best else self.event.short})"
        self.live: Live | None = None
        self.last = 0.0

    def say(self, text: str) -> None:
        """Print what is being done."""
        self.console.print(text, style="dim", highlight=False, soft_wrap=True, markup=False)

    def start(self, directory: Directory, missing: int, total: int, parallel: int = 1) -> None:
        """Begin; results already there are not counted into the rate."""
        self.missing, self.total, self.done = missing, total, 0
        self.begin = time.monotonic()
        self.throughput, self.runs = Throughput(parallel), Throughput(parallel)
        self.directory, self.weighted = directory, directory.study.spec.design.name != "plain"
        self.work_left = sum((s.stop - s.first) * work_of(e) for e, s in directory.missing())
        self.risks: dict[str, RiskHistogram] = {}
        self.labels = {e.id: e.label for e in directory.study.experiments}
        self.classes = {e.id: e.hypothesis_class for e in directory.study.experiments}
        self.known = {
            e.hypothesis_class: e.optimum.upper.value for e in directory.study.experiments
        }
        if missing < total:
            self.say(f"resuming: {total - missing:,} of {total:,} runs are there")
        if missing and self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"), console=self.console,
            )  # fmt: skip
            self.task = self.bar.add_task("runs", total=total, completed=total - missing, note="")
            self.live = Live(self._view(), console=self.console, refresh_per_second=4)
            self.live.start()

    def shard(self, experiment: Experiment, shard: Shard, records: Records) -> None:
        """Take a finished shard into the running estimates."""
        runs, elapsed = shard.stop - shard.first, time.monotonic() - self.begin
        self.done += runs
        self.work_left -= runs * work_of(experiment)
        self.throughput.add(runs * work_of(experiment), elapsed)
        self.runs.add(runs, elapsed)
        experiment = self.directory.experiment_of(experiment)
        last = values_of_event(self.event, records)[0][:, -1]
        self.risks.setdefault(experiment.id, RiskHistogram()).add(last)
        best = np.nanmin(records.risk) if np.isfinite(records.risk).any() else np.inf
        self.known[experiment.hypothesis_class] = min(
            self.known[experiment.hypothesis_class], float(best)
        )
        if self.live is not None:
            self.bar.update(self.task, advance=runs, note=self._note())
            self.live.update(self._view())
        elif time.monotonic() - self.last > PLAIN_SECONDS:
            self.last = time.monotonic()
            shown = "; ".join(f"{label} {text}" for label, text in self._estimates())
            preview = f"; {self.preview}: {shown}" if shown else ""
            self.say(
                f"{self.total - self.missing + self.done:,} of {self.total:,} runs, "
                f"{self._note()}{preview}"
            )

    def stop(self) -> None:
        """End the live display."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _note(self) -> str:
        rate, runs = self.throughput.rate(), self.runs.rate()
        if not rate or not runs:
            return "estimating the time left"
        return f"{runs:,.0f} runs/s, {duration(max(self.work_left, 0.0) / rate)} left"

    def _estimates(self) -> list[tuple[str, str]]:
        rows: list[tuple[str, str]] = []
        if self.weighted:
            return rows  # runs of strata, which count by their weights
        for name, risks in itertools.islice(self.risks.items(), SHOWN):
            best = self.known[self.classes[name]] if self.above_best else 0.0
            failures, _ = risks.count_above(best + self.event.threshold)
            low, high = clopper_pearson(failures, risks.total, self.spec.confidence)
            text = probability(failures / risks.total, float(low), float(high))
            rows.append((self.labels[name], text))
        return rows

    def _view(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(self.bar)
        if self.risks and not self.weighted:
            inner = Table(
                "experiment",
                self.preview,
                box=None,
                pad_edge=False,
            )
            for label, text in self._estimates():
                inner.add_row(Text(label), text)
            table.add_row(inner)
        return table
