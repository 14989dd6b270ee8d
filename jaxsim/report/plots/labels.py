"""Text of strangers in figures and pages: readable, short, distinct, and valid XML."""

from __future__ import annotations

from collections.abc import Sequence

from jaxsim.report.clean import clean

MOST = 44
"""Characters of a label in a figure."""


def cut(label: str, most: int = MOST) -> str:
    """Return a label of at most `most` characters, its middle left out: ends tell labels apart.

    Example:
        >>> cut("abcdefghij", 7)
        'abc…hij'
    """
    if len(label) <= most:
        return label
    tail = (most - 1) // 2
    return f"{label[: most - 1 - tail]}…{label[len(label) - tail :]}"


def short_names(labels: Sequence[str], most: int = MOST) -> list[str]:
    """Return names for a figure in the order of the labels, different for different labels.

    Names that would be equal get the number of their label among all labels.

    Example:
        >>> short_names(["adam", "abcdefgh1ijklmno", "abcdefgh2ijklmno"], 7)
        ['adam', 'abc…mno [2]', 'abc…mno [3]']
    """
    names = [cut(clean(label), most) for label in labels]
    return [
        f"{name} [{place}]" if names.count(name) > 1 else name
        for place, name in enumerate(names, start=1)
    ]
