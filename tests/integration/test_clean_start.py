"""What a program must not find when it starts, and what its filter may forbid without the start noticing."""

from __future__ import annotations

import ctypes
import json
import os
import platform
from typing import Any

import pytest

from tests.containers import Shell
from tests.gates import GET_KEYRING_ID, SESSION_KEYRING, SYS_KEYCTL

ASK_FOR_SESSION = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall({SYS_KEYCTL[platform.machine()]}, {GET_KEYRING_ID}, {SESSION_KEYRING}, 1))
"""
UNCONFINED: dict[str, Any] = {"security_opt": ["seccomp=unconfined"]}


@pytest.mark.needs("session_keyring")
def test_the_session_keyring_is_not_the_hosts(shell: Shell) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    ours = libc.syscall(SYS_KEYCTL[platform.machine()], GET_KEYRING_ID, SESSION_KEYRING, 1)

    done = shell.engine.run("host:", ["python3", "-c", ASK_FOR_SESSION], text=True, **UNCONFINED)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
    assert int(done.stdout) != ours


def test_only_standard_descriptors_are_open(shell: Shell) -> None:
    leaked = os.open("/", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        done = shell.run("sh", "-c", "ls -l /proc/self/fd; ls -l /proc/$$/fd", init=True)
    finally:
        os.close(leaked)

    numbers = {line.split(" -> ")[0].split()[-1] for line in done.stdout.splitlines() if " -> " in line}
    assert numbers <= {"0", "1", "2", "3"}  # 3: the directory that ls reads
    assert "pyrt" not in done.stdout


@pytest.mark.needs("seccomp")
@pytest.mark.parametrize("init", [False, True])
def test_a_filter_needs_not_know_how_we_start(shell: Shell, init: bool) -> None:
    names = ["execveat", "openat2", "sendto", "sendmsg", "clone3", "pidfd_open", "mount"]
    rules = [{"names": names, "action": "SCMP_ACT_KILL_PROCESS"}]
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})

    done = shell.run("echo", "started", init=init, security_opt=[f"seccomp={profile}"], cap_drop=["ALL"])

    assert (done.returncode, done.stdout) == (0, "started\n")
