"""A user's own Python functions, named in a study as "module:function".

To import a module is to run it. A study that came from someone else must not run code of its own
accord, so that nothing is imported unless the user has said so.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxsim.errors import InputError

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_reference(text: Any) -> bool:
    """Return whether a value is of the form "module:function".

    Example:
        >>> is_reference("my_study.targets:wave"), is_reference("x**2")
        (True, False)
    """
    return isinstance(text, str) and _REFERENCE.fullmatch(text) is not None


def load(reference: str, key: str, allowed: bool) -> Callable[..., Any]:
    """Return the function that "module:function" names.

    The module is looked up as `import` does, with the current directory first.

    Args:
        reference: "module:function".
        key: where it stands in the study, for error messages.
        allowed: whether the user lets this study run code.

    Raises:
        InputError: if it is not allowed, not of that form, not found, fails or is not callable.
    """
    if not is_reference(reference):
        raise InputError(f'{key} = {reference!r} is not accepted: it should be "module:function"')
    if not allowed:
        raise InputError(
            f"{key} = {reference!r} runs code of that module, which is not allowed by default; if "
            "you trust this study, pass --allow-code (in Python: allow_code=True)"
        )
    module_name, _, name = reference.partition(":")
    module = _import(module_name, reference, key)
    if not hasattr(module, name):
        raise InputError(f"{key} = {reference!r}: module {module_name!r} has no {name!r}")
    found = getattr(module, name)
    if not callable(found):
        raise InputError(
            f"{key} = {reference!r} is of type {type(found).__name__}; accepted: a function"
        )
    return found


def source_of(reference: str) -> bytes:
    """Return the source of the loaded module of a "module:function"; empty if it has no file."""
    path = getattr(sys.modules[reference.partition(":")[0]], "__file__", None)
    return Path(path).read_bytes() if path else b""


def _import(module_name: str, reference: str, key: str) -> Any:
    here = os.getcwd()
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"{key} = {reference!r}: there is no module {error.name!r} in {here} or among the "
                "installed packages"
            ) from None
        raise InputError(f"{key} = {reference!r} cannot be imported: {error}") from error
    except Exception as error:  # whatever a stranger's module raises
        raise InputError(
            f"{key} = {reference!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        if here in sys.path:
            sys.path.remove(here)
