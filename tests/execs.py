"""Containers that wait for further programs, and what these say."""

from __future__ import annotations

import subprocess
from typing import Any

from pyrt import Process
from tests.containers import Shell
from tests.hosts import read_until

__all__ = ["IDLE", "idle", "says"]

IDLE = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"


def idle(shell: Shell, **options: Any) -> Process:
    """Start a container that waits for SIGTERM; it is up when this returns."""
    process = shell.start(IDLE, stdout=subprocess.PIPE, **options)
    read_until(process, b"up\n")
    return process


def says(process: Process, script: str, **options: Any) -> str:
    """Run a script that must end well; give what it says."""
    code, output = process.exec_run(["sh", "-ec", script], **options)
    assert code == 0, output
    return str(output.decode()).strip()
