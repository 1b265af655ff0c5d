"""pyrt-init cannot be written to from a container, by either of the two ways in which it is executed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pyrt
from pyrt.runtime.program import PROGRAM

WRITE = "echo x >/proc/1/exe; cat /proc/1/exe | head -c 4 | tail -c 3"
# Its own PID namespace, for which the sysctl is (Linux 6.7), so that nothing else on the machine notices.
WITHOUT_MEMORY_FILES = """
import os, sys
from pathlib import Path
Path("/proc/sys/vm/memfd_noexec").write_text("2")
import pyrt
with pyrt.Engine(root=sys.argv[1]) as engine:
    done = engine.run(f"rootfs:{sys.argv[2]}", ["sh", "-c", sys.argv[3]], init=True, text=True)
print(done.stdout, done.stderr, sorted(os.listdir(Path(sys.argv[1], "bin"))))
"""

EXEC = """
import os, sys
from pathlib import Path
Path("/proc/sys/vm/memfd_noexec").write_text("2")
import pyrt
with pyrt.Engine(root=sys.argv[1]) as engine, engine.popen(f"rootfs:{sys.argv[2]}", ["sleep", "1000"]) as process:
    script = "printf '#!/proc/self/exe\\n' > /tmp/script; chmod 755 /tmp/script"
    print(process.exec_run(["sh", "-c", script]), process.exec_run("/tmp/script").output)
    write = "for exe in /proc/[0-9]*/exe; do echo x > $exe; done"
    with process.exec(["sh", "-c", f"while :; do {write}; done"], stdout=-3, stderr=-3):
        codes = {process.exec_run("/tmp/script").exit_code for _ in range(50)}
    print(codes, Path(engine._rooms.runtime._program.source).read_bytes() == Path(sys.argv[3]).read_bytes())
"""


def test_init_cannot_write_to_its_own_program(tmp_path: Path, rootfs: Path) -> None:
    with pyrt.Engine(root=tmp_path) as engine:
        done = engine.run(f"rootfs:{rootfs}", ["sh", "-c", WRITE], init=True, text=True)

    assert done.stdout == "ELF"
    assert "can't create /proc/1/exe" in done.stderr


@pytest.mark.needs("root")
@pytest.mark.needs("memfd_noexec")
def test_a_copy_on_a_read_only_mount_stands_in_for_a_memory_file(tmp_path: Path, rootfs: Path) -> None:
    python = [sys.executable, "-c", WITHOUT_MEMORY_FILES, str(tmp_path), str(rootfs), WRITE]

    done = subprocess.run(["unshare", "-pf", "--mount-proc", *python], capture_output=True, text=True, timeout=60)

    assert done.stdout.startswith("ELF"), done.stderr
    assert "can't create /proc/1/exe: Read-only file system" in done.stdout
    assert "pyrt-init-" in done.stdout


@pytest.mark.needs("root")
@pytest.mark.needs("memfd_noexec")
def test_who_joins_a_container_comes_from_a_read_only_mount_too(tmp_path: Path, rootfs: Path) -> None:
    python = [sys.executable, "-c", EXEC, str(tmp_path), str(rootfs), PROGRAM]

    done = subprocess.run(["unshare", "-pf", "--mount-proc", *python], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "only pyrt can start this program" in done.stdout
    assert done.stdout.splitlines()[-1] == "{125} True"
