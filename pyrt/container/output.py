"""Waiting for a container that is kept, with all that it writes."""

from __future__ import annotations

import subprocess
from typing import Any

from pyrt.container.container import Container
from pyrt.errors import ProcessFailed

__all__ = ["output_of"]


def output_of(container: Container[Any], *, stdout: bool, stderr: bool) -> bytes:
    """Start a container, wait for its end, and give what it has written. Raises ProcessFailed for a code but 0."""
    written: list[tuple[str, bytes]] = []
    with container.start(attach=True) as attachment:
        written += attachment
    code = attachment.exit_code
    if code is None:  # its monitor is gone
        code = int(container.wait()["StatusCode"])
    if code:
        outs, errs = (b"".join(piece for name, piece in written if name == which) for which in ("stdout", "stderr"))
        result = subprocess.CompletedProcess(list(container.command), code, outs, errs)
        raise ProcessFailed(f"{container.command[0]} in container {container.name} exited with {code}", result)
    wanted = {"stdout": stdout, "stderr": stderr}
    return b"".join(piece for name, piece in written if wanted[name])
