"""The same paths and a container on a kernel without openat2(2), which a seccomp filter makes of this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native import without_openat2

pytestmark = pytest.mark.needs("seccomp")
TOP = Path(__file__).resolve().parents[2]
ABSENT = f"""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall({without_openat2.SYS_OPENAT2}, -1, None, None, 0) == -1
assert ctypes.get_errno() == errno.ENOSYS, ctypes.get_errno()
"""
CONTAINER = (
    ABSENT
    + """
import sys
import pyrt
SEE = "cat /etc/hostname; head -c 1 /proc/kcore | wc -c; echo x > /proc/sys/kernel/hostname"
with pyrt.Engine(root=sys.argv[1]) as engine:
    result = engine.run("host:", ["/bin/sh", "-c", SEE], text=True, hostname="walked", working_dir="/var/new/one")
    assert "Read-only" in result.stderr or "cannot create" in result.stderr, result.stderr
    print(result.stdout.split())
"""
)


def run_without(*command: str | Path) -> str:
    """Run Python behind the filter and give its output."""
    python = [sys.executable, "-m", "tests.native.without_openat2", sys.executable, *map(str, command)]
    environment = os.environ | {"PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(python, cwd=TOP, env=environment, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_paths_are_the_same() -> None:
    run_tests = ABSENT + "import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *sys.argv[1:]]))"

    said = run_without("-c", run_tests, TOP / "tests/native/test_path.py", TOP / "tests/property/test_path.py")

    assert " passed" in said
    assert "skipped" not in said


@pytest.mark.needs("root", "overlay")  # a user's newuidmap(1) does not work behind no_new_privs
def test_a_container_starts(tmp_path: Path) -> None:
    assert run_without("-c", CONTAINER, tmp_path / "engine") == "['walked', '0']\n"
