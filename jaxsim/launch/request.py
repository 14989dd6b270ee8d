"""A study handed to another process: as text, or left in DIR/launch/study.json for a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxsim.errors import InputError
from jaxsim.results.files import create_atomically, read_regular, write_atomically
from jaxsim.study.study import Study


def pack(study: Study) -> str:
    """Return a study as text."""
    base = str(study.base) if study.base else None
    return json.dumps({"study": study.spec.model_dump(mode="json"), "base": base}, indent=2) + "\n"


def unpack(text: str, allow_code: bool) -> Study:
    """Return the study of a text; whether its code may run is not the text's to say."""
    request = json.loads(text)
    return Study.from_dict(request["study"], allow_code=allow_code, base=request["base"])


def create_request(directory: Path, study: Study) -> bool:
    """Leave a study where none was left; return False if somebody else has just left one.

    Raises:
        InputError: if the directory cannot be written.
    """
    return create_atomically(_path(directory), pack(study).encode())


def write_request(directory: Path, study: Study) -> None:
    """Leave a study in the place of the one that was left.

    Raises:
        InputError: if the directory cannot be written.
    """
    write_atomically(_path(directory), pack(study).encode())


def read_request(directory: Path, allow_code: bool) -> Study:
    """Return the study that was left.

    Raises:
        InputError: if there is none.
    """
    try:
        return unpack(read_regular(_path(directory)), allow_code)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{str(_path(directory))!r} cannot be read: {error}") from None


def left_study(directory: Path) -> dict[str, Any] | None:
    """Return the tables of the study that was left, None if there is none that can be read."""
    try:
        study = json.loads(read_regular(_path(directory)))["study"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return study if isinstance(study, dict) else None


def _path(directory: Path) -> Path:
    return directory / "launch" / "study.json"
