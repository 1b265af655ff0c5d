"""csrc/init: pyrt-init itself as it is shipped, and under sanitizers with plans that nobody should write."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._native.error import raise_packed
from pyrt._native.spawn import spawn
from pyrt.errors import SyscallError
from pyrt.runtime.control import JOINED
from pyrt.runtime.plan_writer import HEADER, MAGIC, OP, Kind, PlanWriter
from pyrt.runtime.program import PROGRAM, open_program
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


def start(plan: bytes, output: int, program: int | None = None, target: int | None = None) -> tuple[int, list[bytes]]:
    """Execute a plan in a child in the namespaces of this process; give its status and the messages it sent.

    `target` is the pidfd of a process to JOIN.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = open_program() if program is None else os.dup(program)
    plan_fd = memory_file(plan)
    with ours, theirs, open(os.devnull, "rb") as null:
        fds = [null.fileno(), output, 2, theirs.fileno(), plan_fd, *([] if target is None else [target])]
        _, pidfd = spawn(program, [b"pyrt-init", *([] if target is None else [b"exec"])], fds)
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
    assert (status, caught.value.op) == (125, "execve")
    assert errno.errorcode[caught.value.errno or 0] == code


@pytest.mark.needs("root")
def test_the_first_program_that_is_there_is_taken() -> None:
    with open(os.devnull, "wb") as null:
        plan = exec_plan("true", candidates=("/none", "/etc/passwd", "/bin/true", "/proc/self/exe"))
        status, messages = start(plan, null.fileno())

    assert (status, len(messages)) == (0, 1)


def test_it_starts_for_nobody_else() -> None:
    done = subprocess.run([PROGRAM], capture_output=True)

    assert (done.returncode, done.stdout) == (125, b"")
    assert b"only pyrt" in done.stderr


HARMLESS = exec_plan("x", candidates=("/none",))


@pytest.fixture(scope="module")
def hosted(hosted_init: Path) -> Iterator[int]:
    """Give a descriptor of pyrt-init with a libc, which a sanitizer may watch."""
    fd = os.open(hosted_init, os.O_RDONLY)
    yield fd
    os.close(fd)


def refused(hosted: int, plan: bytes) -> SyscallError:
    """Give the error that a plan ends with; a crash gives no message and another status."""
    with open(os.devnull, "wb") as null:
        status, messages = start(plan, null.fileno(), hosted)
    assert (status, [len(message) for message in messages if len(message) != REPORT_BYTES]) == (125, [FAILURE_BYTES])
    with pytest.raises(SyscallError) as caught:
        raise_packed(messages[-1])
    return caught.value


@pytest.mark.needs("root")
def test_a_plan_that_is_cut_off_is_refused(hosted: int) -> None:
    for size in range(1, len(HARMLESS), 7):
        assert refused(hosted, HARMLESS[:size]).errno == errno.EINVAL
    assert refused(hosted, b"").op == "mmap"
    assert refused(hosted, HARMLESS).op == "execve"
    assert refused(hosted, HARMLESS + HARMLESS[:50]).op == "execve"


@pytest.mark.needs("root")
@settings(max_examples=60)
@given(
    header=st.tuples(
        st.just(MAGIC) | st.integers(0, 2**32 - 1),
        st.integers(0, len(HARMLESS) + 9) | st.integers(0, 2**32 - 1),
        st.integers(0, 4) | st.integers(0, 2**32 - 1),
        st.just(0),
    )
)
def test_any_header_ends_in_an_error(hosted: int, header: tuple[int, int, int, int]) -> None:
    assert refused(hosted, HEADER.pack(*header) + HARMLESS[HEADER.size :]).op in ("plan", "execve")


