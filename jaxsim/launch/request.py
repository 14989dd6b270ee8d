"""A study left in a directory for the nodes to prepare: DIR/launch/study.json."""

from __future__ import annotations

import json
from pathlib import Path

from jaxsim.errors import InputError
from jaxsim.results.files import write_atomically
from jaxsim.study.study import Study


def write_request(directory: Path, study: Study) -> None:
    """Leave a study.

    Raises:
        InputError: if the directory cannot be written.
    """
    request = {
        "study": study.spec.model_dump(mode="json"),
        "base": str(study.base) if study.base else None,
    }
    write_atomically(_path(directory), (json.dumps(request, indent=2) + "\n").encode())


def read_request(directory: Path, allow_code: bool) -> Study:
    """Return the study that was left.

    Raises:
        InputError: if there is none.
    """
    try:
        request = json.loads(_path(directory).read_text(encoding="utf-8"))
        table, base = request["study"], request["base"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{str(_path(directory))!r} cannot be read: {error}") from None
    return Study.from_dict(table, allow_code=allow_code, base=base)


def _path(directory: Path) -> Path:
    return directory / "launch" / "study.json"
