"""Text of strangers, without what figures and pages cannot hold."""

from __future__ import annotations

import unicodedata


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
