"""Host programs of their own for tests, and what can be seen of them from outside."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pyrt import Process

__all__ = ["TOP", "eventually", "processes_in", "processes_with", "read_until", "run_python"]

TOP = str(Path(__file__).resolve().parents[1])


def run_python(program: str, *arguments: str | Path) -> str:
    """Run a host program of its own, with warnings as errors; give what it prints."""
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": TOP}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds; fail with `what` where it never does."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def read_until(process: Process, wanted: bytes) -> bytes:
    """Read a container's output until it has `wanted` in it; give all that came."""
    assert process.stdout is not None
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready, f"only {seen!r} came"
        seen += os.read(process.stdout.fileno(), 4096)
    return seen


def processes_with(mark: str) -> list[int]:
    """Give the processes with a text in their arguments."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdecimal() and mark.encode() in Path("/proc", entry, "cmdline").read_bytes():
                found.append(int(entry))
        except OSError:  # it has ended meanwhile
            continue
    return found


def processes_in(namespace: str) -> list[int]:
    """Give the processes in a PID namespace, which is named as in /proc/PID/ns/pid."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdecimal() and os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                found.append(int(entry))
        except OSError:
            continue
    return found
