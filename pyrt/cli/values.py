"""What stands behind a flag, as the value that its option takes.

Each function takes the text and the name of the flag, gives the value and raises InvalidOption, which names the flag.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pyrt.container import Mount, parse_env, parse_env_file, parse_mount, parse_signal, parse_size, parse_volume
from pyrt.errors import InvalidOption

__all__ = [
    "bind",
    "environment",
    "environment_file",
    "integer",
    "label_file",
    "mount",
    "number",
    "pair",
    "plain",
    "seconds",
    "signal",
    "size",
    "stream",
    "swap",
    "user",
]


def plain(text: str, name: str) -> str:
    """Take any text."""
    return text


def integer(text: str, name: str) -> int:
    """Take a whole number."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise InvalidOption(f"{text!r} is not a whole number", argument=name)
    return int(text)


def number(text: str, name: str) -> float:
    """Take a decimal number that is not negative: `1.5`."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 30):
        raise InvalidOption(f"{text!r} is not a number", argument=name)
    return float(text)


def seconds(text: str, name: str) -> float:
    """Take a duration in seconds."""
    return number(text, name)


def size(text: str, name: str) -> int:
    """Take bytes, or a number and a unit: `256m`."""
    return parse_size(text, argument=name)


def swap(text: str, name: str) -> int:
    """Take a size, or -1 for no limit."""
    return -1 if text == "-1" else size(text, name)


def signal(text: str, name: str) -> int:
    """Take a signal by name or number."""
    return parse_signal(text, argument=name)


def user(text: str, name: str) -> str | None:
    """Take a user; empty text is as good as none, as in docker."""
    return text or None


def environment(text: str, name: str) -> Mapping[str, str | None]:
    """Take `NAME=value`; a name alone takes the value from here, and goes where there is none here."""
    found = parse_env([text], argument=name)
    return {key: os.environ.get(key) if value is None else value for key, value in found.items()}


def environment_file(path: str, name: str) -> Mapping[str, str | None]:
    """Take the variables of a file."""
    return dict(parse_env_file(_read(path, name), os.environ, argument=f"{name} {path}"))


def label_file(path: str, name: str) -> list[str]:
    """Take the labels of a file, one on each line."""
    lines = [line.strip() for line in _read(path, name).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def pair(text: str, name: str) -> tuple[str, str]:
    """Take `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InvalidOption(f"{text!r} is not KEY=VALUE", argument=name)
    return key, value


def bind(text: str, name: str) -> Mount:
    """Take a volume in docker's short form, which makes the directory of the host where there is none."""
    source, colon, rest = text.partition(":")
    found = parse_volume(f"{_absolute(source)}:{rest}" if colon else text, argument=name)
    return replace(found, create_source=found.type == "bind")


def mount(text: str, name: str) -> Mount:
    """Take a mount in docker's long form."""
    found = parse_mount(text, argument=name)
    if found.type != "bind" or found.source is None:
        return found
    return replace(found, source=_absolute(os.fspath(found.source)))


def stream(text: str, name: str) -> Literal["stdin", "stdout", "stderr"]:
    """Take the name of a standard stream."""
    match text.lower():
        case "stdin" | "stdout" | "stderr" as found:
            return found
    raise InvalidOption(f"{text!r} is none of stdin, stdout and stderr", argument=name)


def _absolute(path: str) -> str:
    """Give a path that begins with a dot as an absolute one; other words without a slash are names of volumes."""
    return os.path.abspath(path) if path in (".", "..") or path.startswith(("./", "../")) else path


def _read(path: str, name: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise InvalidOption(f"cannot read {path}: {error.strerror}", argument=name) from error
    except UnicodeDecodeError as error:
        raise InvalidOption(f"{path} is not UTF-8: {error.reason} at byte {error.start}", argument=name) from error
