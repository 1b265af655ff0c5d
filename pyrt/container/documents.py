"""The options of a container as a document that can be kept, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

from pyrt.container.checks import fail
from pyrt.container.create_options import CreateOptions
from pyrt.container.mount import Mount
from pyrt.container.ulimits import Ulimit
from pyrt.runtime.bundle import Landlock

__all__ = ["options_from_document", "options_to_document"]

_VALUES = {each.__name__: each for each in (Mount, Ulimit, Landlock)}
_TYPE = "$"  # names the type of a value; no option has such a key
_OF_THE_CALL = frozenset({"pull", "platform", "on_progress", "remove", "name"})


def options_to_document(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give what describes the container, without what was about the call that made it. Raises InvalidOption."""
    return {
        name: _encode(value, name) for name, value in options.items() if value is not None and name not in _OF_THE_CALL
    }


def options_from_document(document: Mapping[str, Any]) -> CreateOptions:
    """Give the options again."""
    return cast(CreateOptions, {name: _decode(value) for name, value in document.items()})


def _encode(value: Any, argument: str) -> Any:
    if value is None or isinstance(value, bool | int | float | bytes):
        return value
    if isinstance(value, str | os.PathLike):
        return _text(os.fspath(value))
    if isinstance(value, Mapping):
        return {_encode(key, argument): _encode(each, argument) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [_encode(each, argument) for each in value]
    if is_dataclass(value) and type(value).__name__ in _VALUES:
        found = {each.name: _encode(getattr(value, each.name), argument) for each in fields(value)}
        return {_TYPE: type(value).__name__, **found}
    fail(argument, f"{type(value).__name__} is nothing that can be kept")


def _decode(value: Any) -> Any:
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, list):
        return tuple(_decode(each) for each in value)
    if not isinstance(value, dict):
        return value
    found = {_decode(key): _decode(each) for key, each in value.items()}
    name = found.pop(_TYPE, None)
    return found if name is None else _VALUES[name](**found)


def _text(text: str | bytes) -> str | bytes:
    """Give bytes for what has surrogates in the place of bytes of no encoding."""
    if isinstance(text, bytes):
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text
