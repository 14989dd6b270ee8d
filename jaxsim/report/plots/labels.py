"""Text of strangers in figures and pages: readable, short, distinct, and valid XML."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

MOST = 44
"""Characters of a label in a figure."""


def clean(text: str) -> str:
    r"""Return a text on one line without characters that XML 1.0 or a reader cannot show.

    Control characters, lone surrogates, characters that are none and those that turn the direction
    of writing become U+FFFD.

    Example:
        >>> clean("a\x00b\nc\u202ed")
        'a\ufffdb c\ufffdd'
    """
    if text.isprintable():
        return text
    return "".join(" " if c in "\t\n\r\u2028\u2029" else c if _shown(c) else "\ufffd" for c in text)


def _shown(character: str) -> bool:
    if unicodedata.category(character) in ("Cc", "Cs"):
        return False
    bidirectional = "\u200e" <= character <= "\u200f" or "\u202a" <= character <= "\u202e"
    isolating = "\u2066" <= character <= "\u2069"
    return not (bidirectional or isolating or ord(character) & 0xFFFE == 0xFFFE)


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
