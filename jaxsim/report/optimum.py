"""The optimal risks of a study on the terminal, as CSV and JSON."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxsim.errors import shown
from jaxsim.questions.data import BoundAnswer
from jaxsim.questions.hierarchy import HierarchyAnswer, OptimaAnswer, WidthAnswer
from jaxsim.report.table import print_whole
from jaxsim.report.text import down, joined, up
from jaxsim.results.certificates import FOLDER
from jaxsim.results.files import write_atomically
from jaxsim.results.text_cells import harmless


def optima_frame(answer: OptimaAnswer) -> pd.DataFrame:
    """Return one row per problem, architecture and width: both ends, evidence and reasons."""
    return pd.DataFrame(
        [
            {
                "experiments": "; ".join(hierarchy.experiments),
                "hidden": "-".join(str(n) for n in row.hidden),
                "neurons": pd.NA if row.neurons is None else row.neurons,
                "lower": row.optimum.lower.value,
                "upper": row.optimum.upper.value,
                "lower_evidence": row.optimum.lower.evidence.kind,
                "upper_evidence": row.optimum.upper.evidence.kind,
                "lower_reason": row.optimum.lower.reason,
                "upper_reason": row.optimum.upper.reason,
                "explicit_network": row.parameters is not None,
                "unfinished": row.unfinished,
            }
            for hierarchy in answer.hierarchies
            for row in hierarchy.widths
        ]
    )


def write_optima(answer: OptimaAnswer, directory: Path) -> list[Path]:
    """Write optimum.json and optimum.csv beside the certificates and return the files."""
    folder = Path(directory) / FOLDER
    text = io.StringIO()
    harmless(optima_frame(answer)).to_csv(text, index=False)
    content = {
        "optimum.csv": text.getvalue(),
        "optimum.json": answer.model_dump_json(indent=2) + "\n",
    }
    for name, body in content.items():
        write_atomically(folder / name, body.encode())
    return [folder / name for name in content]


def print_optima(answer: OptimaAnswer, console: Console) -> None:
    """Print a table for each problem and architecture, and what its ends rest on."""
    for hierarchy in answer.hierarchies:
        if len(answer.hierarchies) > 1 or hierarchy.experiments != [answer.name]:
            _say(console, joined(hierarchy.experiments), "bold")
        print_whole(_table(hierarchy), console)
        for line in notes(hierarchy, answer.budget):
            _say(console, line, "dim")
        console.print()


def _table(one: HierarchyAnswer) -> Table:
    shown_table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    shown_table.add_column("hidden" if len(one.widths[-1].hidden) > 1 else "neurons")
    for name in ("inf L at least", "at most", "ratio"):
        shown_table.add_column(name, justify="right", no_wrap=True)
    shown_table.add_column("lower end: reason", overflow="fold")
    shown_table.add_column("upper end: reason", overflow="fold")
    for row in one.widths:
        lower, upper = row.optimum.lower, row.optimum.upper
        shown_table.add_row(
            Text("-".join(str(n) for n in row.hidden) or "-"),
            _end(lower, down(lower.value)),
            _end(upper, up(upper.value)),
            _ratio(row),
            Text(lower.reason),
            Text(upper.reason),
        )
    return shown_table


def _end(bound: BoundAnswer, text: str) -> str:
    return text + bound.evidence.mark


def _ratio(row: WidthAnswer) -> str:
    """Return lower / upper, how well the bracket is closed: 1 if the value is known."""
    lower, upper = row.optimum.lower.value, row.optimum.upper.value
    if lower == upper:
        return "1"
    return down(lower / upper, 3) if 0 < lower and upper < float("inf") else "-"


def notes(one: HierarchyAnswer, budget: float) -> list[str]:
    """Return what the marks mean, why nothing more is known, and whether searches are finished."""
    marked: dict[str, dict[str, None]] = {}
    for row in one.widths:
        for bound in (row.optimum.lower, row.optimum.upper):
            if bound.evidence.mark:
                marked.setdefault(bound.evidence.mark, {})[bound.evidence.clause] = None
    lines = [f"{mark}: no proof ({'; '.join(clauses)})" for mark, clauses in sorted(marked.items())]
    lines += dict.fromkeys(r.optimum.not_searched for r in one.widths if r.optimum.not_searched)
    lines += [f"inf L is that of the risk over {one.over}"] * bool(one.over)
    lines += one.remarks
    open_rows = [row for row in one.widths if row.unfinished]
    if open_rows:
        widths = joined(["-".join(str(n) for n in row.hidden) or "none" for row in open_rows])
        lines.append(
            f"not finished within a budget of {budget:.3g} s (hidden: {widths}): the same command "
            "with -o DIR goes on from what it keeps there, --budget SECONDS gives it more"
        )
    return lines


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(shown(text), style=style, highlight=False, soft_wrap=True, markup=False)
