"""Where a page's numbers come from: the study as a file, what computed it, when, and how again."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jaxsim.engines.registry import ENGINES, current_name
from jaxsim.report.page.setup import setup, source_of
from jaxsim.report.text import counted, joined
from jaxsim.results.provenance import commit, jaxsim_version
from jaxsim.results.results import Results
from jaxsim.study.study import Study
from jaxsim.study.toml_text import toml_text

FACTS = {
    "version.jaxsim": "jaxsim {}",
    "commit": "commit {}",
    "version.jax": "jax {}",
    "version.jaxlib": "jaxlib {}",
    "version.optax": "optax {}",
    "version.numpy": "numpy {}",
    "version.python": "Python {}",
    "version.c_library": "{}",
    "machine": "{}",
    "engine": "engine {}",
    "width": "width {}",
    "matmul_precision": "matrix products in precision {}",
}
"""What is said of the programs that made the runs, beside the device."""
FIRST = ("name", "title", "seed", "replicates", "steps", "checkpoints", "epsilon")
"""Keys of a study that its file begins with."""
SAME = "With the same versions on the same kind of device every number is the same, bit for bit."
MIXED = (
    "Experiments were executed by different engines or in different widths, which study.json "
    "names; where the study leaves them open another machine may choose others, whose numbers "
    "differ in their last bits."
)
MAY_BE_EMPTY = ("grid", "experiment", "optimum")
"""Keys that say nothing where they hold nothing."""
MOST = 20
"""Combinations of these that are listed."""


@dataclass(frozen=True)
class Origin:
    """What a page says of where its numbers come from.

    Attributes:
        study: its tables as a file.
        file: name of such a file.
        seed: of the study.
        computed: sentences on devices and programs.
        times: when the files of the results were written, a sentence.
        made: what made the page.
        ids: label and id of each experiment.
        unknown: why there is no file that computes it again, a sentence; empty if there is one.
        same_bits: under which conditions every number is the same again, a sentence.
        setup: what is trained: names and values of facts.
        source: that the study reproduces, if it is one of the catalogue.
        commands: that compute the same again, with what they do.
    """

    study: str
    file: str
    seed: int
    computed: list[str]
    times: str
    made: str
    ids: list[tuple[str, str]]
    same_bits: str
    unknown: str
    commands: list[tuple[str, str]]
    setup: list[tuple[str, str]] = field(default_factory=list)
    source: str = ""

    @property
    def lines(self) -> int:
        """How long the file is."""
        return self.study.count("\n")


def origin_of(results: Results, study: Study) -> Origin:
    """Return where results come from."""
    spec = study.spec
    table = spec.model_dump(mode="json", exclude_unset=True)
    table.pop("slurm", None)  # of a cluster; it has no say in the numbers
    table = {key: table[key] for key in FIRST if key in table} | table
    published = table.pop("published", [])
    table = {key: value for key, value in table.items() if value or key not in MAY_BE_EMPTY}
    execution = _execution(results)
    if execution is not None:
        table["execution"] = {**table.get("execution", {}), **execution}
    try:
        text, ending = toml_text(table, {"published": published}), "toml"
    except ValueError:
        text, ending = json.dumps(table | {"published": published}, indent=2), "json"
    file = f"{re.sub(r'[^A-Za-z0-9._-]+', '_', spec.name)}.{ending}"
    passed = joined(list(study.session_objects))
    unknown = f"{passed} was passed from Python, and no file says what it does." if passed else ""
    return Origin(
        study=text,
        file=file,
        seed=spec.seed,
        computed=list(_computed(results)),
        times=_times(results),
        made=_made(),
        ids=[(e.label, e.id) for e in results.experiments],
        same_bits=SAME if execution is not None else MIXED,
        unknown=unknown,
        commands=[] if unknown else list(_commands(results, study, file, _refers(table))),
        setup=setup(study.experiments),
        source=source_of(spec),
    )


def _commands(results: Results, study: Study, file: str, refers: bool) -> Iterator[tuple[str, str]]:
    """Yield the commands that compute a study again, with what they do."""
    place = shlex.quote(f"runs/{study.spec.name}")
    code = " --allow-code" if study.allow_code else ""
    if file.endswith(".toml"):
        needs_more = refers or study.allow_code
        files = "; the files that it names are needed, too" if needs_more else ""
        yield (
            f"jaxsim run {shlex.quote(file)} -o {place}{code}",
            f"all runs, and this page{files}",
        )
    yield f"jaxsim report {place}{code}", "the answer once more, from the runs there are"
    if results.experiments:
        label = shlex.quote(results.experiments[0].label)
        yield f"jaxsim replay {place} {label} 0{code}", "one run again, bit for bit, at every step"
    yield f"jaxsim export {place} --format csv{code}", "all runs as one table"


def _execution(results: Results) -> dict[str, Any] | None:
    """Return engine, width and lanes of the runs, on which bits depend; None if there are several.

    Where a study leaves them open, they were chosen by a measurement of one machine.
    """
    known = results.provenance("engine", "width", "lanes")
    if len(known) != 1:
        return None
    ((engine, width, lanes),) = known
    if current_name(engine) not in ENGINES or not width.isdigit():
        return None
    in_groups = lanes.isdigit() and int(lanes) > 1
    return {
        "engine": current_name(engine),
        "width": int(width),
        **({"lanes": int(lanes)} if in_groups else {}),
    }


def _refers(value: Any) -> bool:
    """Return whether tables name a file."""
    if isinstance(value, dict):
        return "path" in value or any(_refers(inner) for inner in value.values())
    return isinstance(value, list) and any(_refers(inner) for inner in value)


def _computed(results: Results) -> Iterable[str]:
    """Yield a sentence for each combination of device and programs, the most frequent first."""
    known = results.provenance("device_kind", *FACTS).most_common()
    for (device, *values), runs in known[:MOST]:
        facts = [
            text.format(value)
            for text, value in zip(FACTS.values(), values, strict=True)
            if value and value != "unknown"
        ]
        yield f"{counted(runs, 'run')} on {device}: {', '.join(facts)}."
    if len(known) > MOST:
        yield f"And {len(known) - MOST:,} other combinations, which the shards name."


def _times(results: Results) -> str:
    """Return when shards were written, as far as their files tell."""
    times = []
    for e in results.experiments:
        for shard in results.finished(e):
            with contextlib.suppress(OSError):
                times.append(results.store.path(shard).stat().st_mtime)
    if not times:
        return ""
    first, last = (datetime.fromtimestamp(t, UTC) for t in (min(times), max(times)))
    return (
        f"Files of the runs were written from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC."
    )


def _made() -> str:
    known = commit()
    made = f"jaxsim {jaxsim_version()}" + (f", commit {known}" if known else "")
    return f"This page was made by {made}, on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
