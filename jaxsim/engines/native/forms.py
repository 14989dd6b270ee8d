"""The form of a training program: width of vectors, rows at a time, tuning of the compiler.

Which one is fastest depends on the network, the batch and the processor, and no estimate tells it
well: 1-64-1 with batches of 32 is 1.5 times as fast with half the vector and a quarter of the rows,
1-16-16-1 with neither. So it is measured where enough is trained (`jaxsim.launch.forms`) and
remembered for network, batch and processor. All forms do the same arithmetic in the same order:
no bit depends on the choice, which therefore is no part of a study.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import asdict, replace
from pathlib import Path

from jaxsim import runtime
from jaxsim.engines.native import library, training
from jaxsim.engines.native.program import Target
from jaxsim.processor import features, processor
from jaxsim.training.experiment import Experiment

FEWEST_ROWS, HALVINGS = 4, 3
NARROWEST = 32
"""Bytes of a vector: those of 16 never won."""


def form_of(experiment: Experiment) -> Target:
    """Return the form that was found fastest, or else the estimate for this processor."""
    here = library.target()
    try:
        found = Target(**json.loads(_path(experiment).read_text()))
        fits = not found.rows or experiment.samples_per_step % found.rows == 0
        known = found.tuning in library.TUNINGS
        return found if fits and known and found.vector_bytes <= here.vector_bytes else here
    except (OSError, ValueError, TypeError):
        return here


def is_found(experiment: Experiment) -> bool:
    """Return whether a form was measured and remembered."""
    return _path(experiment).is_file()


def remember(experiment: Experiment, target: Target) -> None:
    """Let `form_of` know the fastest form."""
    path = _path(experiment)
    beside = path.with_name(f"{path.stem}-{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(asdict(target)))
        beside.replace(path)
    except OSError:
        pass  # a cache that cannot be written costs time, not results


def forms(experiment: Experiment) -> list[Target]:
    """Return the forms worth measuring, the estimate first.

    For batches of 32 on a processor with registers of 512 bits they are vectors of 512 and of 256
    bits with 32, 16, 8 and 4 rows at a time, and gcc's own tuning.
    """
    here, batch = library.target(), experiment.samples_per_step
    estimate = here
    rows: list[int] = []
    if batch and training.can_be_parted(experiment.network):
        rows = [n for n in (batch >> k for k in range(HALVINGS + 1)) if n >= FEWEST_ROWS]
        rows = [n for n in rows if batch % n == 0] or [batch]
        estimate = replace(here, rows=training.rows_of(experiment.network, batch, here))
    found = [estimate, *(replace(here, rows=n) for n in rows)]
    if library.has_tunings():
        found.append(replace(estimate, tuning="processor"))
    if here.vector_bytes > NARROWEST:
        narrow = [replace(form, vector_bytes=NARROWEST) for form in found if not form.tuning]
        found += narrow
    return list(dict.fromkeys(found))


def _path(experiment: Experiment) -> Path:
    facts = (
        # The optimizer's arithmetic has no part in it, so that all of a study are measured once.
        experiment.evaluation_key,
        f"{experiment.samples_per_step} {experiment.precision}",
        library.HEADER.read_text(),
        library.compiler_version(),
        features(),
        processor(),
    )
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]
    return runtime.cache_directory() / "forms" / f"{key}.json"
