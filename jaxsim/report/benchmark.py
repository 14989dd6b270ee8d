"""`jaxsim.benchmark`: how fast the engines are on the devices at hand: table, data, figure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxsim import arguments, runtime
from jaxsim.errors import InputError
from jaxsim.launch.benchmark import measure_speed
from jaxsim.launch.benchmark_request import SECONDS, ask, study_of_shape
from jaxsim.notebook import html_table
from jaxsim.report.text import counted, size
from jaxsim.results.files import write_atomically
from jaxsim.speed.figures import Figures, Range
from jaxsim.study.study import Study

if TYPE_CHECKING:  # a second of imports
    from matplotlib.figure import Figure

HEADS = (
    "engine", "width", "member-steps/s", "range", "GFLOP/s", "of products", "of copies",
    "times vmap", "compile", "memory",
)  # fmt: skip


@dataclass(frozen=True)
class Benchmark:
    """What `jaxsim.benchmark` returns.

    Attributes:
        figures: all that was measured, plain data; `figures.model_dump()` is a dict.
    """

    figures: Figures

    def __repr__(self) -> str:
        """Return the fastest engine on one line."""
        best = self.figures.best()
        assert best is not None
        return (
            f"Benchmark({self.figures.study!r} on {self.figures.device_kind}: {best.engine}, width "
            f"{best.width}, {best.member_steps_per_second.median:,.0f} member-steps/s)"
        )

    def _repr_html_(self) -> str:
        """Return the table, for notebooks."""
        together = [
            f"{one.devices} at the same time: {one.engine} "
            f"{one.member_steps_per_second.median:,.0f} member-steps/s, {one.speedup:.2f} times one"
            for one in self.figures.scaling
        ]
        notes = [*together, *remarks(self.figures), *left_out(self.figures)]
        return html_table(HEADS, rows(self.figures), title(self.figures), notes=notes)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per engine and width; of a range, columns for its ends and median."""
        return pd.DataFrame([_flat(speed.model_dump()) for speed in self.figures.speeds])

    def to_json(self) -> str:
        """Return the figures as JSON."""
        return self.figures.model_dump_json(indent=2) + "\n"

    def plot(self) -> Figure:
        """Return the speed against the block width as a Matplotlib figure."""
        from jaxsim.report.plots.speed import speed_figure

        return speed_figure(self.figures)

    def write(self, directory: str | Path) -> list[Path]:
        """Write benchmark.json, benchmark.csv and the figure into a directory; return the files.

        Raises:
            InputError: if it cannot be written.
        """
        from jaxsim.report.plots.style import save

        folder = arguments.path("output", directory)
        data, table = folder / "benchmark.json", folder / "benchmark.csv"
        write_atomically(data, self.to_json().encode())
        write_atomically(table, self.to_frame().to_csv(index=False).encode())
        return [data, table, *save(self.plot(), folder / "benchmark")]


