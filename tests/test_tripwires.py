"""The tripwires trip: a leak of each kind is named, and ends with what held it."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.gates import GATES, must_work, why_shut
from tests.tripwires import Held, leaks_since


def leaks_now(before: Held, kind: str) -> list[str]:
    """Name the leaks of one kind: other programs may make mounts and cgroups meanwhile."""
    return [leak for leak in leaks_since(before, grace_seconds=0) if leak.startswith(f"{kind} ")]


def test_an_open_descriptor_is_named() -> None:
    before = Held.now()

    with open("/dev/null") as null:
        assert leaks_now(before, "descriptor") == [f"descriptor {null.fileno()} -> /dev/null"]
    assert leaks_now(before, "descriptor") == []


def test_a_child_and_a_zombie_are_named() -> None:
    before = Held.now()

    with subprocess.Popen(["sleep", "60"]) as child:
        running = leaks_now(before, "child process")
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        dead = leaks_now(before, "child process")

    assert [leak.split()[:3] for leak in running] == [["child", "process", str(child.pid)]]
    assert len(dead) == 1 and dead[0].endswith("(zombie)")
    assert leaks_now(before, "child process") == []


def test_a_descriptor_that_goes_within_the_grace_is_no_leak() -> None:
    before = Held.now()
    reader, writer = os.pipe()
    os.close(writer)
    closing = threading.Timer(0.1, os.close, [reader])
    closing.start()

    assert leaks_since(before, grace_seconds=10) == []
    closing.join()


@pytest.mark.needs("root", "cgroup_v1")
def test_a_cgroup_is_named() -> None:
    before = Held.now()
    group = Path(f"/sys/fs/cgroup/pids/pyrt-tripwire-{os.getpid()}")

    group.mkdir()
    try:
        assert f"cgroup {group}" in leaks_now(before, "cgroup")
    finally:
        group.rmdir()


@pytest.mark.needs("root")
def test_a_mount_is_named(tmp_path: Path) -> None:
    before = Held.now()

    subprocess.run(["mount", "-t", "tmpfs", "tripwire", tmp_path], check=True)
    try:
        assert [leak for leak in leaks_now(before, "mount") if leak.startswith(f"mount {tmp_path} ")]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_gate_that_does_not_exist_cannot_be_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRT_MUST_WORK", "root,no_such_gate")

    with pytest.raises(ValueError, match="no_such_gate"):
        must_work()


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_is_open_or_says_why(gate: str) -> None:
    assert why_shut(gate) is None or len(why_shut(gate) or "") > 10


def test_the_root_file_system_has_a_shell_and_nop(rootfs: Path) -> None:
    assert subprocess.run([rootfs / "bin/nop"]).returncode == 0
    assert subprocess.run([rootfs / "bin/busybox", "echo", "hi"], capture_output=True, check=True).stdout == b"hi\n"
    assert (rootfs / "bin/sh").resolve() == rootfs / "bin/busybox"
