"""Containers that wait for a second program to be started in them, to get hold of the host by it."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrt import (
    CommandError,
    InvalidArgument,
    Process,
    PyrtError,
    ResourceBusy,
    TimedOut,
    Unavailable,
)
from pyrt.runtime import execs
from pyrt.runtime.control import Started, await_start
from tests.containers import Shell
from tests.hosts import eventually, processes_with, read_until

IDLE = "echo up; while :; do sleep 1000; done"
# Tries at every process that is not its own all that would be of use; says what it got while that was still pyrt-init.
RACER = """
import ctypes, os, sys
ptrace = ctypes.CDLL(None).ptrace
ptrace.argtypes = [ctypes.c_long] * 4
SEIZE, DETACH = 0x4206, 17
known = {"1", str(os.getpid())}
def program(pid):
    return open(f"/proc/{pid}/cmdline").read()
def seize(pid):
    if ptrace(SEIZE, int(pid), 0, 0):
        raise PermissionError
ways = {
    "fd": lambda pid: os.readlink(f"/proc/{pid}/fd/3"),
    "fdinfo": lambda pid: open(f"/proc/{pid}/fdinfo/3").read(),
    "exe": lambda pid: os.open(f"/proc/{pid}/exe", os.O_RDONLY),
    "mem": lambda pid: os.open(f"/proc/{pid}/mem", os.O_RDWR),
    "root": lambda pid: os.open(f"/proc/{pid}/root", os.O_PATH),
    "cwd": lambda pid: os.open(f"/proc/{pid}/cwd", os.O_PATH),
    "maps": lambda pid: open(f"/proc/{pid}/maps").read(),
    "environ": lambda pid: open(f"/proc/{pid}/environ").read(),
    "namespaces": lambda pid: os.readlink(f"/proc/{pid}/ns/mnt"),
    "ptrace": seize,
}
print("up", flush=True)
while True:
    for pid in set(filter(str.isdecimal, os.listdir("/proc"))) - known:
        for name, way in ways.items():
            try:
                if "pyrt-init" not in program(pid):
                    break
                way(pid)
                got = "got"
            except OSError:
                got = "denied"
            try:
                if "pyrt-init" in program(pid):
                    print(got, name, flush=True)
            except OSError:
                break
"""
TRACER = """
import ctypes, os
ptrace = ctypes.CDLL(None).ptrace
ptrace.argtypes = [ctypes.c_long] * 4
print("up", flush=True)
known = {1, os.getpid()}
while True:
    for pid in set(map(int, filter(str.isdecimal, os.listdir("/proc")))) - known:
        if ptrace(0x4206, pid, 0, 0) == 0:
            known.add(pid)
            print("traced", flush=True)
"""
HIDE = "import ctypes, time; ctypes.CDLL(None).prctl(4, 0); print('up', flush=True); time.sleep(1000)"


@pytest.fixture
def hostile(box: Shell) -> Iterator[Callable[..., Process]]:
    """Start containers of the test image that run a script; each is up when it is given."""
    started: list[Process] = []

    def start(script: str = IDLE, **options: Any) -> Process:
        process = box.start(script, stdout=subprocess.PIPE, **options)
        started.append(process)
        read_until(process, b"up\n")
        return process

    yield start
    for process in started:
        process.close()


@pytest.fixture
def snake(box: Shell) -> Iterator[Callable[[str], Process]]:
    """Start containers that run Python, which is the host's."""
    started: list[Process] = []

    def start(program: str) -> Process:
        python = Shell(box.engine, "host:", **box.options)
        command = [os.path.realpath(sys.executable), "-c", program]
        process = box.engine.popen(python.image, command, stdout=subprocess.PIPE, **python.options)
        started.append(process)
        read_until(process, b"up\n")
        return process

    yield start
    for process in started:
        process.close()


@pytest.fixture
def host_directory(scratch: Path) -> Iterator[int]:
    """An open directory of the host."""
    fd = os.open(scratch, os.O_RDONLY)
    yield fd
    os.close(fd)


def shell(process: Process, script: str) -> None:
    code, output = process.exec_run(["/bin/busybox", "sh", "-ec", script])
    assert code == 0, output


