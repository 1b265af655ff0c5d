"""csrc/init: pyrt-init itself as it is shipped, and under sanitizers with plans that nobody should write."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._native.error import raise_packed
from pyrt._native.spawn import spawn
from pyrt.errors import SyscallError
from pyrt.runtime.plan_writer import Kind, PlanWriter
from pyrt.runtime.program import open_program
from tests.native.test_spawn import Ran

REPORT_BYTES = 24
FAILURE_BYTES = 512


def exec_plan(*arguments: str, candidates: tuple[str, ...]) -> bytes:
    """Give a plan that does nothing but execute."""
    writer = PlanWriter()
    writer.add(Kind.UMASK, a=0o027)
    writer.add(Kind.PROGRAM, data=writer.offsets((candidates, arguments, ("A=1",))))
    writer.add(Kind.EXEC)
    return writer.finish()


def memory_file(content: bytes) -> int:
    fd = os.memfd_create("plan", os.MFD_CLOEXEC)
    os.write(fd, content)
    return fd


def start(plan: bytes, output: int) -> tuple[int, list[bytes]]:
    """Execute a plan in a child in the namespaces of this process; give its status and the messages it sent."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program, plan_fd = open_program(), memory_file(plan)
    with ours, theirs, open(os.devnull, "rb") as null:
        fds = [null.fileno(), output, 2, theirs.fileno(), plan_fd]
        _, pidfd = spawn(program, [b"pyrt-init"], fds)
        theirs.close()
        messages = list(iter(lambda: ours.recv(1024), b""))
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    for fd in (program, plan_fd, pidfd):
        os.close(fd)
    assert result is not None
    return result.si_status, messages


@pytest.mark.needs("root")
def test_a_program_starts_as_if_nobody_had_been_before(witness_path: Path) -> None:
    reading, writing = os.pipe()
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        status, messages = start(exec_plan("w", "5", candidates=(str(witness_path),)), writing)
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(writing)
    with open(reading, "rb") as told:
        ran = Ran(told.read().decode(), status)

    assert (ran.status, [len(message) for message in messages]) == (5, [REPORT_BYTES])
    assert ran["fds"] == ["0", "1", "2"]
    assert {ran[word][0] for word in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd")} == {"0" * 16}
    assert ran["CapAmb"] == ["0" * 16]


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("candidates", "code"),
    [
        (("/none/a", "/none/b"), "ENOENT"),
        (("/etc/passwd/x",), "ENOENT"),
        (("/none", "/etc/passwd", "/none"), "EACCES"),
        (("/none", "/proc/self/exe", "/bin/true"), "ELOOP"),
        (("/etc",), "EACCES"),
    ],
)
def test_what_cannot_be_executed_is_told(candidates: tuple[str, ...], code: str) -> None:
    with open(os.devnull, "wb") as null:
        status, messages = start(exec_plan("x", candidates=candidates), null.fileno())

    with pytest.raises(SyscallError) as caught:
        raise_packed(messages[-1])
    assert (status, caught.value.op, os.strerror(caught.value.errno or 0)) == (125, "execve", caught.value.strerror)
    assert code in (errno_name(caught.value),)


def errno_name(error: SyscallError) -> str:
    import errno

    return errno.errorcode[error.errno or 0]


@pytest.mark.needs("root")
def test_the_first_program_that_is_there_is_taken() -> None:
    with open(os.devnull, "wb") as null:
        plan = exec_plan("true", candidates=("/none", "/etc/passwd", "/bin/true", "/proc/self/exe"))
        status, messages = start(plan, null.fileno())

    assert (status, len(messages)) == (0, 1)


def test_it_starts_for_nobody_else(hosted_init: Path) -> None:
    from pyrt.runtime.program import PROGRAM

    done = subprocess.run([PROGRAM], capture_output=True)

    assert (done.returncode, done.stdout) == (125, b"")
    assert b"only pyrt" in done.stderr


class Hosted:
    """pyrt-init with a libc: gives the error that a plan ends with, and fails where a sanitizer or a signal ends it."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def refuses(self, plan: bytes) -> SyscallError:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        plan_fd = memory_file(plan)
        with ours, theirs:
            moved = [os.dup2(theirs.fileno(), 200), os.dup2(plan_fd, 201)]
            command = ["/bin/sh", "-c", 'exec "$0" 3<&200 4<&201']
            command = [*_with_descriptors(self._program, *moved)]
            done = subprocess.run(command, pass_fds=moved, stderr=subprocess.PIPE, timeout=60)
            for fd in (*moved, plan_fd):
                os.close(fd)
            theirs.close()
            message = ours.recv(1024)
        assert done.returncode == 125, done.stderr.decode(errors="replace")
        with pytest.raises(SyscallError) as caught:
            raise_packed(message)
        return caught.value


def _with_descriptors(program: Path, control: int, plan: int) -> list[str]:
    """Give a command that executes the program with the descriptors 3 and 4; dash takes one digit only, so in Python."""
    return ["bash", "-c", f'exec "$0" 3<&{control} 4<&{plan} {control}<&- {plan}<&-', str(program)]
