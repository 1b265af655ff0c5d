"""csrc/init/keeper.c: what it holds dies with the engine, and no message confuses it."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._native.spawn import spawn
from pyrt.errors import Unavailable
from pyrt.runtime import keeper as keeper_module
from pyrt.runtime.keeper import ADD, DROP, ORDER, SLOTS, Keeper
from pyrt.runtime.program import Program, open_program
from pyrt.runtime.wait import wait_readable

PREFIX, TOP = b"pyrttest-", b"pyrt-keeper"
pytestmark = pytest.mark.needs("root")


class Kept:
    """A keeper of its own, with the engine's end of its socket."""

    def __init__(self, *directories: int, host: int | None = None) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own, program = os.pidfd_open(os.getpid()), open_program()
        with theirs:
            fds = [theirs.fileno(), own if host is None else host, *directories]
            self.pid, self.pidfd = spawn(program, [b"pyrt-init", b"keeper", PREFIX, TOP], fds)
        os.close(own)
        os.close(program)

    def tell(self, kind: int, slot: int, *fds: int) -> None:
        socket.send_fds(self.socket, [ORDER.pack(kind, slot)], fds)

    def descriptors(self) -> int:
        """Count what it holds, once it has read all messages."""
        deadline = time.monotonic() + 5
        while self.unread() and time.monotonic() < deadline:
            time.sleep(0.001)
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def unread(self) -> int:
        """Give how many bytes it has not read yet (SIOCOUTQ)."""
        queued = bytearray(4)
        fcntl.ioctl(self.socket, termios.TIOCOUTQ, queued)
        return int(struct.unpack("=i", queued)[0])

    def is_alive(self) -> bool:
        return not wait_readable(self.pidfd, 0)

    def wait(self) -> int:
        """Wait for its end."""
        assert wait_readable(self.pidfd, 20), "the keeper does not end"
        result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)
        assert result is not None
        return result.si_status


@pytest.fixture
def sleepers() -> Iterator[list[tuple[subprocess.Popen[bytes], int]]]:
    """Give three processes with their pidfds."""
    started = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
    pairs = [(process, os.pidfd_open(process.pid)) for process in started]
    yield pairs
    for process, pidfd in pairs:
        process.kill()
        process.wait()
        os.close(pidfd)


Sleepers = list[tuple[subprocess.Popen[bytes], int]]


def test_what_was_added_dies_with_the_engine_and_what_was_dropped_does_not(sleepers: Sleepers) -> None:
    keeper = Kept()
    for slot, (_, pidfd) in enumerate(sleepers):
        keeper.tell(ADD, slot * 1000, pidfd)
    keeper.tell(DROP, 1000)

    keeper.socket.close()

    assert keeper.wait() == 0
    assert [sleepers[0][0].wait(5), sleepers[2][0].wait(5)] == [-signal.SIGKILL] * 2
    assert sleepers[1][0].poll() is None


def test_the_end_of_the_host_program_is_enough(sleepers: Sleepers) -> None:
    with subprocess.Popen(["sleep", "60"]) as host:
        pidfd = os.pidfd_open(host.pid)
        keeper = Kept(host=pidfd)
        keeper.tell(ADD, 0, sleepers[0][1])
        assert keeper.descriptors() == 3

        host.kill()

        assert keeper.wait() == 0
    os.close(pidfd)
    keeper.socket.close()
    assert sleepers[0][0].wait(5) == -signal.SIGKILL


def test_a_message_that_is_none_costs_nothing(sleepers: Sleepers) -> None:
    keeper = Kept()
    pidfd = sleepers[0][1]
    keeper.tell(ADD, 5, pidfd)
    held = keeper.descriptors()

    keeper.tell(ADD, SLOTS, pidfd)
    keeper.tell(ADD, 2**32 - 1, pidfd)
    keeper.tell(DROP, 6, pidfd)
    keeper.tell(ADD, 7, pidfd, pidfd)
    keeper.tell(DROP, 7)
    keeper.tell(ADD, 8)
    socket.send_fds(keeper.socket, [b"x"], [pidfd])
    keeper.socket.send(b"y" * 100)
    keeper.tell(ADD, 5, pidfd)

    assert keeper.descriptors() == held
    assert keeper.is_alive()
    keeper.socket.close()
    assert keeper.wait() == 0
    assert sleepers[0][0].wait(5) == -signal.SIGKILL


@settings(max_examples=20)
@given(
    messages=st.lists(
        st.tuples(
            st.binary(min_size=1, max_size=20) | st.builds(ORDER.pack, st.integers(0, 2), st.integers(0, SLOTS + 2)),
            st.integers(0, 3),
        ),
        max_size=30,
    )
)
def test_no_messages_confuse_it(messages: list[tuple[bytes, int]]) -> None:
    keeper = Kept()
    pidfd = os.pidfd_open(keeper.pid)
    for content, count in messages:
        socket.send_fds(keeper.socket, [content], [pidfd] * count)
    used = keeper.descriptors()
    slots = {content[4:] for content, count in messages if len(content) == ORDER.size and count}

    assert keeper.is_alive()
    assert used <= 2 + len(slots)
    for content in {content for content, _ in messages if len(content) == ORDER.size}:
        keeper.socket.send(ORDER.pack(DROP, ORDER.unpack(content)[1]))
    assert keeper.descriptors() == 2

    os.close(pidfd)
    keeper.socket.close()
    assert keeper.wait() == 0


@pytest.mark.needs("cgroup_v1")
def test_cgroups_with_the_prefix_are_removed_however_deep() -> None:
    base = Path("/sys/fs/cgroup/pids/pyrt-test-of-keeper")
    mine = ["pyrt-keeper/pyrttest-1/.hidden/a/b/c/d/e", "pyrt-keeper-devices/armed/pyrttest-2"]
    others = ["pyrt-keeper/other", "pyrt-keeper-devices/pyrt", "else/pyrttest-1", "pyrttest-1"]
    for name in (*mine, *others):
        (base / name).mkdir(parents=True)
    directory = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        keeper = Kept(directory)
        (base / "pyrt-keeper-late/pyrttest-3").mkdir(parents=True)
        keeper.socket.close()
        assert keeper.wait() == 0

        left = {str(path.relative_to(base)) for path in base.rglob("*") if path.is_dir()}
        parents = {"pyrt-keeper", "pyrt-keeper-devices", "pyrt-keeper-devices/armed", "pyrt-keeper-late", "else"}
        assert left == {*others, *parents}
    finally:
        os.close(directory)
        for path, _, _ in os.walk(base, topdown=False):
            os.rmdir(path)


def test_an_engine_asks_for_no_more_than_can_be_held(
    sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeper_module, "capacity", lambda: 1)
    program = Program(str(tmp_path))
    keeper = Keeper(program, "pyrttest-", "pyrttest", [])
    try:
        slot = keeper.add(sleepers[0][1])
        with pytest.raises(Unavailable, match="RLIMIT_NOFILE"):
            keeper.add(sleepers[1][1])
        keeper.drop(slot)
        keeper.drop(keeper.add(sleepers[1][1]))
    finally:
        keeper.close()
        program.close()

    assert [process.poll() for process, _ in sleepers] == [None] * 3
