"""A result directory: one study, its layout, and what of its plan is still missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxsim.errors import InputError
from jaxsim.launch.measure import measure
from jaxsim.results.provenance import jaxsim_version
from jaxsim.results.schema import VERSION
from jaxsim.results.store import Shard, Store
from jaxsim.simulation.experiment import Experiment
from jaxsim.study.plan import Layout, shards
from jaxsim.study.spec import ANALYSIS_KEYS
from jaxsim.study.study import Study

SHARD_SECONDS = 10.0
LARGEST_SHARD = 65536


@dataclass(frozen=True)
class Directory:
    """A study bound to a directory.

    Attributes:
        store: where the shards are.
        study: what is simulated.
        layouts: by experiment id.
    """

    store: Store
    study: Study
    layouts: dict[str, Layout]

    def planned(self) -> Iterator[tuple[Experiment, Shard]]:
        """Yield all shards of the plan, experiment by experiment."""
        for experiment in self.study.experiments:
            layout = self.layouts[experiment.id]
            for shard in shards(experiment, layout, self.study.spec.replicates):
                yield experiment, shard

    def missing(self) -> list[tuple[Experiment, Shard]]:
        """Return the shards that the plan lists and the store lacks."""
        return [(e, s) for e, s in self.planned() if not self.store.has(s)]


def bind(
    study: Study, path: str | Path, announce: Callable[[str], None] = lambda text: None
) -> Directory:
    """Bind a study to a directory: a new one, or one that already holds this study.

    Questions asked of the results (replicates, epsilon, confidence) may change; what fixes the runs
    may not.

    Raises:
        InputError: if the directory holds another study (with the difference), holds other files,
            or cannot be written.
    """
    store = Store(path)
    manifest = store.manifest()
    if manifest is None:
        _require_free(store.directory)
        if study.spec.execution.width == "auto":
            announce("measuring the block width")
        layouts = choose_layouts(study)
    else:
        layouts = _recorded(study, manifest, store.directory)
    fresh = _manifest(study, layouts)
    if fresh != manifest:
        store.write_manifest(fresh)
    return Directory(store, study, layouts)


def reopen(path: str | Path, allow_code: bool = False) -> Directory:
    """Return the study that a directory holds.

    Raises:
        InputError: if it holds none, or one written by an incompatible version.
    """
    store = Store(path)
    manifest = store.manifest()
    if manifest is None:
        raise InputError(
            f"directory = {str(path)!r} holds no jaxsim study; accepted: a directory made by "
            "`jaxsim run`"
        )
    if manifest.get("schema") != VERSION:
        raise InputError(
            f"directory = {str(path)!r} was written with schema {manifest.get('schema')!r}; "
            f"accepted: {VERSION!r}"
        )
    study = Study.from_dict(manifest["study"], allow_code=allow_code, base=manifest.get("base"))
    return Directory(store, study, _recorded(study, manifest, store.directory))


def choose_layouts(study: Study) -> dict[str, Layout]:
    """Return the layout of every experiment: as the study says, or by measurement.

    Experiments that differ only in the optimizer or its learning rate share one measurement.
    """
    execution, replicates = study.spec.execution, study.spec.replicates
    known: dict[str, Layout] = {}
    layouts: dict[str, Layout] = {}
    for experiment in study.experiments:
        group = f"{experiment.evaluation}|{experiment.batch_size}|{experiment.steps}"
        if group not in known:
            known[group] = _layout(experiment, replicates, execution.width, execution.shard)
        layouts[experiment.id] = known[group]
    return layouts


def _layout(experiment: Experiment, replicates: int, width: int | str, shard: int | str) -> Layout:
    speed = None
    if width == "auto":
        speed = measure(experiment, replicates)
        width = speed.width
    assert isinstance(width, int)
    if isinstance(shard, int):
        if shard % width:
            raise InputError(
                f"execution.shard = {shard} is not accepted: it should be a multiple of the width "
                f"{width}"
            )
        return Layout(width, shard)
    if speed is None:
        # Without a measurement: a fixed number of blocks, so that the layout needs no clock.
        wanted = 8 * width
    else:
        wanted = int(SHARD_SECONDS / max(speed.block_seconds(experiment), 1e-9)) * width
    # A few shards per experiment even if it is quick: units of progress and of sharing work.
    quarter = -(-replicates // (4 * width)) * width
    return Layout(width, max(width, min(wanted, quarter, LARGEST_SHARD // width * width)))


def _manifest(study: Study, layouts: dict[str, Layout]) -> dict[str, Any]:
    return {
        "schema": VERSION,
        "jaxsim": jaxsim_version(),
        "study": study.spec.model_dump(mode="json"),
        "base": str(study.base) if study.base else None,
        "experiments": [
            {
                "id": e.id,
                "label": e.label,
                "width": layouts[e.id].width,
                "shard": layouts[e.id].shard,
                "checkpoints": list(e.checkpoints),
            }
            for e in study.experiments
        ],
    }


def _recorded(study: Study, manifest: dict[str, Any], directory: Path) -> dict[str, Layout]:
    """Return the layouts of a manifest if it is of this study."""
    differences = _differences(manifest["study"], study.spec.model_dump(mode="json"))
    execution = study.spec.execution
    recorded = {e["id"]: Layout(e["width"], e["shard"]) for e in manifest["experiments"]}
    for key in ("width", "shard"):
        wanted = getattr(execution, key)
        there = {getattr(layout, key) for layout in recorded.values()}
        if wanted != "auto" and there != {wanted}:
            differences.append(f"execution.{key}: {sorted(there)} there, {wanted} asked for")
    if not differences and any(e.id not in recorded for e in study.experiments):
        differences.append(
            "the content of a data file or module it refers to, or the version of jaxsim that "
            "named its experiments"
        )
    if differences:
        raise InputError(
            f"output = {str(directory)!r} holds another study: {'; '.join(differences)}; choose "
            "another directory"
        )
    return recorded


def _differences(there: Any, here: Any, key: str = "") -> list[str]:
    """Return a line per key in which two resolved studies differ, analysis and layout aside."""
    if isinstance(there, dict) and isinstance(here, dict):
        found = []
        for name in sorted(there.keys() | here.keys()):
            inner = f"{key}.{name}" if key else name
            if inner in ANALYSIS_KEYS or inner in ("execution.width", "execution.shard"):
                continue
            found += _differences(there.get(name), here.get(name), inner)
        return found
    return [] if there == here else [f"{key}: {there!r} there, {here!r} asked for"]


def _require_free(directory: Path) -> None:
    """Refuse a directory with other people's files."""
    if directory.exists() and not directory.is_dir():
        raise InputError(f"output = {str(directory)!r} is a file; accepted: a directory")
    if directory.is_dir():
        others = [p.name for p in directory.iterdir() if not p.name.startswith(".")]
        if others:
            raise InputError(
                f"output = {str(directory)!r} holds other files ({others[0]!r}) and no jaxsim "
                "study; accepted: a new or empty directory"
            )
