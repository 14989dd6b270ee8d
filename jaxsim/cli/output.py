"""What commands print: answers to standard output, messages to standard error.

A reader that leaves early is no error; a full disk is one sentence; neither costs results.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, NoReturn, TextIO

from rich.console import Console

from jaxsim.errors import InputError


class AnswerConsole(Console):
    """A console whose reader may leave early: `jaxsim run STUDY | head -1` is no error."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; what was asked for has been written, so that a full disk costs only the view.

        Raises:
            InputError: if standard output cannot be written.
        """
        try:
            super().print(*objects, **options)
        except OSError as error:
            raise unprintable(error) from None

    def on_broken_pipe(self) -> None:
        """End quietly."""
        reader_left()


class MessageConsole(Console):
    """A console nobody need read: results are not lost because messages cannot be written."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, or be quiet from now on."""
        try:
            super().print(*objects, **options)
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Be quiet from now on."""
        self.quiet = True
        _discard(sys.stderr)


def answer_console() -> Console:
    """Return the console of answers: a pipe or a file has no width to fold tables into."""
    width = None if sys.stdout.isatty() else 160
    return AnswerConsole(width=width, markup=False, emoji=False)


def message_console() -> Console:
    """Return the console of messages; labels and paths are text, whatever brackets they hold."""
    return MessageConsole(stderr=True, markup=False, emoji=False)


def print_answer(text: str, end: str = "\n") -> None:
    """Print an answer to standard output.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        reader_left()
    except OSError as error:
        raise unprintable(error) from None


def print_text(text: str) -> None:
    """Print what was laid out before, to its last line's end."""
    print_answer(text, end="")


def print_message(text: str) -> None:
    """Print a line to standard error if that can be written."""
    message_console().print(text, highlight=False, soft_wrap=True)


def unwritten(error: OSError) -> InputError | None:
    """Return what to say of an error if a standard stream cannot be written, else None.

    Libraries print, too (help, usage), with no care for full disks.
    """
    if not _writable(sys.stdout):
        return unprintable(error)
    if not _writable(sys.stderr):
        _discard(sys.stderr)
        return InputError(f"standard error cannot be written ({error.strerror or error})")
    return None


def unprintable(error: OSError) -> InputError:
    """Return the sentence for a standard output that cannot be written."""
    _discard(sys.stdout)
    return InputError(
        f"standard output cannot be written ({error.strerror or error}); accepted: a terminal, a "
        "pipe or a file on a disk with room"
    )


def reader_left() -> NoReturn:
    """End quietly: whoever reads standard output has seen enough."""
    _discard(sys.stdout)
    sys.exit(0)


def _writable(stream: TextIO) -> bool:
    """Try an empty line: an unbuffered stream forgets what it could not write."""
    try:
        stream.write("\n")
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def _discard(stream: TextIO) -> None:
    """Send what a stream still holds, and Python would flush at its end, nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def open_streams() -> None:
    """Open the streams that a shell closed (`>&-`), which Python has as None.

    The lowest free descriptors are theirs: no file of results may stand where others print.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")
