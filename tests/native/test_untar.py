"""Archives that tar and bsdtar have made, the rights of root, limits, what the system refuses, and the door itself."""

from __future__ import annotations

import errno
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pyrt._native.untar import NO_OWNER, Untar
from pyrt.errors import InvalidArgument, InvalidSpec, SyscallError
from pyrt.layer import Limits, apply
from tests.oracles.archives import Header, archive, block, pax
from tests.oracles.untar import snapshot

LIMITS = {"bytes_limit": 1 << 30, "headers_limit": 1000, "metadata_bytes_limit": 1 << 20, "memory_bytes_limit": 1 << 24}
Make = Callable[[Sequence[Header]], Path]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Give a function that unpacks headers, byte blocks of 700, and gives the directory."""

    def make(headers: Sequence[Header]) -> Path:
        raw = archive(headers)
        apply((raw[at : at + 700] for at in range(0, len(raw), 700)), str(tmp_path / "layer"))
        return tmp_path / "layer"

    return make


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a directory with a file of every kind that an ordinary user can make."""
    top = tmp_path / "tree"
    long = top / ("d" * 120) / ("e" * 120)
    long.mkdir(parents=True)
    (long / ("f" * 200)).write_text("long")
    (top / "ümlaut").write_bytes(os.urandom(100_000))
    (top / "link").symlink_to("l" * 150)
    os.link(top / "ümlaut", top / "second")
    os.mkfifo(top / "fifo", 0o640)
    (top / "setuid").write_text("x")
    (top / "setuid").chmod(0o4755 if os.geteuid() == 0 else 0o755)  # others do not get theirs back
    with open(top / "sparse", "wb") as file:
        for n in range(60):
            file.seek(n * 100_000)
            file.write(b"data %d" % n)
        file.truncate(7_000_000)
    (top / "empty").touch()
    for number, path in enumerate([*top.rglob("*"), top]):
        os.utime(path, ns=(0, (1_500_000_000 + number) * 10**9 + 123_456_789), follow_symlinks=False)
    return top


def packed(tree: Path, *command: str) -> Iterator[bytes]:
    """Run an archiver on the tree."""
    done = subprocess.run([*command, "-C", str(tree), "."], stdout=subprocess.PIPE, check=True)
    yield done.stdout


def whole(top: Path, *, seconds: bool) -> object:
    """Give a snapshot whose times are as exact as the dialect's."""
    return {
        path: tuple(f // 10**9 * 10**9 if seconds and isinstance(f, int) and f > 10**18 else f for f in fields)
        for path, fields in snapshot(str(top)).items()
    }


@pytest.mark.parametrize("sparse", [(), ("--sparse",)], ids=["plain", "sparse"])
@pytest.mark.parametrize("dialect", ["gnu", "oldgnu", "posix"])
def test_what_gnu_tar_writes(tmp_path: Path, tree: Path, dialect: str, sparse: Sequence[str]) -> None:
    apply(packed(tree, "tar", "-c", f"--format={dialect}", *sparse), str(tmp_path / "layer"))

    assert whole(tmp_path / "layer", seconds=dialect != "posix") == whole(tree, seconds=dialect != "posix")


@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0"])
def test_sparse_files_of_gnu_tar_keep_their_holes(tmp_path: Path, tree: Path, version: str) -> None:
    (tmp_path / "large").mkdir()
    with open(tmp_path / "large/file", "wb") as file:
        file.seek(20 << 30)
        file.write(b"end")

    command = ["tar", "-c", "--format=posix", "--sparse", f"--sparse-version={version}"]
    apply(packed(tmp_path / "large", *command), str(tmp_path / "layer"))

    unpacked = (tmp_path / "layer/file").stat()
    assert (unpacked.st_size, unpacked.st_blocks < 64) == ((20 << 30) + 3, True)
    with open(tmp_path / "layer/file", "rb") as file:
        file.seek(20 << 30)
        assert file.read() == b"end"


@pytest.mark.needs("bsdtar")
@pytest.mark.parametrize("dialect", ["gnutar", "pax"])
def test_what_bsdtar_writes(tmp_path: Path, tree: Path, dialect: str) -> None:
    os.setxattr(tree / "empty", "user.a%=b", b"\0=\n\xff")

    apply(packed(tree, "bsdtar", "-cf", "-", "--format", dialect), str(tmp_path / "layer"))

    if dialect == "gnutar":
        os.removexattr(tree / "empty", "user.a%=b")
    assert whole(tmp_path / "layer", seconds=dialect != "pax") == whole(tree, seconds=dialect != "pax")


@pytest.mark.needs("root")
def test_what_belongs_to_root(tmp_path: Path, made: Make) -> None:
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *entry)
        for entry in [(1, 7, 2**32 - 1), (2, 5, 1000), (4, 5, 2**32 - 1), (16, 5, 2**32 - 1), (32, 0, 2**32 - 1)]
    )
    access, default = b"SCHILY.xattr.system.posix_acl_access", b"SCHILY.xattr.system.posix_acl_default"
    top = made(
        [
            pax({access: acl, default: acl}),
            Header(b"dir", type=b"5", mode=0o2750, uid=70_000, gid=4_000_000_000),
            Header(b"dir/plain", mode=0o644),
            pax({b"SCHILY.xattr.security.capability": capability, b"SCHILY.xattr.trusted.a": b"t"}),
            Header(b"dir/ping", mode=0o6755, uid=7, gid=8),
            Header(b"null", type=b"3", device=(1, 3), mode=0o666),
            Header(b"disk", type=b"4", device=(259, 70_000), mode=0o660, gid=6),
            pax({b"SCHILY.xattr.trusted.a": b"l", b"mtime": b"5.000000007"}),
            Header(b"link", type=b"2", link=b"nowhere", uid=3, gid=4),
        ]
    )

    directory, ping, plain = ((top / name).stat() for name in ("dir", "dir/ping", "dir/plain"))
    assert (directory.st_uid, directory.st_gid, directory.st_mode & 0o7777) == (70_000, 4_000_000_000, 0o2750)
    assert (ping.st_uid, ping.st_gid, ping.st_mode & 0o7777) == (7, 8, 0o6755)
    assert os.getxattr(top / "dir/ping", "security.capability") == capability
    assert os.getxattr(top / "dir", "system.posix_acl_default") == acl
    assert (plain.st_gid, plain.st_mode & 0o777, os.listxattr(top / "dir/plain")) == (0, 0o644, [])
    assert ((top / "null").stat().st_rdev, (top / "null").stat().st_mode & 0o777) == (os.makedev(1, 3), 0o666)
    assert ((top / "disk").stat().st_rdev, (top / "disk").stat().st_gid) == (os.makedev(259, 70_000), 6)
    link = (top / "link").lstat()
    assert (link.st_uid, link.st_gid, link.st_mtime_ns) == (3, 4, 5_000_000_007)
    assert os.getxattr(top / "link", "trusted.a", follow_symlinks=False) == b"l"


