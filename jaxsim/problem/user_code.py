"""A user's own Python functions, named in a study as "module:function".

To import a module is to run it. A study that came from someone else must not run code of its own
accord, so that nothing is imported unless the user has said so.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jaxsim import session
from jaxsim.errors import InputError, reason
from jaxsim.problem import user_source
from jaxsim.problem.user_import import here, importing

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
    if session.is_text(reference):
        return session.object_of(reference, key)
    if not is_reference(reference):
        raise InputError(f'{key} = {reference!r} is not accepted: it should be "module:function"')
    if not allowed:
        raise InputError(
            f"{key} = {reference!r} runs code of that module, which is not allowed by default; if "
            "you trust this study, pass --allow-code (in Python: allow_code=True)"
        )
    module_name, _, name = reference.partition(":")
    if module_name == "__main__":
        raise InputError(
            f"{key} = {reference!r} is not accepted: what is typed in, or runs as a script, cannot "
            f"be imported by workers and reports; put {name!r} into a file of its own, such as "
            f'mine.py, and give "mine:{name}"'
        )
    module = _import(module_name, reference, key)
    if not hasattr(module, name):
        raise InputError(f"{key} = {reference!r}: module {module_name!r} has no {name!r}")
    value = getattr(module, name)
    if getattr(value, "__module__", None) == "__main__":
        raise InputError(
            f"{key} = {reference!r} was put into the module from outside; accepted: what its file "
            "defines or imports"
        )
    if not callable(value):
        raise InputError(
            f"{key} = {reference!r} is of type {type(value).__name__}; accepted: a function"
        )
    return value


def guarded(function: Callable[..., Any], said: str) -> Callable[..., Any]:
    """Return a user's function whose failures are sentences, wherever it is called or traced.

    Args:
        function: theirs.
        said: how a sentence begins: key and value of the study.

    Raises:
        InputError: when the returned function is called and theirs raises anything.
    """
    folder = here()

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            with importing(folder, user_source.is_own_file):  # theirs may import when it is called
                return function(*arguments, **options)
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            given = ", ".join(str(jnp.shape(a)) for a in arguments if hasattr(a, "shape"))
            place = f" on arrays of the shapes {given}" if given else ""
            raise InputError(
                f"{said} fails{place}: {reason(error)}; accepted: a pure function written with "
                "jax.numpy"
            ) from error

    return call


def identity_of(reference: str, key: str) -> list[str]:
    """Return the SHA-256 values that identify a "module:function", whose module is loaded.

    Raises:
        InputError: if nothing identifies it (see `user_source`).
    """
    try:
        with importing(here(), user_source.is_own_file):
            return user_source.digest(reference.partition(":")[0])
    except InputError as error:
        raise InputError(f"{key} = {reference!r}: {error}") from None


def _import(module_name: str, reference: str, key: str) -> Any:
    folder = here()
    importlib.invalidate_caches()
    before = set(sys.modules)
    try:
        with importing(folder, user_source.is_own_file):
            module = importlib.import_module(module_name)
        for name in set(sys.modules) - before:
            user_source.note_import(name)
        return module
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"{key} = {reference!r}: there is no module {error.name!r} in {folder} or among "
                "the installed packages"
            ) from None
        raise InputError(f"{key} = {reference!r} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:  # whatever a stranger's module raises
        raise InputError(f"{key} = {reference!r} cannot be imported: {reason(error)}") from error
