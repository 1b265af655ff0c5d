"""pyrt.layer.trees: the verbs in this process, and what passes between an owner and its workers."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt import errors
from pyrt.errors import CommandError, DockerfileError, InvalidOption, NotFound, PyrtError, SyscallError, Unsupported
from pyrt.layer import LocalTrees, Trees
from pyrt.layer.worker_wire import Line, Severed, pack_error, pair, unpack_error
from tests.suites.trees import HostUid, TreesSuite, archive, file
from tests.suites.trees_merged import MergedTreesSuite

FS_IOC_SETFLAGS = 0x40086602
FS_IMMUTABLE_FL = 0x10


class TestLocalTrees(TreesSuite, MergedTreesSuite):
    @pytest.fixture
    def trees(self) -> Trees:
        return LocalTrees()

    @pytest.fixture
    def top(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def host_uid(self) -> HostUid:
        return lambda uid: uid if os.geteuid() == 0 else os.geteuid()


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "tree/inner/immutable"
    path.parent.mkdir(parents=True)
    path.touch()
    _set_flags(path, FS_IMMUTABLE_FL)
    yield path
    for found in tmp_path.rglob("immutable"):
        _set_flags(found, 0)


def _set_flags(path: Path, flags: int) -> None:
    with open(path) as opened:
        fcntl.ioctl(opened, FS_IOC_SETFLAGS, struct.pack("l", flags))


@pytest.mark.needs("root", "immutable_files")
def test_what_cannot_be_removed_is_reported_and_stays_below_its_name(tmp_path: Path, immutable: Path) -> None:
    with pytest.raises(SyscallError) as caught:
        LocalTrees().remove(str(tmp_path / "tree"))

    assert (caught.value.errno, caught.value.filename) == (errno.EPERM, "immutable")
    assert os.listdir(tmp_path) == ["tree"]


@pytest.mark.needs("root")
def test_root_says_opaque_to_every_overlay(tmp_path: Path) -> None:
    LocalTrees().apply(archive(file("a/.wh..wh..opq")), str(tmp_path / "layer"))

    assert os.getxattr(tmp_path / "layer/a", "trusted.overlay.opaque") == b"y"
    assert os.getxattr(tmp_path / "layer/a", "user.overlay.opaque") == b"y"


@pytest.mark.parametrize(
    "error",
    [
        SyscallError(errno.ENOSPC, "write", "a\udcff", 3, "of a layer"),
        InvalidOption("is none", argument="work"),
        DockerfileError("is wrong", line=3, instruction="RUN"),
        Unsupported("overlay", "is missing"),
        CommandError("not found", exit_code=127),
        NotFound("no such thing"),
    ],
)
def test_an_error_arrives_as_it_was(error: PyrtError) -> None:
    arrived = unpack_error(pack_error(error))

    assert type(arrived) is type(error)
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))
    if isinstance(error, SyscallError) and isinstance(arrived, SyscallError):
        assert (arrived.errno, arrived.filename) == (error.errno, error.filename)


def test_an_error_that_is_not_ours_tells_where_it_was() -> None:
    try:
        _ = {"a": 1}["b"]
    except KeyError as e:
        arrived = unpack_error(pack_error(e))

    assert type(arrived) is errors.PyrtError
    assert "KeyError" in str(arrived)
    assert "test_an_error_that_is_not_ours" in "".join(arrived.__notes__)
    assert isinstance(unpack_error(pack_error(PermissionError(errno.EPERM, "no", "/x"))), SyscallError)


def test_messages_and_their_descriptors_arrive(tmp_path: Path) -> None:
    ours, theirs = pair()
    directory = os.open(tmp_path, os.O_PATH)

    with Line(ours) as here, Line(theirs) as there:
        here.tell({"verb": "a\udcff"}, [directory] * 150)
        here.tell([1])
        fds: list[int] = []
        heard = [there.hear(fds), there.hear(fds)]
    try:
        assert heard == [{"verb": "a\udcff"}, [1]]
        assert len(fds) == 150
        assert all(os.path.sameopenfile(fd, directory) and not os.get_inheritable(fd) for fd in fds)
    finally:
        for fd in [directory, *fds]:
            os.close(fd)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"", "nothing"),
        (b"abc", "middle"),
        (struct.pack("=II", 100, 0) + b"{", "middle"),
        (struct.pack("=II", 4, 0) + b"nope", "JSON"),
        (struct.pack("=II", 1 << 31, 0), "announces"),
        (struct.pack("=II", 2, 1) + b"x{}", "announces 2 bytes and 1 descr"),
    ],
)
def test_what_is_no_message_is_refused(said: bytes, complaint: str) -> None:
    ours, theirs = pair()
    theirs.sendall(said)
    theirs.close()

    with Line(ours) as line, pytest.raises(Severed, match=complaint):
        line.hear()


def test_missing_descriptors_are_noticed() -> None:
    ours, theirs = pair()
    theirs.sendall(struct.pack("=II", 2, 1) + b"x{}")

    with theirs, Line(ours) as line, pytest.raises(Severed, match="missing"):
        line.hear([])


def test_a_dead_peer_ends_the_wait_though_its_end_is_open() -> None:
    ours, theirs = socket.socketpair()
    with subprocess.Popen(["true"]) as peer, theirs:
        pidfd = os.pidfd_open(peer.pid)
        try:
            with Line(ours, pidfd) as line:
                with pytest.raises(Severed, match="ended"):
                    line.hear()
                with pytest.raises(Severed, match="ended"):
                    line.send(bytes(1 << 24))
        finally:
            os.close(pidfd)