@pytest.mark.needs("root")
@pytest.mark.parametrize("kind", [0, len(Kind) + 1, 2**32 - 1])
def test_an_unknown_operation_is_refused(hosted: int, kind: int) -> None:
    plan = HEADER.pack(MAGIC, HEADER.size + OP.size, 1, 0) + OP.pack(kind, *[0] * 8)

    error = refused(hosted, plan)

    assert (error.op, error.step) == ("plan", 1)


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    "kind",
    [Kind.EXEC, Kind.DIR, Kind.FILE, Kind.NODE, Kind.SYMLINK, Kind.MKDIRS, Kind.SYSCTL, Kind.OVERLAY],
)
def test_an_operation_before_its_time_fails(hosted: int, kind: Kind) -> None:
    writer = PlanWriter()
    writer.add(kind, path="/x/y", data=b"x\0")

    assert refused(hosted, writer.finish()).step == 1


@pytest.mark.needs("root")
def test_an_overlay_of_nothing_is_refused(hosted: int, tmp_path: Path) -> None:
    (tmp_path / "M").mkdir()
    writer = PlanWriter()
    slot = writer.slot()
    writer.add(Kind.OVERLAY, path=str(tmp_path), source="M", data=b"lowerdir=none:nothing\0", a=slot)

    error = refused(hosted, writer.finish())

    assert (error.op, error.filename, error.step) == ("mount", "overlay", 1)


MOUNTS_AND_PIDS = 0x20020000  # CLONE_NEWNS, CLONE_NEWPID


def join_plan(namespaces: int, *, tasks: int = 0, into: int = 0) -> bytes:
    writer = PlanWriter()
    writer.add(Kind.JOIN, a=namespaces, b=tasks, c=into)
    return writer.finish()


@pytest.fixture
def neighbour() -> Iterator[int]:
    """The pidfd of a process in the namespaces of this one."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        pidfd = os.pidfd_open(process.pid)
        yield pidfd
        os.close(pidfd)
        process.kill()


@pytest.mark.needs("root")
@pytest.mark.parametrize("is_hosted", [False, True])
def test_the_root_of_the_host_is_not_joined(hosted: int, neighbour: int, is_hosted: bool) -> None:
    with open(os.devnull, "wb") as null:
        program = hosted if is_hosted else None
        status, messages = start(join_plan(MOUNTS_AND_PIDS), null.fileno(), program, neighbour)

    told = {len(message): message for message in messages}
    with pytest.raises(SyscallError) as caught:
        raise_packed(told[FAILURE_BYTES])
    assert (status, caught.value.errno, caught.value.filename) == (125, errno.EXDEV, "/")
    assert JOINED.size in told


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("namespaces", "more", "failure"),
    [
        (0, {}, ("setns", errno.EINVAL)),
        (0x10000000, {}, ("setns", errno.EINVAL)),  # CLONE_NEWUSER: one's own cannot be entered again
        (MOUNTS_AND_PIDS, {"into": 1}, ("clone3", errno.EBADF)),
        (MOUNTS_AND_PIDS, {"tasks": 1}, ("write", errno.EBADF)),
    ],
)
def test_what_cannot_be_joined_is_told(
    hosted: int, neighbour: int, namespaces: int, more: dict[str, int], failure: tuple[str, int]
) -> None:
    with open(os.devnull, "wb") as null:
        status, messages = start(join_plan(namespaces, **more), null.fileno(), hosted, neighbour)

    with pytest.raises(SyscallError) as caught:
        raise_packed(next(message for message in messages if len(message) == FAILURE_BYTES))
    assert (status, caught.value.op, caught.value.errno) == (125, *failure)


@pytest.mark.needs("root")
def test_a_process_that_has_ended_is_not_joined(hosted: int) -> None:
    with subprocess.Popen(["true"]) as process:
        pidfd = os.pidfd_open(process.pid)
    with open(os.devnull, "wb") as null:
        _, messages = start(join_plan(MOUNTS_AND_PIDS), null.fileno(), hosted, pidfd)
    os.close(pidfd)

    with pytest.raises(SyscallError) as caught:
        raise_packed(messages[-1])
    assert (caught.value.op, caught.value.errno) == ("setns", errno.ESRCH)
