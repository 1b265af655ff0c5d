"""Keys of active snapshots: plain names, that may become names of directories."""

from __future__ import annotations

import re

from pyrt.errors import InvalidOption

__all__ = ["check_key", "check_lower"]

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def check_key(key: str) -> None:
    """Raise InvalidOption unless `key` is 1 to 128 letters, digits, `_`, `.` and `-`, the first a letter or digit."""
    if not _KEY.fullmatch(key):
        raise InvalidOption(f"{key!r} is no plain name of up to 128 letters, digits, `_`, `.` and `-`", argument="key")


def check_lower(lower: str, argument: str = "lower") -> None:
    """Raise InvalidOption unless `lower` is an absolute path."""
    if not lower.startswith("/") or "\0" in lower:
        raise InvalidOption(f"{lower!r} is not an absolute path", argument=argument)
