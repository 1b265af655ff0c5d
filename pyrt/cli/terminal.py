"""The terminal at which `pyrt run -t` was typed."""

from __future__ import annotations

import termios
import tty
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

__all__ = ["Raw"]


class Raw:
    """While it is entered, every key goes to the program: none is echoed, none is a signal here."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[Any] = []

    def __enter__(self) -> Self:
        self._saved = termios.tcgetattr(self._fd)
        self.set()
        return self

    def set(self) -> None:
        """Make it raw (again, where a shell has changed it while the command was stopped)."""
        tty.setraw(self._fd, termios.TCSANOW)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(termios.error):  # where it is gone, nothing is there to be restored
            termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
