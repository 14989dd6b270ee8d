"""What a generated program is, and what it is compiled for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Target:
    """What a program is written and compiled for. No number of a training depends on it.

    Attributes:
        vector_bytes: of a SIMD register.
        registers: how many there are.
        rows: of a mini-batch that go through the network at a time, a divisor of its size; 0 for
            an estimate of the best.
        tuning: of the compiler, a name of `library.TUNINGS`.
    """

    vector_bytes: int
    registers: int
    rows: int = 0
    tuning: str = ""


@dataclass(frozen=True)
class Source:
    """A generated program; it exports `run`, a handler of XLA's foreign function interface.

    Attributes:
        text: C, to be compiled with native.h.
        scratch: numbers of scratch memory that a call needs.
        tuning: of the compiler, a name of `library.TUNINGS`.
    """

    text: str
    scratch: int
    tuning: str = ""


def preamble(real: np.dtype, vector: int, lanes: int) -> list[str]:
    """Return the first lines of a program.

    Args:
        real: of its numbers.
        vector: how many of them a register holds.
        lanes: members of a group, or `vector` where lanes are not members.
    """
    return [
        f"#define REAL_BITS {8 * real.itemsize}",
        f"#define VECTOR_BYTES {vector * real.itemsize}",
        f"#define LANES {lanes}",
        '#include "native.h"',
    ]


BEGIN = [
    "XLA_FFI_Error *run(XLA_FFI_CallFrame *frame) {",
    "if (answer_metadata(frame)) return NULL;",
    "if (frame->stage != XLA_FFI_ExecutionStage_EXECUTE) return NULL;",
]
"""The first lines of every handler."""
END = ["return NULL;", "}"]
