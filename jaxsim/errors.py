"""The one kind of error a user can cause, and the sentence that goes with it."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

LONGEST = 1500
"""Characters of a sentence: a value of a million numbers is shown by its ends."""
_UNSHOWN = frozenset(
    "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufffe\uffff"
)
"""Separators of lines and paragraphs, changes of the direction of writing, and no characters."""


class InputError(ValueError):
    """Bad input: one sentence naming the key, the value and what would be accepted.

    The command line prints the sentence and ends with exit code 2. It is one line whatever a
    stranger's file holds: characters that control a terminal are shown by their codes.
    """

    def __init__(self, sentence: str = "") -> None:
        text = shown(sentence)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
        super().__init__(text)

    def at(self, key: str) -> InputError:
        """Return the same sentence with the key it belongs to in front, unless it is there."""
        return InputError(f"{key}: {self}" if key and not str(self).startswith(key) else str(self))


def unknown(key: str, value: object, accepted: Iterable[str]) -> InputError:
    """Return the error for a name that is not among the accepted ones."""
    names = sorted(accepted)
    close = difflib.get_close_matches(str(value)[:200], names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return InputError(f"{key} = {value!r} is not known{hint}; accepted: {', '.join(names)}")


def is_control(character: str) -> bool:
    """Return whether a character would change what a terminal or a drawing shows around it."""
    return unicodedata.category(character) in ("Cc", "Cs") or character in _UNSHOWN


def shown(text: str) -> str:
    r"""Return a text on one line, characters of control as their codes.

    Example:
        >>> shown("a\x1b[31m\nb")
        'a\\x1b[31m b'
    """
    if text.isprintable():
        return text
    return "".join(
        " " if c in "\n\t\r" else c.encode("unicode_escape").decode() if is_control(c) else c
        for c in text
    )


def reason(error: BaseException) -> str:
    """Return the type and the first line of what an error of other people's code says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