@pytest.mark.needs("idmapped_host")
def test_who_comes_in_can_neither_be_traced_nor_looked_at(
    snake: Callable[[str], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    racer = snake(RACER)

    def slowly(control: socket.socket, what: str) -> Started:
        time.sleep(0.1)  # it is in the container by now, and waits for us
        return await_start(control, what)

    monkeypatch.setattr(execs, "await_start", slowly)
    for _ in range(10):
        assert racer.exec_run("true").exit_code in (
            0,
            137,
        )  # traced after its exec, which is the container's own affair
    racer.kill()
    assert racer.stdout is not None
    told = set(racer.stdout.read().decode().splitlines())

    assert {line for line in told if line.startswith("got")} == set()
    assert {"denied fd", "denied exe", "denied mem", "denied ptrace", "denied root"} <= told


@pytest.mark.needs("idmapped_host")
def test_a_first_process_that_hides_is_joined_all_the_same(snake: Callable[[str], Process]) -> None:
    assert snake(HIDE).exec_run("true").exit_code == 0


@pytest.mark.needs("idmapped_host")
def test_a_tracer_that_never_waits_holds_nobody_up(snake: Callable[[str], Process]) -> None:
    process = snake(TRACER)

    for _ in range(3):
        started = time.monotonic()
        done = process.exec_run("sleep 1000", timeout=0.5)
        assert (done.exit_code, done.exit_cause) == (137, TimedOut(0.5))
        assert time.monotonic() - started < 20
    process.kill()
    assert process.wait(60) == -9
    assert process.stdout is not None and b"traced" in process.stdout.read()


def test_it_has_three_descriptors_and_no_more(hostile: Callable[..., Process], tmp_path: Path) -> None:
    fds = [os.open(tmp_path, os.O_RDONLY) for _ in range(8)]
    try:
        for fd in fds:
            os.set_inheritable(fd, True)
        done = hostile().exec_run(["sh", "-c", "for fd in /proc/$$/fd/*; do [ -L $fd ] && echo ${fd##*/}; done"])
    finally:
        for fd in fds:
            os.close(fd)

    assert done.output.split() == [b"0", b"1", b"2"]


@pytest.mark.parametrize("number", range(10))
def test_a_directory_that_is_a_descriptor_of_the_host(
    hostile: Callable[..., Process], host_directory: int, number: int
) -> None:
    try:
        done = hostile().exec_run("pwd", workdir=f"/proc/self/fd/{number}", stdin=host_directory)
    except CommandError as error:
        assert error.exit_code == 126
        assert number != 0 or "outside of the container" in str(error)
    else:
        assert (number, done.output) == (4, b"/\n")  # pyrt-init's descriptor of the container's own root


@pytest.mark.parametrize("target", ["/proc/self/fd/0", "../../../proc/self/fd/0", "/proc/thread-self/fd/0"])
def test_a_directory_that_is_a_link_to_a_descriptor(
    hostile: Callable[..., Process], host_directory: int, target: str
) -> None:
    process = hostile()
    shell(process, f"ln -s {target} /tmp/door")

    with pytest.raises(CommandError, match="outside"):
        process.exec(["true"], workdir="/tmp/door", stdin=host_directory)


def program_of(box: Shell) -> str:
    source = box.engine._rooms.runtime._program.source
    assert isinstance(source, int)
    return hashlib.sha256(os.pread(source, 1 << 20, 0)).hexdigest()


@pytest.mark.parametrize("way", ["link", "script", "script keeper", "script exec"])
def test_a_program_that_is_pyrt_itself(hostile: Callable[..., Process], box: Shell, way: str) -> None:
    before = program_of(box)
    write = "while :; do for exe in /proc/[0-9]*/exe; do echo x 2>/dev/null > $exe && echo written; done; done"
    process = hostile(f"({write}) 2>/dev/null & {IDLE}")
    kind, _, argument = way.partition(" ")
    if kind == "link":
        shell(process, "/bin/busybox ln -sf /proc/self/exe /bin/true")
    else:
        line = f"#!/proc/self/exe {argument}".strip()
        shell(process, f"rm /bin/true; echo '{line}' > /bin/true; /bin/busybox chmod 755 /bin/true")

    for _ in range(20):
        try:
            assert process.exec_run("true", timeout=10).output in (b"", pyrt_note())
        except CommandError as error:
            assert "magic link" in str(error)

    assert program_of(box) == before
    process.kill()
    assert process.stdout is not None and b"written" not in process.stdout.read()


def pyrt_note() -> bytes:
    return b"pyrt-init: only pyrt can start this program\n"


@pytest.mark.parametrize(
    "script",
    [
        "rm /etc/passwd; mkfifo /etc/passwd",
        "rm /etc/passwd; ln -s /etc /etc/passwd",
        "rm /etc/passwd; ln -s /proc/self/fd/0 /etc/passwd",
        "rm /etc/passwd; ln -s /proc/1/root/etc/group /etc/passwd",
        "rm /etc/passwd; ln -s passwd /etc/passwd",
        "dd if=/dev/zero of=/etc/passwd bs=1M count=3 2>/dev/null",
        "head -c 100000 /dev/urandom > /etc/passwd",
        "echo 'app:x:99999999999:0::/:/bin/sh' > /etc/passwd",
    ],
)
def test_users_in_a_file_that_cannot_be_believed(hostile: Callable[..., Process], script: str) -> None:
    process = hostile()
    shell(process, script)

    with pytest.raises(InvalidArgument) as caught:
        process.exec_run("true", user="app")
    assert caught.value.argument == "user"


def test_users_of_the_host_are_out_of_reach(hostile: Callable[..., Process], tmp_path: Path) -> None:
    process = hostile()
    (tmp_path / "passwd").write_text("spy:x:0:0::/:/bin/sh\n")
    up = "../" * 30
    shell(process, f"rm -f /etc/passwd; ln -s {up}{str(tmp_path).lstrip('/')}/passwd /etc/passwd")

    with pytest.raises(InvalidArgument, match="spy"):
        process.exec_run("true", user="spy")


def test_a_terminal_where_there_is_none(hostile: Callable[..., Process]) -> None:
    process = hostile(f"mount -t tmpfs none /dev/pts && mkfifo /dev/pts/ptmx && {IDLE}", cap_add=["SYS_ADMIN"])

    with pytest.raises(PyrtError):
        process.exec_run("tty", tty=True)
    assert process.exec_run("true").exit_code == 0


def test_who_comes_in_is_killed_at_once(hostile: Callable[..., Process]) -> None:
    process = hostile("echo up; while :; do for p in /proc/[0-9]*; do kill -9 ${p#/proc/}; done; done 2>/dev/null")

    for _ in range(10):
        try:
            assert process.exec_run("sleep 1000", timeout=20).exit_code == 137
        except Unavailable as error:
            assert "killed" in str(error)
    assert process.poll() is None


@pytest.mark.needs("pids_limit")
def test_what_forks_without_end_is_killed_with_it(hostile: Callable[..., Process]) -> None:
    mark = f"bomb-{os.getpid()}"
    process = hostile(pids_limit=64, init=True)

    process.exec_run(["sh", "-c", f": {mark}; f() {{ f & f & }}; while :; do f; done 2>/dev/null"], timeout=0.5)

    eventually(lambda: not processes_with(mark), "it lives on")
    eventually(lambda: still_runs(process), "nothing else can be started")


def still_runs(process: Process) -> bool:
    try:
        return process.exec_run("true").exit_code == 0
    except ResourceBusy as error:  # until its init has reaped what was killed
        assert "pids_limit" in str(error)
        return False


def test_cgroups_of_its_own_are_no_way_out(hostile: Callable[..., Process]) -> None:
    """What a container that may write to its cgroups does in there is left to its end, and goes with it."""
    process = hostile(security_opt=["writable-cgroups=true"])
    move = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/own && echo $$ > $d/own/cgroup.procs; done"

    done = process.exec_run(["sh", "-c", f"({move}) 2>/dev/null; sleep 1000 & exit 5"], timeout=20)

    assert done.exit_code == 5
    assert process.exec_run("true").exit_code == 0
    process.kill()
    process.wait(60)
