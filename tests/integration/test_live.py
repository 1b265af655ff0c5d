"""A running container: its limits changed, frozen and thawed, its usage read."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import pyrt
from pyrt.oci.spec import Memory, Pids, Resources

PAUSE_AND_DIE = """
import os, signal, sys
import pyrt
process = pyrt.Engine(root=sys.argv[1]).popen(sys.argv[2], ["sleep", "60"])
process.pause()
print(process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"


@pytest.mark.needs("root", "cgroup_v1")
def test_limits_change_while_the_program_runs(tmp_path: Path, rootfs: Path) -> None:
    with (
        pyrt.Engine(root=tmp_path) as engine,
        engine.popen(f"rootfs:{rootfs}", ["sleep", "60"], pids_limit=9) as process,
    ):
        process.update(Resources(memory=Memory(limit=64 << 20), pids=Pids(17)))

        assert (process.effective["mem_limit"], process.effective["pids_limit"]) == (64 << 20, 17)


@pytest.mark.needs("root", "cgroup_v1")
def test_a_limit_that_is_refused_changes_nothing(tmp_path: Path, rootfs: Path) -> None:
    with (
        pyrt.Engine(root=tmp_path) as engine,
        engine.popen(f"rootfs:{rootfs}", ["sleep", "60"], pids_limit=9) as process,
    ):
        with pytest.raises(pyrt.InvalidArgument):
            process.update(Resources(memory=Memory(limit=1), pids=Pids(17)))

        assert process.effective["pids_limit"] == 9


@pytest.mark.needs("root", "cgroup_v1")
def test_a_paused_container_stands_still_until_it_goes_on(tmp_path: Path, rootfs: Path) -> None:
    with (
        pyrt.Engine(root=tmp_path) as engine,
        engine.popen(f"rootfs:{rootfs}", ["sh", "-c", COUNT], stdout=subprocess.PIPE, bufsize=0) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.pause()
        before = process.usage().cpu_ns
        time.sleep(0.2)

        assert process.usage().cpu_ns == before
        process.unpause()
        deadline = time.monotonic() + 30
        while process.usage().cpu_ns == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.usage().cpu_ns != before


@pytest.mark.needs("root", "cgroup_v1")
def test_a_paused_container_can_be_killed(tmp_path: Path, rootfs: Path) -> None:
    with pyrt.Engine(root=tmp_path) as engine, engine.popen(f"rootfs:{rootfs}", ["sleep", "60"]) as process:
        process.pause()
        process.kill()

        assert process.wait(timeout=30) == -9


@pytest.mark.needs("root", "cgroup_v1")
def test_a_paused_container_dies_with_its_owner(tmp_path: Path, rootfs: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PAUSE_AND_DIE, tmp_path, f"rootfs:{rootfs}"], stdout=subprocess.PIPE)

    pid = int(done.stdout)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()
