"""The questions that every option asks of its value.

Each takes the value and the name of the option, gives the value in its one true type, and raises InvalidOption.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import NoReturn

from pyrt.errors import InvalidOption

__all__ = [
    "boolean",
    "container_path",
    "fail",
    "host_path",
    "integer",
    "mapping",
    "number",
    "sequence",
    "strings",
    "text",
]


def fail(argument: str, message: str) -> NoReturn:
    """Raise InvalidOption for one argument."""
    raise InvalidOption(message, argument=argument)


def text(value: object, argument: str) -> str:
    """Take text that the kernel can be given: no NUL, and bytes can be made of it (surrogateescape)."""
    if not isinstance(value, str):
        fail(argument, f"must be a str, not {type(value).__name__}")
    if "\0" in value:
        fail(argument, f"{value!r} contains a NUL character")
    if not value.isascii():
        try:
            value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            fail(argument, f"{value!r} cannot be encoded")
    return value


def boolean(value: object, argument: str) -> bool:
    """Take True or False, and nothing that merely looks like it."""
    if not isinstance(value, bool):
        fail(argument, f"must be True or False, not {value!r}")
    return value


def integer(value: object, argument: str, low: int, high: int = 2**63 - 1) -> int:
    """Take a whole number from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool):
        fail(argument, f"must be an int, not {type(value).__name__}")
    if not low <= value <= high:
        fail(argument, f"{value} is not between {low} and {high}")
    return value


def number(digits: str, argument: str) -> int:
    """Take the text of a whole number that is not negative: ASCII digits and nothing else."""
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        fail(argument, f"{digits!r} is not a whole number")
    return int(digits)


def sequence(value: object, argument: str) -> tuple[object, ...]:
    """Take a list or a tuple, of anything; None is an empty one.

    A bare str is refused: its characters are never what was meant.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        fail(argument, f"must be a list, not {type(value).__name__}")
    return tuple(value)


def strings(value: object, argument: str) -> tuple[str, ...]:
    """Take a list or a tuple of text; None is an empty one."""
    return tuple(text(item, argument) for item in sequence(value, argument))


def mapping(value: object, argument: str) -> dict[str, object]:
    """Take a mapping whose keys are text; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        fail(argument, f"must be a dict, not {type(value).__name__}")
    return {text(key, argument): item for key, item in value.items()}


def container_path(value: object, argument: str) -> str:
    """Take an absolute path in the container and give it without `.`, `..`, doubled or trailing slashes."""
    path = text(value, argument)
    if not path.startswith("/"):
        fail(argument, f"{path!r} is not an absolute path in the container")
    return "/" + posixpath.normpath(path).lstrip("/")


def host_path(value: object, argument: str) -> str:
    """Take an absolute path of the host (text or os.PathLike), which need not exist."""
    path = text(os.fspath(value) if isinstance(value, os.PathLike) else value, argument)
    if not path.startswith("/"):
        fail(argument, f"{path!r} is not an absolute path on the host")
    return path
