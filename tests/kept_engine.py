"""An engine with an image of busybox in its store, for containers that are kept."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyrt import Container, Engine, Image, NotFound
from pyrt.layer import write
from pyrt.runtime.protocol import MonitorState

__all__ = ["FOREVER", "IMAGE", "descriptors", "is_dead", "kept_engine", "log", "monitor", "place", "sh"]

IMAGE = "example.org/box:1"
FOREVER = ["sleep", "1000"]


@contextmanager
def kept_engine(directory: Path, rootfs: Path) -> Iterator[Engine]:
    """Give the engine; all that it holds is removed at the end, whoever that belongs to."""
    root = Path(tempfile.mkdtemp(prefix="engine-", dir=directory))
    root.chmod(0o711)
    with Engine(root) as engine:
        data = io.BytesIO(b"".join(write(str(rootfs), uids=[(0, os.geteuid(), 1)], gids=[(0, os.getegid(), 1)])))
        engine.images.import_tar(data, IMAGE, changes=["CMD echo hello", "ENV A=1"])
        try:
            yield engine
        finally:
            for container in engine.containers.list(all=True):
                try:
                    container.remove(force=True)
                except NotFound:
                    continue
            engine.images.prune(all=True)
    shutil.rmtree(root)


def sh(script: str) -> list[str]:
    """Give the words that run a script."""
    return ["sh", "-c", script]


def place(engine: Engine, container: Container[Image]) -> Path:
    """Give the directory of a container."""
    return engine.root / "containers" / container.id


def log(engine: Engine, container: Container[Image]) -> list[dict[str, str]]:
    """Give the lines of a container's log."""
    return [json.loads(line) for line in (place(engine, container) / "log").read_text().splitlines()]


def is_dead(process: int) -> bool:
    """Say whether a process has ended, be it reaped or not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def monitor(engine: Engine, container: Container[Image]) -> int:
    """Give the pid of a container's monitor."""
    state = MonitorState.read(str(place(engine, container)))
    assert state is not None
    return state.monitor


def descriptors(pid: int) -> int:
    """Count the open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))
