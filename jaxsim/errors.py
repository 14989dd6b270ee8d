"""The one kind of error a user can cause, and the sentence that goes with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: one sentence naming the key, the value and what would be accepted.

    The command line prints the sentence and ends with exit code 2.
    """

    def at(self, key: str) -> InputError:
        """Return the same sentence with the key it belongs to in front."""
        return InputError(f"{key}: {self}" if key else str(self))


def unknown(key: str, value: object, accepted: Iterable[str]) -> InputError:
    """Return the error for a name that is not among the accepted ones."""
    names = sorted(accepted)
    close = difflib.get_close_matches(str(value), names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return InputError(f"{key} = {value!r} is not known{hint}; accepted: {', '.join(names)}")
