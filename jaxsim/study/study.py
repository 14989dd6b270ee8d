"""A study: its checked tables and the experiments they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxsim import runtime, session
from jaxsim.arguments import flag
from jaxsim.arguments import path as path_of
from jaxsim.design.make import make_design
from jaxsim.design.post_strata import post_stratified
from jaxsim.design.stratum import Design
from jaxsim.errors import InputError
from jaxsim.notebook import MOST_SHOWN, html_table
from jaxsim.questions.published_number import Published
from jaxsim.questions.warnings import study_warnings
from jaxsim.study.build import build_experiment, require_askable
from jaxsim.study.catalogue import NAMES, ready_table
from jaxsim.study.expand import variations
from jaxsim.study.own_parts import Context
from jaxsim.study.published_numbers import published_numbers
from jaxsim.study.read import (
    changed,
    check,
    checked_settings,
    parse_setting,
    quick_table,
    read_table,
    study_spec,
)
from jaxsim.study.spec import QUESTIONS, StudySpec
from jaxsim.training.experiment import Experiment


@dataclass(frozen=True, repr=False)
class Study:
    """A named grid of experiments with seed, replicates, eps values and confidence level.

    Attributes:
        spec: the resolved tables.
        experiments: what they mean, in order.
        base: directory that relative paths of data files refer to.
        allow_code: whether "module:function" references may be imported.

    Example:
        >>> study = Study.load("quickstart", settings=["steps=100"])
        >>> len(study.experiments)
        11
    """

    spec: StudySpec
    experiments: tuple[Experiment, ...]
    base: Path | None = None
    allow_code: bool = False

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that a reader of the study's numbers should know."""
        return study_warnings(self.experiments)

    @cached_property
    def published(self) -> tuple[Published, ...]:
        """Numbers that others published of its experiments.

        Raises:
            InputError: if one is of several experiments, or of what is not recorded.
        """
        return published_numbers(self.spec.published, self.experiments)

    @cached_property
    def session_objects(self) -> list[str]:
        """Names of Python objects that were passed directly: nothing else can run the study."""
        return session.names_in(self.spec.model_dump(mode="json"))

    @property
    def own_code(self) -> bool:
        """Whether code of the user's own may be part of it, of which no digest tells."""
        return self.allow_code or bool(self.session_objects)

    @cached_property
    def designs(self) -> dict[str, Design]:
        """The strata of every experiment, by its id.

        Raises:
            InputError: if an experiment does not permit the design, with the reason.
        """
        return {e.id: make_design(self.spec.design.name, e) for e in self.experiments}

    def __repr__(self) -> str:
        """Return what is simulated, on one line."""
        count = len(self.experiments)
        steps = sorted({e.steps for e in self.experiments})
        said = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
        return (
            f"Study({self.spec.name!r}: {count:,} experiment{'s' * (count != 1)}, "
            f"{self.spec.replicates:,} replicates each, {said} steps)"
        )

    def _repr_html_(self) -> str:
        """Return the experiments as a table, for notebooks."""
        heads = ["experiment", "optimizer", "batch size", "parameters", "steps", "replicates"]
        rows = [
            [
                e.label, e.optimizer.name, str(e.batch_size), f"{e.network.size:,}",
                f"{e.steps:,}", f"{self.spec.replicates:,}",
            ]
            for e in self.experiments[:MOST_SHOWN]
        ]  # fmt: skip
        return html_table(
            heads, rows, self.spec.title or repr(self), len(self.experiments), texts=2
        )

    @classmethod
    def load(
        cls,
        source: str | Path,
        settings: Sequence[str] = (),
        allow_code: bool = False,
        quick: bool = False,
    ) -> Study:
        """Load a ready study by name or a study file by path, with `key=value` settings applied.

        Args:
            source: the name or the path.
            settings: "key=value" each.
            allow_code: whether "module:function" references may be imported.
            quick: whether the study's own smaller settings, its table [quick], are applied first;
                it is then another study, NAME-quick.

        Raises:
            InputError: if there is no such study or something in it is not accepted.
        """
        flag("allow_code", allow_code)
        flag("quick", quick)
        path = path_of("study", source, "the path of a study file, or a ready study")
        name = str(source)
        try:
            is_file = path.is_file()
        except OSError as error:
            raise InputError(f"study = {name!r} cannot be read: {error.strerror}") from None
        if is_file:
            table, base = read_table(path), path.resolve().parent
        elif name in NAMES:
            table, base = ready_table(name), None
        else:
            raise _no_study(name)
        if quick:
            table = quick_table(table, name)
        return cls.from_dict(table, settings, allow_code, base)

    @classmethod
    def from_dict(
        cls,
        table: Mapping[str, Any],
        settings: Sequence[str] = (),
        allow_code: bool = False,
        base: str | Path | None = None,
    ) -> Study:
        """Build a study from nested tables, as TOML would give them.

        Raises:
            InputError: if something in it is not accepted.
        """
        flag("allow_code", allow_code)
        spec = study_spec(table, settings)
        # Whole, so that it is the same folder wherever the study is opened again.
        folder = None if base is None else _whole(path_of("base", base))
        if folder is None and _names_files(spec.model_dump()):
            folder = Path.cwd()  # that the results can be read from elsewhere
        return cls._build(spec, allow_code, folder)

    def with_settings(self, settings: Sequence[str]) -> Study:
        """Return the study with `key=value` settings applied."""
        table = self.spec.model_dump(mode="json", exclude_unset=True)
        return self._build(study_spec(table, settings), self.allow_code, self.base)

    def replaced(self, **values: Any) -> Study:
        """Return the study with top-level keys replaced, e.g. `replicates=100`."""
        table = self.spec.model_dump(mode="json", exclude_unset=True)
        return self._build(check(changed(table, values.items())), self.allow_code, self.base)

    def with_questions(self, settings: Sequence[str]) -> Study:
        """Return the study with `key=value` settings that only ask something else of its runs.

        Raises:
            InputError: for any other key, or a value that is not accepted.
        """
        for text in checked_settings(settings):
            key, value = parse_setting(text)
            if key.split(".")[0] not in QUESTIONS:
                raise InputError(
                    f"--set {key} = {value!r} is not accepted here: it changes the runs, not what "
                    f"is asked of them; accepted: {', '.join(sorted(QUESTIONS))}"
                )
        table = self.spec.model_dump(mode="json", exclude_unset=True)
        spec = study_spec(table, settings)
        for experiment in self.experiments:
            has_pattern = experiment.activation_pattern
            require_askable(spec.asked, experiment.problem, experiment.network, has_pattern)
        asked = replace(self, spec=spec)
        asked._require_permitted()
        return asked

    @classmethod
    def _build(cls, spec: StudySpec, allow_code: bool, base: Path | None) -> Study:
        runtime.require_device()
        runtime.keep_compilations()
        context = Context(
            spec.seed, tuple(spec.paired), base, allow_code, spec.asked, tuple(spec.record)
        )
        built = [build_experiment(v, context) for v in variations(spec)]
        study = cls(spec, tuple(built), base, allow_code)
        study._require_permitted()
        return study

    def _require_permitted(self) -> None:
        """Say what cannot be answered before anything is run or read."""
        _ = self.published
        for experiment in self.experiments:
            if self.spec.post_stratify:
                post_stratified(experiment)
        if self.spec.design.name != "plain":
            _ = self.designs


def _no_study(name: str) -> InputError:
    parts = [known for known in NAMES if known.startswith(f"{name}/")]
    if parts:
        return InputError(
            f"study = {name!r} has several studies; accepted: one of {', '.join(parts)}"
        )
    return InputError(
        f"study = {name!r} is neither a file nor a ready study; accepted: the path of a TOML file, "
        f"or one of {', '.join(NAMES)}"
    )


def _whole(folder: Path) -> Path:
    try:
        return folder.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"base = {str(folder)!r} cannot be read: {error}") from None


def _names_files(table: Any) -> bool:
    """Return whether nested tables name a file by a relative path."""
    if isinstance(table, list):
        return any(_names_files(inner) for inner in table)
    if not isinstance(table, dict):
        return False
    path = table.get("path")
    relative = isinstance(path, str) and not Path(path).is_absolute()
    return relative or any(_names_files(inner) for inner in table.values())
