"""What is known of a container that has ended."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from pyrt.errors import ProcessFailed, ProcessTimeout
from pyrt.runtime.cgroups import Usage
from pyrt.runtime.exit import ExitCause, TimedOut
from pyrt.runtime.process import Timings

__all__ = ["Result"]


class Result(subprocess.CompletedProcess[Any]):
    """A subprocess.CompletedProcess (`args`, `returncode`, `stdout`, `stderr`), and more.

    `exit_cause` says how it ended, as one of Exited, Signalled, OutOfMemory, TimedOut, OutputLimit and Cancelled.
    `usage` is what it used, `effective` which limits were really enforced, `timings` how long each phase of the start
    took. `stdout_omitted_bytes` and `stderr_omitted_bytes` count what an output limit left out of the middle.
    """

    def __init__(
        self,
        args: Sequence[str],
        returncode: int,
        stdout: Any,
        stderr: Any,
        *,
        exit_cause: ExitCause,
        usage: Usage,
        effective: Mapping[str, object],
        timings: Timings,
        stdout_omitted_bytes: int = 0,
        stderr_omitted_bytes: int = 0,
    ) -> None:
        super().__init__(args, returncode, stdout, stderr)
        self.exit_cause = exit_cause
        self.usage = usage
        self.effective = effective
        self.timings = timings
        self.stdout_omitted_bytes = stdout_omitted_bytes
        self.stderr_omitted_bytes = stderr_omitted_bytes

    def check_returncode(self) -> None:
        """Raise ProcessTimeout or ProcessFailed unless the program ended by itself with 0."""
        message = f"{self.args[0]} {self.exit_cause}"
        if isinstance(self.exit_cause, TimedOut):
            raise ProcessTimeout(message, self, self.exit_cause.seconds)
        if self.returncode:
            raise ProcessFailed(message, self)

    def __repr__(self) -> str:
        outputs = f"stdout={shorten(self.stdout)}, stderr={shorten(self.stderr)}"
        return f"Result(args={self.args!r}, returncode={self.returncode}, {outputs}, exit_cause={self.exit_cause!r})"


def shorten(output: Any) -> str:
    """Give a representation that fits a line."""
    text = repr(output)
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"
