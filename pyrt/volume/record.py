"""What is known of one volume, and the names that volumes can have."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrt.errors import InvalidOption

__all__ = ["VERSION", "VolumeRecord", "check_labels", "check_name", "new_name"]

VERSION = 1
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")  # docker's
_LONGEST = 255  # bytes of a file name: each volume has a directory of its name


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """One volume. `is_anonymous`: nobody chose its name. `is_passing`: it goes with the container it was made for.

    `snapshot_of` is the name of the volume that this one shows as it was; containers can only read it. It is empty for
    others.
    """

    name: str
    driver: str
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    created_ns: int = 0
    is_anonymous: bool = False
    is_passing: bool = False
    snapshot_of: str = ""

    def to_record(self) -> dict[str, Any]:
        """Give the form that is kept."""
        return {
            "name": self.name,
            "driver": self.driver,
            "options": _packed(self.options),
            "labels": _packed(self.labels),
            "created": self.created_ns,
            "anonymous": self.is_anonymous,
            "passing": self.is_passing,
            "snapshot_of": self.snapshot_of,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> VolumeRecord:
        """Read the form that is kept."""
        return cls(
            record["name"],
            record["driver"],
            _unpacked(record["options"]),
            _unpacked(record["labels"]),
            record["created"],
            record["anonymous"],
            record["passing"],
            record["snapshot_of"],
        )


def check_name(name: object, argument: str = "volume") -> str:
    """Take the name of a volume: no path, and no name of a file that begins with a dot. Raises InvalidOption."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _LONGEST:
        reason = f"2 to {_LONGEST} letters, digits, `_`, `.`, `-`, the first a letter or digit"
        raise InvalidOption(f"{name!r} is no name of a volume: {reason}", argument=argument)
    return name


def new_name() -> str:
    """Give the name of an anonymous volume: 64 hexadecimal digits."""
    return os.urandom(32).hex()


def check_labels(given: object, argument: str = "labels") -> dict[str, str]:
    """Take labels or options, {"key": "value"}; None is none. Raises InvalidOption."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidOption(f"must be a dict, not {type(given).__name__}", argument=argument)
    for key, value in given.items():
        for text in (key, value):
            if not isinstance(text, str) or "\0" in text:
                raise InvalidOption(f"{key!r}: {value!r} is not text for text without NUL", argument=argument)
        if not key:
            raise InvalidOption("a key is empty", argument=argument)
    return dict(given)


def _packed(texts: Mapping[str, str]) -> dict[bytes, bytes]:
    """Give bytes, for paths need not be UTF-8."""
    return {os.fsencode(key): os.fsencode(value) for key, value in texts.items()}


def _unpacked(packed: Mapping[bytes, bytes]) -> dict[str, str]:
    return {os.fsdecode(key): os.fsdecode(value) for key, value in packed.items()}