def test_limits(tmp_path: Path) -> None:
    headers = [Header(b"%d" % n, data=b"x" * 100) for n in range(10)]
    for name, limits in {
        "bytes": Limits(size_bytes=999),
        "entries": Limits(headers=9),
        "metadata": Limits(metadata_bytes=100),
    }.items():
        more = [pax({b"comment": b"c" * 100})] if name == "metadata" else []
        with pytest.raises(InvalidSpec, match="limit"):
            apply([archive([*more, *headers])], str(tmp_path / name), limits=limits)
    many = [Header(b"%d/%s" % (n, b"n" * 80), type=b"5") for n in range(3000)]
    with pytest.raises(InvalidSpec, match="memory"):
        apply([archive(many)], str(tmp_path / "memory"), limits=Limits(memory_bytes=1 << 18))
    assert apply([archive(headers)], str(tmp_path / "fit"), limits=Limits(size_bytes=1000, headers=10)).entries == 10


def test_a_file_that_the_system_refuses_is_named(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(SyscallError) as caught:
            apply([archive([Header(b"some/file", data=bytes(8192))])], str(tmp_path / "layer"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert (caught.value.errno, caught.value.op, caught.value.filename) == (errno.EFBIG, "write", "some/file")


@pytest.mark.needs("root")
def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    program = """
import sys
from pyrt.errors import SyscallError
from pyrt.layer import apply
from tests.oracles.archives import Header, archive
try:
    apply([archive([Header(b"a", data=bytes(9 << 20))])], sys.argv[1] + "/layer")
except SyscallError as error:
    print(error)
"""
    script = 'mount -t tmpfs -o size=4m none "$2" && exec "$0" -c "$1" "$2"'
    command = ["unshare", "--mount", "sh", "-c", script, sys.executable, program, str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert shown.strip() == "write a: No space left on device"


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()

    with pytest.raises(InvalidArgument, match="empty"):
        apply([archive([])], str(tmp_path))
    with pytest.raises(SyscallError, match="No such file"):
        apply([archive([])], str(tmp_path / "no/such"))


def test_the_door_is_for_one_owner(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    door = Untar(fd, 0 if os.geteuid() == 0 else NO_OWNER, **LIMITS)
    os.close(fd)  # it has one of its own

    assert door.feed(archive([Header(b"f", data=b"x")])) is True
    assert door.finish() == [(0, b"", b"")]
    assert door.counts()["entries"] == 1
    with pytest.raises(SyscallError, match="finished"):
        door.feed(b"more")
    for call in (lambda: door.feed(b""), door.finish, door.counts):
        with pytest.raises(ValueError, match="closed"):
            call()
    door.close()
    assert (tmp_path / "f").read_bytes() == b"x"


def test_the_door_has_no_descriptors_after_a_failure(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    fd = os.open(tmp_path, os.O_RDONLY)
    with Untar(fd, **LIMITS) as door:
        door.feed(block(Header(b"f", data=b"x" * 2000))[:1024])
        with pytest.raises(SyscallError, match="early"):
            door.finish()
        assert len(os.listdir("/proc/self/fd")) == before + 1
    os.close(fd)


def test_two_unpackings_beside_each_other(tmp_path: Path) -> None:
    raw = archive([Header(b"d%d/f%d" % (n % 7, n), data=b"x" * n) for n in range(500)])
    threads = [threading.Thread(target=apply, args=([raw], str(tmp_path / str(n)))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    trees = [snapshot(str(tmp_path / str(n)), without_mtime={"", *(f"d{m}" for m in range(7))}) for n in range(4)]
    assert len(trees[0]) == 508
    assert all(tree == trees[0] for tree in trees)
