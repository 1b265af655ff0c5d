"""A terminal of the tests: the side at which a person would sit, and a program on the other."""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from types import TracebackType
from typing import Any, Self

__all__ = ["Terminal"]

PATIENCE_SECONDS = 30.0


class Terminal:
    """Runs a program whose controlling terminal, stdin, stdout and stderr are a new pseudo-terminal."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], size: tuple[int, int] = (24, 80)
    ) -> None:
        self._near, self._far = pty.openpty()
        self.resize(*size)
        self.cooked = self.attributes()
        self.said = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], stdin=self._far, stdout=self._far, stderr=self._far, env=dict(environment)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._near)
        os.close(self._far)

    def attributes(self) -> list[Any]:
        """Give the settings of the terminal, as termios.tcgetattr does."""
        return termios.tcgetattr(self._far)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size; the program gets SIGWINCH."""
        ioctl(self._near, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._near, keys)

    def expect(self, text: bytes) -> bytes:
        """Read until `text` is on the screen; give what came up to its end, and forget that."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.said:
            assert time.monotonic() < deadline, f"{text!r} did not come, but {self.said!r}"
            self._read(0.2)
        before, _, self.said = self.said.partition(text)
        return before + text

    def end(self) -> int:
        """Read until the program has ended; give its exit code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"the program goes on, and said {self.said!r}"
            self._read(0.05)
        while self._read(0):
            continue
        return self.process.wait()

    def _read(self, timeout: float) -> bool:
        ready = bool(select.select([self._near], [], [], timeout)[0])
        if ready:
            self.said += os.read(self._near, 65536)
        return ready
