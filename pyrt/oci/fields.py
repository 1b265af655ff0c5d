"""Fields of foreign JSON: read with the type they must have, or refused with their name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pyrt.errors import InvalidSpec

__all__ = ["dump", "integer", "objects", "optional", "read_object", "string", "string_map", "strings"]

T = TypeVar("T")
_MAX_INTEGER = 2**63 - 1


def read_object(raw: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object; `what` names it in the error. Raises InvalidSpec, also for a name given twice."""
    try:
        document = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidSpec(f"{what} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidSpec(f"{what} is no JSON object")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of pairs; a name given twice would mean one thing to one reader and another to the next."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name is given twice")
    return document


def dump(document: Mapping[str, Any]) -> bytes:
    """Write a JSON object, the shortest way."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def optional(document: Mapping[str, Any], name: str, kind: type[T], default: T) -> T:
    """Give a field, or `default` where it is missing or null. Raises InvalidSpec for another type."""
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidSpec(f"{name} is not of type {kind.__name__}", argument=name)
    return value


def string(document: Mapping[str, Any], name: str) -> str:
    """Give a string that must be there."""
    value = document.get(name)
    if not isinstance(value, str):
        raise InvalidSpec("must be a string", argument=name)
    return value


def integer(document: Mapping[str, Any], name: str) -> int:
    """Give a count of bytes that must be there."""
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_INTEGER:
        raise InvalidSpec("must be a number of bytes", argument=name)
    return value


def strings(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Give a list of strings; missing is empty."""
    values = optional(document, name, list, [])
    if not all(isinstance(value, str) for value in values):
        raise InvalidSpec("must be a list of strings", argument=name)
    return tuple(values)


def string_map(document: Mapping[str, Any], name: str) -> dict[str, str]:
    """Give a map of strings; missing is empty."""
    values = optional(document, name, dict, {})
    if not all(isinstance(value, str) for value in values.values()):
        raise InvalidSpec("must be a map of strings", argument=name)
    return values


def objects(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Give a list of objects; missing is empty."""
    values = optional(document, name, list, [])
    if not all(isinstance(value, dict) for value in values):
        raise InvalidSpec("must be a list of objects", argument=name)
    return values