def benchmark(
    study: Study | str | Path | Mapping[str, Any] | None = None,
    *,
    shape: str | Sequence[int] | None = None,
    optimizer: str | None = None,
    batch: int | None = None,
    experiment: str | int = 1,
    width: int | Sequence[int] | None = None,
    devices: int | Sequence[int] | None = None,
    budget: float = SECONDS,
    settings: Sequence[str] = (),
    allow_code: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Benchmark:
    """Measure the engines that fit, against `vmap` and against the ceilings of the machine.

    Args:
        study: a `Study`, the path of a study file, the name of a ready study, or its tables.
        shape: in place of a study: layers of a ReLU network, as "1-16-16-1".
        optimizer: with a shape; "adam" if None.
        batch: samples per step, with a shape; 32 if None.
        experiment: of the study: a label or a number from 1.
        width: block widths to measure; None for those that help.
        devices: how many to measure at the same time, besides one; None for all there are.
        budget: seconds that it may take.
        settings: changes of the study or the shape, as "precision=float64".
        allow_code: let the study import "module:function" references.
        progress: told what is being done.

    Raises:
        InputError: for what cannot be measured here.
    """
    runtime.require_unforked()
    arguments.flag("allow_code", allow_code)
    settings = arguments.texts("settings", settings)
    if (study is None) == (shape is None):
        raise InputError(
            "study and shape are not accepted together; accepted: one of them"
            if study is not None
            else "study = None is not accepted without a shape; accepted: a study, or shape = "
            '"1-16-16-1"'
        )
    if shape is not None:
        made = study_of_shape(shape, optimizer or "adam", 32 if batch is None else batch, settings)
    else:
        for name, value, key in (
            ("optimizer", optimizer, "optimizer.name"),
            ("batch", batch, "training.batch_size"),
        ):
            if value is not None:
                raise InputError(
                    f"{name} = {value!r} is not accepted with a study; accepted: a shape in place "
                    f"of the study, or its key {key}"
                )
        made = _loaded(study, settings, allow_code)
    runtime.configure(None, made.spec.execution.matmul_precision)
    return Benchmark(measure_speed(ask(made, experiment, width, devices, budget), progress))


def _loaded(study: Any, settings: Sequence[str], allow_code: bool) -> Study:
    if isinstance(study, Mapping):
        study = Study.from_dict(study, allow_code=allow_code)
    elif not isinstance(study, Study):
        return Study.load(study, list(settings), allow_code)
    return study.with_settings(list(settings)) if settings else study


def schema() -> str:
    """Return the JSON schema of benchmark.json."""
    return json.dumps(Figures.model_json_schema(), indent=2) + "\n"


def print_benchmark(measured: Benchmark, console: Console) -> None:
    """Print the figures as a table, with what they are compared with and what is left out."""
    figures = measured.figures
    console.print(title(figures), highlight=False, soft_wrap=True)
    console.print(_table(HEADS, rows(figures)))
    if figures.scaling:
        console.print()
        console.print(_table(SCALING_HEADS, scaling_rows(figures)))
    console.print()
    for sentence in [*remarks(figures), *left_out(figures)]:
        console.print(sentence, highlight=False, soft_wrap=True)


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", no_wrap=True)
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def title(figures: Figures) -> str:
    """Return what was measured, on what, in a line."""
    which = "" if figures.experiments == 1 else (
        f", {figures.experiment!r} (one of {figures.experiments} experiments)"
    )  # fmt: skip
    name = "" if figures.study == figures.shape else f"{figures.study}{which}: "
    device = "one core" if figures.pinned else "one device"
    return (
        f"{name}{figures.shape}, {figures.optimizer}, batch "
        f"{figures.batch_size}, {figures.precision}; training alone on {device} of "
        f"{figures.processor if figures.platform == 'cpu' else figures.device_kind}"
    )


def rows(figures: Figures) -> list[list[str]]:
    """Return the table: one row per engine and width, an asterisk at what `plan` chooses."""
    found = []
    for speed in figures.speeds:
        lanes = f" ({speed.lanes} lanes)" if speed.lanes > 1 else ""
        ratio = speed.of_vmap
        found.append(
            [
                f"{speed.engine}{lanes}{' *' if speed.chosen else ''}",
                f"{speed.width:,}",
                f"{speed.member_steps_per_second.median:,.0f}",
                _ends(speed.member_steps_per_second),
                "-" if speed.gflops is None else f"{speed.gflops:,.3g}",
                "-" if speed.of_products is None else f"{speed.of_products:.3f}",
                f"{speed.of_copies:.2f}",
                "-" if ratio is None else f"{ratio.median:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]",
                f"{speed.compile_seconds:.1f} s",
                size(speed.block_bytes),
            ]
        )
    return found


SCALING_HEADS = (
    "devices", "engine", "width", "member-steps/s", "range", "times one", "of products",
)  # fmt: skip


def scaling_rows(figures: Figures) -> list[list[str]]:
    """Return the table of several devices at the same time."""
    return [
        [
            str(one.devices), one.engine, f"{one.width:,}",
            f"{one.member_steps_per_second.median:,.0f}", _ends(one.member_steps_per_second),
            f"{one.speedup:.2f}", "-" if one.of_products is None else f"{one.of_products:.3f}",
        ]
        for one in figures.scaling
    ]  # fmt: skip


def _ends(values: Range) -> str:
    return f"{values.low:,.0f} to {values.high:,.0f}"


def remarks(figures: Figures) -> list[str]:
    """Return what the columns are compared with, as sentences."""
    said = []
    for ceiling in figures.ceilings:
        kind = "core" if figures.pinned else "device"
        said.append(
            f"ceilings of {counted(ceiling.devices, kind)}: matrix products {figures.precision} "
            f"{ceiling.products_gflops:,.0f} GFLOP/s, copies "
            f"{ceiling.copy_gigabytes_per_second:,.1f} GB/s"
        )
    work = figures.work
    if work.products is not None and work.update is not None:
        said.append(
            f"a member-step counts {work.products + work.update:,} operations: {work.products:,} "
            f"of matrix products (forward and backward), {work.update:,} of the update; and "
            f"{work.bytes_moved:,} bytes, of parameters and moments, read and written"
        )
    else:
        said.append("operations are not counted: a step is no pass over a mini-batch")
    said += [
        f"risks: {one.risks_per_second:,.0f} per second by {one.engine}, "
        f"{100 * one.share_of_run:.0f} % of a run at its checkpoints"
        for one in figures.risks
    ]
    if figures.choice is not None:
        taken = figures.choice
        source = "remembered from before" if taken.remembered else "remembered from now on"
        said.append(
            f"* plan, run and launch take {taken.engine}, width {taken.width:,}, for new "
            f"directories where nothing else is stated, at "
            f"{taken.member_steps_per_second:,.0f} member-steps/s ({source})"
        )
    said.append(
        f"measured in {figures.seconds:.0f} of {figures.budget_seconds:g} s; "
        "`jaxsim explain speed` says what the columns are"
    )
    return said


def left_out(figures: Figures) -> list[str]:
    """Return what was not measured, a sentence each."""
    return [f"not measured: {one.what}: {one.reason}" for one in figures.left_out]


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{part}": number for part, number in value.items()}
        else:
            flat[name] = value
    return flat
