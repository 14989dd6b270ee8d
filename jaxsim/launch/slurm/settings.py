"""What is asked of a cluster: the user's own file, the study's [slurm] table, options.

Later ones win. The user's file, ~/.config/jaxsim/slurm.toml, holds what a site always wants. Keys
of a study that could run code (`FOREIGN`) need permission, as its Python does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from jaxsim.errors import InputError
from jaxsim.study.read import read_table
from jaxsim.study.slurm_spec import SlurmSpec, current_slurm_keys

FOREIGN = ("container", "modules", "environment", "options", "python")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def user_file() -> Path:
    """Return where the user's own settings are."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "jaxsim" / "slurm.toml"


def slurm_settings(
    study: SlurmSpec, options: Mapping[str, Any], allow_code: bool = False
) -> SlurmSpec:
    """Return the settings of a launch.

    Args:
        study: the study's own table.
        options: of the command line, None where not given.
        allow_code: whether the study may say what runs.

    Raises:
        InputError: for a key or value that is not accepted, and for keys of the study that need
            permission.
    """
    stated = {k: v for k, v in study.model_dump().items() if v is not None}
    for key in FOREIGN:
        if key in stated and not allow_code:
            raise InputError(
                f"slurm.{key} in the study is not accepted without permission, for it can run "
                f"code: give --allow-code, or put it into {user_file()}"
            )
    given = {k: v for k, v in options.items() if v is not None and v != []}
    table: dict[str, Any] = {}
    for layer in (_site(), stated, given):
        # Two ways to ask for GPUs: the later one stands alone.
        if "gpus" in layer and asks_for_gpus(table.get("gres")):
            del table["gres"]
        if asks_for_gpus(layer.get("gres")):
            table.pop("gpus", None)
        table |= layer
    try:
        settings = SlurmSpec.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:1])
        accepted = SlurmSpec.model_fields.get(key)
        if accepted is None:
            names = ", ".join(SlurmSpec.model_fields)
            raise InputError(f"slurm.{key} is not known; accepted: {names}") from None
        raise InputError(
            f"slurm.{key} = {table[key]!r} is not accepted ({first['msg']}): {accepted.description}"
        ) from None
    for name in settings.environment or {}:
        if not _NAME.fullmatch(name):
            raise InputError(
                f"slurm.environment: {name!r} is not the name of an environment variable"
            )
    for option in settings.options or []:
        if not option.startswith("--") or "\n" in option:
            raise InputError(
                f"slurm.options: {option!r} is not accepted; accepted: one option of sbatch each, "
                'as "--exclude=node7"'
            )
        # Slurm takes abbreviations, too.
        name = re.split("[= ]", option[2:])[0]
        if len(name) > 1 and "output".startswith(name):
            raise InputError(
                f"slurm.options: {option!r} is not accepted: what jobs print is kept with the "
                "results, in launch/logs; accepted: other options of sbatch"
            )
    return settings


def asks_for_gpus(gres: Any) -> bool:
    """Return whether a list of generic resources holds GPUs, as "gpu:a100:1,lustre:1" does."""
    return isinstance(gres, str) and any(
        re.fullmatch(r"(gres[:/])?gpu([:=].*)?", part) for part in gres.split(",")
    )


def _site() -> dict[str, Any]:
    """Return the user's own settings."""
    path = user_file()
    try:
        return current_slurm_keys(read_table(path, "settings")) if path.is_file() else {}
    except OSError as error:
        raise InputError(f"settings = {str(path)!r} cannot be read: {error.strerror}") from None
    except PydanticCustomError as error:
        raise InputError(f"settings = {str(path)!r} are not accepted: {error}") from None


def variables(given: Sequence[str]) -> dict[str, str] | None:
    """Return NAME=VALUE options as a table, None for none.

    Raises:
        InputError: for one without a name and a value.
    """
    environment = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise InputError(f"--env {text!r} is not accepted; accepted: NAME=VALUE")
        environment[name] = value
    return environment or None


def seconds_of(time: str) -> int:
    """Return a time as Slurm writes it (MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM, ...) in seconds.

    Example:
        >>> seconds_of("90"), seconds_of("1:30"), seconds_of("01:00:00"), seconds_of("1-12")
        (5400, 90, 3600, 129600)
    """
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, minutes, seconds = 0, parts[0], [*parts, 0][1]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
