"""Other processes that a test starts: each runs a few lines of Python, and is gone when the test is."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["child", "in_fork"]

_TOP = Path(__file__).resolve().parents[3]


@contextmanager
def child(program: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program with `sys` and `os` at hand; its input and output are pipes. Kill it at the end."""
    command = [sys.executable, "-c", f"import os, sys\n{program}", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=_TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def in_fork(work: Callable[[], object]) -> int:
    """Run a function in a forked child; give the status it ends with, 0 where the function returned."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
