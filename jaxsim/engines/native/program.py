"""What a generated program is, and what it is compiled for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Target:
    """What the compiler compiles for.

    Attributes:
        vector_bytes: of a SIMD register.
        registers: how many there are.
    """

    vector_bytes: int
    registers: int


@dataclass(frozen=True)
class Source:
    """A generated program; it exports `run`, a handler of XLA's foreign function interface.

    Attributes:
        text: C, to be compiled with native.h.
        scratch: numbers of scratch memory that a call needs.
    """

    text: str
    scratch: int


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
