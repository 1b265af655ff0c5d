"""A host program that forks, in a thread of its own, while containers start."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pyrt


def test_a_fork_during_a_start_does_not_hold_it_up(tmp_path: Path, rootfs: Path) -> None:
    stop = threading.Event()
    children: list[int] = []

    def fork() -> None:
        while not stop.is_set() and len(children) < 40:
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            children.append(pid)

    with pyrt.Engine(root=tmp_path) as engine:
        forker = threading.Thread(target=fork)
        forker.start()
        try:
            for _ in range(40):
                assert engine.run(f"rootfs:{rootfs}", ["true"], timeout=60).returncode == 0
        finally:
            stop.set()
            forker.join()
            for pid in children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
