"""Logs as a monitor writes them."""

from __future__ import annotations

import json
import os
from itertools import takewhile
from pathlib import Path

from pyrt.state import stamp

__all__ = ["Writer", "json_line"]


def json_line(text: str, stream: str = "stdout", time_ns: int = 1_700_000_000_000_000_000) -> bytes:
    fields = {"log": text, "stream": stream, "time": stamp(time_ns)}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


class Writer:
    """Appends whole lines, and renames from the oldest on."""

    def __init__(self, directory: Path, files: int = 1000) -> None:
        self.path = directory / "log"
        self.files = files

    def write(self, *texts: str, stream: str = "stdout", time_ns: int = 1_700_000_000_000_000_000) -> None:
        self.raw(b"".join(json_line(text, stream, time_ns) for text in texts))

    def raw(self, content: bytes) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, content)
        os.close(fd)

    def rotate(self) -> None:
        numbers = takewhile(lambda number: self.at(number).exists(), range(1, self.files))
        for number in reversed(list(numbers)):
            self.at(number).rename(self.at(number + 1))
        self.at(self.files).unlink(missing_ok=True)
        self.path.rename(self.at(1))
        self.path.touch()

    def at(self, number: int) -> Path:
        return self.path.with_name(f"log.{number}")
