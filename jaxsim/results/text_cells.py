"""Text in CSV cells that no spreadsheet takes for a formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded when a table is written: runs need none
    import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What cells begin with that spreadsheets evaluate."""


def harmless(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows in which texts that begin like formulas begin with an apostrophe instead.

    Example:
        >>> import pandas as pd
        >>> harmless(pd.DataFrame({"label": ["=1+1", "adam"], "x": [-1.0, 2.0]})).label.tolist()
        ["'=1+1", 'adam']
    """
    import pandas as pd

    escaped = rows.copy(deep=False)
    for name in escaped.columns:
        column = escaped[name]
        if column.dtype != object and not pd.api.types.is_string_dtype(column.dtype):
            continue
        escaped[name] = [
            f"'{v}" if isinstance(v, str) and v.startswith(FORMULA) else v for v in column
        ]
    return escaped
