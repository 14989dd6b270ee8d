"""The answer as data: every estimate, quantile and comparison as a row of a CSV file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from jaxsim.report.analysis import Analysis
from jaxsim.results.files import write_atomically


def estimates_frame(analysis: Analysis) -> pd.DataFrame:
    """Return one row per experiment, eps and checkpoint: the fields of `Estimate` and one more.

    `certified`: runs whose failure is certified to last for ever (at the last checkpoint only).
    """
    rows = [
        asdict(one) | {"certified": int(e.permanent[g]) if t == len(course) - 1 else pd.NA}
        for e in analysis.experiments
        for g, course in enumerate(e.estimates)
        for t, one in enumerate(course)
        if one.runs
    ]
    return pd.DataFrame(rows)


def quantiles_frame(analysis: Analysis) -> pd.DataFrame:
    """Return one row per experiment, checkpoint and level: quantile of the risk and its interval.

    A distribution-free interval of order statistics; an infinite end says that there are too few
    runs, an infinite quantile that it is a diverged run.
    """
    rows = [
        {
            "experiment": e.experiment.label,
            "step": int(step),
            "level": float(level),
            "quantile": e.quantiles[q, t],
            "lower": e.quantile_lower[q, t],
            "upper": e.quantile_upper[q, t],
            "confidence": analysis.confidence,
        }
        for e in analysis.experiments
        if e.runs
        for t, step in enumerate(e.checkpoints)
        for q, level in enumerate(e.levels)
    ]
    return pd.DataFrame(rows)


def comparisons_frame(analysis: Analysis) -> pd.DataFrame:
    """Return one row per comparison: the fields of `Comparison`, its table and result unfolded."""
    rows = []
    for one in analysis.comparisons:
        result = asdict(one.result)
        counts = result.pop("counts")
        names = {"first": one.first, "second": one.second, "step": one.step, "eps": one.eps}
        rows.append(names | {"pairs": one.result.counts.runs} | counts | result)
        rows[-1]["p_holm"] = one.p_holm
    return pd.DataFrame(rows)


def write_tables(analysis: Analysis, directory: Path) -> list[Path]:
    """Write estimates.csv, quantiles.csv and, if there are any, comparisons.csv."""
    written = []
    for name, frame in (
        ("estimates", estimates_frame(analysis)),
        ("quantiles", quantiles_frame(analysis)),
        ("comparisons", comparisons_frame(analysis)),
    ):
        if len(frame):
            path = Path(directory) / f"{name}.csv"
            write_atomically(path, frame.to_csv(index=False).encode())
            written.append(path)
    return written
