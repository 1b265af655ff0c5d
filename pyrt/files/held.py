"""Open files of a container, which hold what they are of, and the builtin open()'s modes and layers."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import IO, Any

__all__ = ["HeldFile", "dressed", "flags_of"]

_MODES = {
    "r": os.O_RDONLY,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
}


class HeldFile(io.FileIO):
    """A file of a container, which is held for as long as it is open."""

    def __init__(self, fd: int, mode: str, release: Callable[[], None]) -> None:
        super().__init__(fd, mode)
        self._release: Callable[[], None] | None = release

    def close(self) -> None:
        """Close it, and let go of what it is of."""
        try:
            super().close()
        finally:
            release, self._release = self._release, None
            if release is not None:
                release()


def flags_of(mode: str) -> int:
    """Give open(2)'s flags for a mode of the builtin open(). Raises ValueError."""
    kinds = [letter for letter in mode if letter in _MODES]
    if len(kinds) != 1 or len(set(mode)) != len(mode) or set(mode) - set("rwaxbt+") or {"b", "t"} <= set(mode):
        raise ValueError(f"{mode!r} is no mode of open()")
    flags = _MODES[kinds[0]]
    return (flags & ~os.O_ACCMODE) | os.O_RDWR if "+" in mode else flags


def dressed(
    raw: io.FileIO, mode: str, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> IO[Any]:
    """Put the layers of the builtin open() around a file."""
    try:
        is_text = "b" not in mode
        if is_text and buffering == 0:
            raise ValueError("text has to be buffered")
        if not is_text and buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        if "+" in mode:
            buffered: io.BufferedRandom | io.BufferedReader | io.BufferedWriter = io.BufferedRandom(raw, size)
        else:
            buffered = io.BufferedReader(raw, size) if "r" in mode else io.BufferedWriter(raw, size)
        if not is_text:
            return buffered
        return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline, line_buffering=buffering == 1)
    except BaseException:
        raw.close()
        raise
