"""Runs Python as an ordinary user, for root: one that may read every file (so the interpreter) and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["USER_ID", "python_as_user"]

USER_ID = 61234
_TOP = Path(__file__).resolve().parents[1]
_BECOME = ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"]
_READ = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]


def python_as_user(program: str, *arguments: str | Path) -> str:
    """Run a Python program as the user; give its output, raise CalledProcessError where it fails."""
    command = [*_BECOME, *_READ, sys.executable, "-c", program, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(_TOP), "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd="/", env=environment).stdout
