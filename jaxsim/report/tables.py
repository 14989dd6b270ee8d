"""The answer as CSV files: every estimate, quantile and comparison is a row."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.report.levels import drift_frame, levels_frame
from jaxsim.report.published import published_frame
from jaxsim.results.files import write_atomically
from jaxsim.results.text_cells import harmless

if TYPE_CHECKING:  # loaded when a table is written: runs need none
    import pandas as pd

GRADES = ("permanent", "minima", "falling", "descends", "undecided")
"""Of the failing runs, as columns."""
TABLES = ("estimates", "quantiles", "comparisons", "strata", "levels", "drift", "published")


def estimates_frame(answer: Answer) -> pd.DataFrame:
    """Return one row per experiment, event and checkpoint.

    Columns: the fields of `Estimate`, after `experiment` one for each key in which experiments
    differ, `risk_over`, the rows of a data set that the risk is over, `constant`, the runs whose
    network is constant on the whole support, and at the last checkpoint `permanent_failures` with
    what they rest on, `permanent_evidence`, and `liminf`, the lower bound of the limit of the
    probability, with `liminf_evidence` and `liminf_reason`, and the failing runs by what is
    known of them.
    """
    import pandas as pd

    rows = []
    for e in answer.finished:
        for g, course in enumerate(e.exceedance.estimates):
            for estimate, constant in zip(course, e.permanent.constant, strict=True):
                row = _named(e, asdict(estimate))
                row |= {"risk_over": e.risk.named, "constant": constant}
                last = estimate is course[-1]
                row["permanent_failures"] = e.permanent.count[g] if last else pd.NA
                row["permanent_evidence"] = e.permanent.evidence[g].kind if last else pd.NA
                row["liminf"] = e.liminf.value[g] if last else pd.NA
                row["liminf_evidence"] = e.liminf.evidence[g].kind if last else pd.NA
                row["liminf_reason"] = e.liminf.reason[g] if last else pd.NA
                graded = last and g < len(e.grades.eps)  # events of the risk, which come first
                for grade in GRADES:
                    row[f"failing_{grade}"] = getattr(e.grades, grade)[g] if graded else pd.NA
                rows.append(row)
    return pd.DataFrame(rows)


def quantiles_frame(answer: Answer) -> pd.DataFrame:
    """Return one row per experiment, checkpoint and level: quantile of the risk and its interval.

    A distribution-free interval of order statistics; an infinite end says that there are too few
    runs, an infinite quantile that it is a diverged run.
    """
    import pandas as pd

    rows = [
        _named(e, {"experiment": e.label})
        | {
            "step": step,
            "level": level,
            "quantile": e.quantiles.value[q][t],
            "lower": e.quantiles.lower[q][t],
            "upper": e.quantiles.upper[q][t],
            "confidence": e.quantiles.confidence,
            "method": e.quantiles.method,
            "risk_over": e.risk.named,
        }
        for e in answer.finished
        for t, step in enumerate(e.checkpoints)
        for q, level in enumerate(e.quantiles.levels)
    ]
    return pd.DataFrame(rows)


def comparisons_frame(answer: Answer) -> pd.DataFrame:
    """Return one row per comparison: its fields, with table and result unfolded."""
    import pandas as pd

    rows, over = [], {e.label: e.risk.named for e in answer.experiments}
    for comparison in answer.pairs.comparisons:
        result = asdict(comparison.result)
        counts = result.pop("counts")
        names = {
            "first": comparison.first,
            "second": comparison.second,
            "shared": comparison.shared,
        }
        names |= {
            "step": comparison.step,
            "eps": comparison.eps,
            "event": comparison.event,
            "pairs": comparison.pairs,
        }
        ends = {
            "simultaneous_lower": comparison.simultaneous_lower,
            "simultaneous_upper": comparison.simultaneous_upper,
            "test": comparison.test,
            "p_holm": comparison.p_holm,
            "differ": comparison.differ,
            "risk_over": "; ".join(
                dict.fromkeys((over[comparison.first], over[comparison.second]))
            ),
        }
        rows.append(names | counts | result | ends)
    return pd.DataFrame(rows)


def strata_frame(answer: Answer) -> pd.DataFrame:
    """Return one row per experiment with a design, stratum and event, at the last checkpoint.

    Columns: what the stratum is, its `probability` and how often its runs fail, and `product`, what
    it adds to the failure probability.
    """
    import pandas as pd

    rows = [
        _named(e, {"experiment": e.label})
        | {
            "design": e.design.name,
            "stratum": k,
            "text": s.text,
            "event": event.kind,
            "eps": event.threshold,
            "step": e.checkpoints[-1],
            "inactive_least": s.least,
            "inactive_most": s.most,
            "width": pd.NA if s.width is None else s.width,
            "probability": s.probability,
            "probability_error": s.error,
            "runs": s.runs,
            "families": s.families,
            "decided": s.decided[g],
            "failures": s.failures[g],
            "undecided": s.undecided[g],
            "estimate": pd.NA if s.share(g) is None else s.share(g),
            "lower": s.lower[g],
            "upper": s.upper[g],
            "product": pd.NA if s.product(g) is None else s.product(g),
            "doubts": s.doubts[g],
        }
        for e in answer.finished
        if e.design is not None
        for k, s in enumerate(e.design.strata)
        for g, event in enumerate(answer.asked)
    ]
    return pd.DataFrame(rows)


def _named(e: ExperimentAnswer, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the experiment's place on the axes of the study after its label."""
    axes = {key: value for key, value in e.axes.items() if key not in row}
    return {"experiment": row.pop("experiment")} | axes | row


def write_tables(answer: Answer, directory: Path) -> list[str]:
    """Write the tables that have rows and return the names of their files."""
    written = []
    for name, frame in (
        ("estimates", estimates_frame(answer)),
        ("quantiles", quantiles_frame(answer)),
        ("comparisons", comparisons_frame(answer)),
        ("strata", strata_frame(answer)),
        ("levels", levels_frame(answer)),
        ("drift", drift_frame(answer)),
        ("published", published_frame(answer)),
    ):
        if len(frame):
            path = Path(directory) / f"{name}.csv"
            write_atomically(path, harmless(frame).to_csv(index=False).encode())
            written.append(path.name)
    return written
