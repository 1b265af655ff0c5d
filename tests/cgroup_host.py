"""What the tests of cgroups share: a layout of this host, and programs that join a cgroup."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyrt.runtime.cgroups import Cgroup, Layout, sweep

__all__ = ["VERSIONS", "directories", "eventually", "layout_of", "run", "running", "start", "text"]

VERSIONS = [
    pytest.param("v1", marks=pytest.mark.needs("cgroup_v1")),
    pytest.param("v2", marks=pytest.mark.needs("cgroup_v2")),
]
JOIN = """
for fd in $JOIN; do echo 0 >/proc/self/fd/$fd || exit 99; done
[ -z "$INTO" ] || echo 0 >/proc/self/fd/$INTO/cgroup.procs || exit 99
exec "$@"
"""


@contextmanager
def layout_of(version: str) -> Iterator[Layout]:
    """Give the layout of this host, which must be of this version, with a top of its own that is cleared at the end."""
    found = Layout.detect(top=f"pyrt-test-{os.getpid()}")
    assert found.kind in {"v1": ("v1", "hybrid"), "v2": ("v2",)}[version]
    try:
        yield found
    finally:
        sweep(found)


def start(cgroup: Cgroup, *command: str, **options: Any) -> subprocess.Popen[str]:
    """Start a program in the cgroup; it joins as the only thread of its process, before it executes."""
    fds = [fd for fd in (cgroup.into_fd, *cgroup.join_fds) if fd >= 0]
    environment = {"JOIN": " ".join(map(str, cgroup.join_fds)), "INTO": str(max(cgroup.into_fd, 0) or "")}
    return subprocess.Popen(
        ["/bin/sh", "-c", JOIN, "sh", *command],
        pass_fds=fds,
        env=os.environ | environment,
        text=True,
        **options,
    )


def run(cgroup: Cgroup, script: str) -> subprocess.CompletedProcess[str]:
    with start(cgroup, "/bin/sh", "-c", script, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(script, process.returncode, stdout, stderr)


@contextmanager
def running(cgroup: Cgroup, script: str) -> Iterator[subprocess.Popen[str]]:
    with start(cgroup, "/bin/sh", "-c", script) as process:
        try:
            eventually(lambda: process.pid in cgroup.pids())
            yield process
        finally:
            cgroup.kill()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


def text(cgroup: Cgroup, *files: str) -> str:
    """Give the first of these files that a directory of the cgroup has."""
    paths = [Path(place.directory, file) for file in files for place in cgroup.places]
    return next(path.read_text().strip() for path in paths if path.exists())


def directories(layout: Layout, name: str) -> list[str]:
    return [
        str(found) for each in layout.hierarchies for found in Path(each.base or "").glob(f"{layout.top}*/**/{name}")
    ]
