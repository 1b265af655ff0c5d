"""Keys of active snapshots: plain names, that may become names of directories. And what they are views of."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyrt.errors import InvalidOption

__all__ = ["MAX_LOWERS", "check_key", "check_lowers"]

MAX_LOWERS = 500  # OVL_MAX_STACK of the kernel
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def check_key(key: str) -> None:
    """Raise InvalidOption unless `key` is 1 to 128 letters, digits, `_`, `.` and `-`, the first a letter or digit."""
    if not _KEY.fullmatch(key):
        raise InvalidOption(f"{key!r} is no plain name of up to 128 letters, digits, `_`, `.` and `-`", argument="key")


def check_lowers(lowers: Sequence[str]) -> None:
    """Raise InvalidOption unless `lowers` are 1 to 500 absolute paths."""
    if isinstance(lowers, str) or not 0 < len(lowers) <= MAX_LOWERS:
        count = "one text" if isinstance(lowers, str) else len(lowers)
        raise InvalidOption(f"a view has 1 to {MAX_LOWERS} lower directories, not {count}", argument="lowers")
    for lower in lowers:
        if not lower.startswith("/") or "\0" in lower:
            raise InvalidOption(f"{lower!r} is not an absolute path", argument="lowers")
