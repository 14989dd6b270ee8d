"""CSV files of answers with a design."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jaxsim.explain.tables import AXES, strata_columns
from jaxsim.report.tables import TABLES, strata_frame, write_tables
from tests.report.answers import PROVED_FROM, small_answer, with_design


def csv_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file by column."""
    return [{str(k): v for k, v in row.items()} for row in pd.read_csv(path).to_dict("records")]


def total(rows: list[dict[str, Any]]) -> float:
    """Return what strata add together."""
    return float(np.nansum([row["product"] for row in rows]))


def test_products_of_the_strata_add_up_to_the_estimate(tmp_path):
    answer = with_design(small_answer())
    assert "strata.csv" in write_tables(answer, tmp_path)
    rows, estimates = (csv_rows(tmp_path / name) for name in ("strata.csv", "estimates.csv"))
    assert {row["experiment"] for row in rows} == {"sgd"}
    for eps in answer.eps:
        (last,) = (
            row
            for row in estimates
            if (row["experiment"], row["step"], row["eps"]) == ("sgd", 30, eps)
        )
        of = [row for row in rows if row["eps"] == eps]
        proved = [row for row in of if row["decided"]]
        assert sum(row["probability"] for row in of) == pytest.approx(1)
        assert total(of) == pytest.approx(last["estimate"], rel=1e-12)
        assert total(proved) == pytest.approx(last["provable"], rel=1e-12)
        assert {row["inactive_least"] for row in proved} == {PROVED_FROM, PROVED_FROM + 1}
        assert all((row["runs"] == 0) == np.isnan(row["estimate"]) for row in of[:PROVED_FROM])
    assert list(rows[0]) == [name for name in strata_columns() if name not in AXES]


def test_plain_studies_have_no_table_of_strata(tmp_path):
    assert "strata" in TABLES
    assert strata_frame(small_answer()).empty
    assert "strata.csv" not in write_tables(small_answer(), tmp_path)
