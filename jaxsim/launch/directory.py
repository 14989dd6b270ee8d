"""A result directory: one study, its layout, and what of its plan is still missing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxsim.engines.block import Resampling
from jaxsim.engines.registry import ENGINES, ExecutionConfig, current_name
from jaxsim.errors import InputError
from jaxsim.launch.layout import choose_layouts
from jaxsim.launch.stages import FOLDER as DESIGN_FOLDER
from jaxsim.launch.stages import Stages, Task
from jaxsim.results.files import MANIFEST, names_in
from jaxsim.results.provenance import jaxsim_version
from jaxsim.results.schema import VERSION
from jaxsim.results.store import Shard, Store
from jaxsim.study.expand import canonical
from jaxsim.study.plan import Layout
from jaxsim.study.read import study_spec
from jaxsim.study.spec import ANALYSIS_KEYS
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment

LAYOUT_KEYS = ("engine", "width", "lanes", "shard")
"""Keys of [execution] that a new directory settles and that are kept afterwards."""
OUR_FOLDERS = ("launch", "tasks", "partial", "optimum", "polished", DESIGN_FOLDER)
"""Folders of ours that may be there before a study is."""


@dataclass(frozen=True)
class Directory:
    """A study bound to a directory.

    Attributes:
        store: where the shards are.
        study: what is simulated.
        layouts: by experiment id.
        replicates_before: what `replicates` was when results could be seen and it was raised.
    """

    store: Store
    study: Study
    layouts: dict[str, Layout]
    replicates_before: tuple[int, ...] = ()

    @cached_property
    def stages(self) -> dict[str, Stages]:
        """What is planned of every experiment, by its id."""
        return {
            e.id: Stages(
                self.store, self.study.spec, e, self.study.designs[e.id], self.layouts[e.id]
            )
            for e in self.study.experiments
        }

    def experiment_of(self, trained: Experiment) -> Experiment:
        """Return the experiment of the study that something trained is for: itself, or a part."""
        if trained.id not in self._of:  # families are settled on the way
            for e in self.study.experiments:
                self._of.update(dict.fromkeys(self.stages[e.id].trained, e))
        return self._of.get(trained.id, trained)

    @cached_property
    def _of(self) -> dict[str, Experiment]:
        return {e.id: e for e in self.study.experiments}

    def resampling(self, trained: Experiment) -> Resampling | None:
        """Return what happens to blocks at their checkpoints; None to independent runs."""
        return self.stages[self.experiment_of(trained).id].resampling(trained)

    def layout(self, trained: Experiment) -> Layout:
        """Return how the blocks of an experiment or a stratum are executed."""
        return self.layouts[self.experiment_of(trained).id]

    def planned(self) -> Iterator[Task]:
        """Yield all shards that are planned so far, with what is trained for them."""
        for experiment in self.study.experiments:
            yield from self.tasks(experiment)

    def tasks(self, experiment: Experiment) -> Iterator[Task]:
        """Yield the shards of one experiment, with what is trained for them."""
        yield from self.stages[experiment.id].tasks()

    def shards(self, experiment: Experiment) -> Iterator[Shard]:
        """Yield the shards of one experiment."""
        for _, shard in self.tasks(experiment):
            yield shard

    def missing(self, settle: bool = False) -> list[Task]:
        """Return the shards that the plan lists and the store lacks.

        Where later runs depend on earlier ones, the plan grows as the latter are there.

        Args:
            settle: whether what follows from finished runs is left in the directory for others.
        """
        return [task for e in self.study.experiments for task in self.stages[e.id].missing(settle)]

    def outlook(self) -> int:
        """Return how many shards are missing, with those that may still follow from others."""
        return len(self.missing()) + sum(s.outlook() for s in self.stages.values())

    def mixed_versions(self) -> str | None:
        """Return a sentence on experiments whose rest another version of jaxsim would compute.

        A version may know a better rule for a risk: those of two versions agree within their errors
        only. And its programs may round otherwise: trainings of 0.4 on CPUs by the engine vmap have
        the last bits of 0.3 in most studies, not with some losses and noises.
        """
        begun: dict[str, int] = {}
        for experiment in self.study.experiments:
            shards = list(self.shards(experiment))
            finished = self.stages[experiment.id].finished()
            known = [shard for shard in shards if shard.name in finished]
            if known and len(known) < len(shards):
                with contextlib.suppress(InputError):  # said when it is read
                    version = self.store.facts(known[0]).get("version.jaxsim", "unknown")
                    begun[version] = begun.get(version, 0) + 1
        begun.pop(jaxsim_version(), None)
        if not begun:
            return None
        versions = ", ".join(sorted(begun))
        count = sum(begun.values())
        begun_by = (
            f"{count} experiment{'s were' if count > 1 else ' was'} begun by jaxsim {versions}"
        )
        return (
            f"{begun_by} and would be finished by {jaxsim_version()}: their runs are those of two "
            "versions, which may round otherwise; another directory has all of them from one"
        )


def bind(
    study: Study, path: str | Path, announce: Callable[[str], None] = lambda text: None
) -> Directory:
    """Bind a study to a directory: a new one, or one that already holds this study.

    Questions asked of the results (replicates, epsilon, confidence) may change; what fixes the runs
    may not. Of several processes that bind a new directory at once, one settles study and layout,
    and the others take its layout or, with another study, are refused.

    Raises:
        InputError: if the directory holds another study (with the difference), holds other files,
            or cannot be written.
    """
    bound = peek(study, path)
    if bound is None:
        fresh = Directory(Store(path), study, choose_layouts(study, announce))
        if fresh.store.create_manifest(_manifest(study, fresh.layouts)):
            return fresh
        # Somebody else was quicker: the directory is of that study and has that layout.
        bound = peek(study, path)
        if bound is None:
            raise InputError(
                f"output = {str(path)!r} was emptied while it was bound; run the same command again"
            )
    bound = _after_a_look(bound)
    manifest = _manifest(study, bound.layouts, bound.replicates_before)
    if manifest != bound.store.manifest():
        bound.store.write_manifest(manifest)
    return bound


def peek(study: Study, path: str | Path) -> Directory | None:
    """Return what `bind` would of a directory that holds the study; None if it is still free.

    Raises:
        InputError: if the directory holds another study or other files.
    """
    store = Store(path)
    # Looked for first: what a process that binds it at this moment adds comes after its manifest.
    others = _other_files(store.directory)
    manifest = store.manifest()
    if manifest is not None:
        layouts = _recorded(study, _sound(manifest, store), store.directory)
        return Directory(store, study, layouts, _before(manifest))
    if others:
        raise InputError(
            f"output = {str(store.directory)!r} holds other files ({others[0]!r}) and no jaxsim "
            "study; accepted: a new or empty directory"
        )
    return None


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
    manifest = _sound(manifest, store)
    study = Study.from_dict(manifest["study"], allow_code=allow_code, base=manifest["base"])
    return Directory(store, study, _recorded(study, manifest, store.directory), _before(manifest))


def _before(manifest: dict[str, Any]) -> tuple[int, ...]:
    """Return the numbers of replicates that were raised after results could be seen."""
    before = manifest.get("replicates_before", [])
    if not isinstance(before, list):
        return ()
    return tuple(n for n in before if type(n) is int and n > 0)


def _after_a_look(bound: Directory) -> Directory:
    """Return the directory, noting that its replicates are raised after a look at results.

    It is none if runs of the smaller plan were still missing, or if further runs depend on looks by
    design.
    """
    manifest = bound.store.manifest() or {}
    there = manifest.get("study", {}).get("replicates")
    spec = bound.study.spec
    if type(there) is not int or not there < spec.replicates or spec.until is not None:
        return bound
    if manifest["study"].get("until") is None:
        smaller = replace(bound, study=bound.study.replaced(replicates=there))
        if smaller.missing():
            return bound
    before = (*bound.replicates_before, there)
    return replace(bound, replicates_before=tuple(dict.fromkeys(before)))


def _sound(manifest: Any, store: Store) -> dict[str, Any]:
    """Return a manifest after checking what is read of it: anybody could have written it.

    Raises:
        InputError: if it is of an incompatible version, or not what we write.
    """
    version = manifest.get("schema") if isinstance(manifest, dict) else None
    if version is not None and version != VERSION:
        raise InputError(
            f"directory = {str(store.directory)!r} was written with schema {version!r}; accepted: "
            f"{VERSION!r}"
        )
    try:
        right = isinstance(manifest["study"], dict) and isinstance(manifest["base"], str | None)
        right &= isinstance(manifest["experiments"], list)
        for e in manifest["experiments"]:
            right &= isinstance(e["id"], str) and current_name(e["engine"]) in ENGINES
            right &= all(type(e[key]) is int and e[key] > 0 for key in ("width", "lanes", "shard"))
            right = right and e["width"] % e["lanes"] == 0 and e["shard"] % e["width"] == 0
    except (TypeError, KeyError):
        right = False
    if version is None or not right:
        raise InputError(
            f"{str(store.directory / MANIFEST)!r} cannot be read as a jaxsim study: it is not what "
            "jaxsim writes"
        )
    return manifest


def _manifest(
    study: Study, layouts: dict[str, Layout], replicates_before: tuple[int, ...] = ()
) -> dict[str, Any]:
    raised = {"replicates_before": list(replicates_before)} if replicates_before else {}
    return {
        "schema": VERSION,
        "jaxsim": jaxsim_version(),
        **raised,
        "study": study.spec.model_dump(mode="json"),
        "base": str(study.base) if study.base else None,
        "experiments": [
            {
                "id": e.id,
                "label": e.label,
                **asdict(layouts[e.id].config),
                "shard": layouts[e.id].shard,
                "checkpoints": list(e.checkpoints),
            }
            for e in study.experiments
        ],
    }


def _recorded(study: Study, manifest: dict[str, Any], directory: Path) -> dict[str, Layout]:
    """Return the layouts of a manifest if it is of this study."""
    differences = compare(resolved(manifest["study"]), study.spec.model_dump(mode="json"))
    execution = study.spec.execution
    recorded = {e["id"]: _layout(e) for e in manifest["experiments"]}
    for key in LAYOUT_KEYS:
        wanted = getattr(execution, key)
        begun_with = {current_name(e[key]) for e in manifest["experiments"]}
        if wanted != "auto" and begun_with != {wanted}:
            differences.append(f"execution.{key}: {sorted(begun_with)} there, {wanted} asked for")
    if not differences:
        differences += _error_rates(manifest["study"], study)
    if not differences and any(e.id not in recorded for e in study.experiments):
        differences += _spellings(manifest["study"], study.spec.model_dump(mode="json"))
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


def resolved(study: dict[str, Any]) -> dict[str, Any]:
    """Return the tables of a study with the defaults of keys that it is too old to know."""
    try:
        return study_spec(study).model_dump(mode="json")
    except InputError:
        return study


def _error_rates(there: dict[str, Any], study: Study) -> Iterator[str]:
    """Yield a line if a directory lacks error rates that the events need, or has them in vain."""
    try:
        known = any(event.of_error_rate for event in study_spec(there).asked)
    except InputError:
        return
    needed = any(event.of_error_rate for event in study.spec.asked)
    if needed and not known:
        yield "error rates, which these events need, are not recorded there"
    if known and not needed:
        yield (
            "error rates are recorded there, which these events do not need (ask for them with "
            "`jaxsim report --set`)"
        )


def _layout(recorded: dict[str, Any]) -> Layout:
    """Return the layout of an experiment in a manifest."""
    engine = current_name(recorded["engine"])
    return Layout(ExecutionConfig(engine, recorded["width"], recorded["lanes"]), recorded["shard"])


def compare(there: Any, here: Any, key: str = "") -> list[str]:
    """Return a line per key in which two resolved studies differ, analysis and layout aside."""
    if isinstance(there, dict) and isinstance(here, dict):
        differences = []
        for name in sorted(there.keys() | here.keys()):
            inner = f"{key}.{name}" if key else name
            if inner in ANALYSIS_KEYS or inner in [f"execution.{k}" for k in LAYOUT_KEYS]:
                continue
            differences += compare(there.get(name), here.get(name), inner)
        return differences
    return [] if there == here else [f"{key}: {there!r} there, {here!r} asked for"]


def _spellings(there: Any, here: Any, key: str = "") -> list[str]:
    """Return a line per key whose equal values are written differently, such as 1 and 1.0.

    An experiment is known by what is written.
    """
    if isinstance(there, dict) and isinstance(here, dict):
        inner = [(k, f"{key}.{k}" if key else k) for k in sorted(there.keys() & here.keys())]
        return [line for k, name in inner for line in _spellings(there[k], here[k], name)]
    if key in ANALYSIS_KEYS or there != here or canonical(there) == canonical(here):
        return []
    return [f"{key} is written {there!r} there, {here!r} here"]


def _other_files(directory: Path) -> list[str]:
    """Return the names of what is in a directory and not ours to find there before a study is.

    Raises:
        InputError: if it is a file, or cannot be listed.
    """
    # Of os.path: a name that no file can have (too long) is none here, and a sentence below.
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise InputError(f"output = {str(directory)!r} is a file; accepted: a directory")
    return [
        name
        for name in names_in(directory)
        if name[0] != "." and (name not in OUR_FOLDERS or (directory / name).is_symlink())
    ]
