"""csrc/prt_tarwrite.h: trees that are hostile, change, or hold what a header has no room for."""

from __future__ import annotations

import errno
import io
import itertools
import os
import socket
import struct
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.native.library import Csrc, Failure

USERXATTR, ROOT, PLAIN = 1, 2, 4
NEVER = 2**63 - 1
CAPABILITY_V3 = struct.pack("<6I", 0x03000001, 1 << 10, 0, 0, 0, 100_000)


class Writer:
    """The C writer of one directory."""

    def __init__(self, csrc: Csrc, top: Path, flags: int, uids: list[Any], gids: list[Any], latest: int) -> None:
        self.csrc = csrc
        new, self.err = csrc.ffi.new, csrc.ffi.new("struct prt_error *")
        maps = [new("struct prt_tarwrite_ids[]", uids), new("struct prt_tarwrite_ids[]", gids)]
        options = {"uids": maps[0], "gids": maps[1], "uid_count": len(uids), "gid_count": len(gids)}
        fd = os.open(top, os.O_PATH)
        wanted = new("struct prt_tarwrite_options *", options | {"latest": latest, "flags": flags})
        self.pointer = csrc.lib.prt_tarwrite_new(fd, wanted, self.err)
        os.close(fd)
        if not self.pointer:
            raise csrc.failure(self.err)

    def step(self, size: int) -> bytes:
        buffer = self.csrc.ffi.new("unsigned char[]", size)
        return bytes(self.csrc.ffi.buffer(buffer, self.csrc.call("prt_tarwrite_step", self.pointer, buffer, size)))

    def rest(self, size: int = 1 << 16) -> bytes:
        return b"".join(iter(lambda: self.step(size), b""))

    @property
    def counts(self) -> tuple[int, int, int]:
        counts = self.csrc.lib.prt_tarwrite_counts(self.pointer)
        return counts.entries, counts.bytes, counts.sockets_skipped


class Make:
    """Makes writers of one directory, and frees them."""

    def __init__(self, csrc: Csrc, top: Path) -> None:
        self.csrc, self.top = csrc, top
        self.writers: list[Writer] = []

    def __call__(
        self, flags: int = USERXATTR, uids: Any = (), gids: Any = (), latest: int = NEVER, top: Path | None = None
    ) -> Writer:
        self.writers.append(Writer(self.csrc, top or self.top, flags, [*uids], [*gids], latest))
        return self.writers[-1]


@pytest.fixture
def make(csrc: Csrc, top: Path) -> Iterator[Make]:
    make = Make(csrc, top)
    yield make
    for writer in make.writers:
        csrc.lib.prt_tarwrite_free(writer.pointer)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "top").mkdir()
    return tmp_path / "top"


def read(raw: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(raw), errors="surrogateescape") as archive:
        return {info.name: info for info in archive}


def data_of(raw: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


@contextmanager
def refused(code: int, path: str, msg: str) -> Iterator[None]:
    with pytest.raises(Failure) as caught:
        yield
    failure = caught.value
    assert (failure.code, failure.op, failure.path) == (code, "tarwrite", path[:255])
    assert msg in failure.msg


def test_an_empty_tree_is_the_end_mark(make: Make) -> None:
    assert make().rest() == bytes(1024)
    assert [*read(make(USERXATTR | ROOT).rest())] == ["."]


def test_after_the_end_there_is_nothing(make: Make) -> None:
    writer = make()

    assert (writer.rest(), writer.step(10), writer.step(10)) == (bytes(1024), b"", b"")


def test_entries_are_sorted_by_bytes_and_parents_come_first(make: Make, top: Path) -> None:
    for name in ("b", "a/z", "a/b/c", "a.b", "B", "\u00e9", "a-"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)

    assert [*read(make().rest())] == ["B", "a", "a/b", "a/b/c", "a/z", "a-", "a.b", "b", "\u00e9"]


def test_a_whiteout_may_have_the_longest_name(make: Make, top: Path) -> None:
    os.mknod(top / ("n" * 255), 0o20000, 0)

    assert [*read(make().rest())] == [".wh." + "n" * 255]


def test_whiteouts_that_are_one_inode_are_no_hard_links(make: Make, top: Path) -> None:
    os.mknod(top / "a", 0o20000, 0)
    os.link(top / "a", top / "b")

    assert [(info.name, info.type) for info in read(make().rest()).values()] == [
        (".wh.a", tarfile.REGTYPE),
        (".wh.b", tarfile.REGTYPE),
    ]


@pytest.mark.parametrize("name", [".wh.x", ".wh.", ".wh..wh..opq"])
def test_a_file_that_would_be_a_whiteout_is_refused(make: Make, top: Path, name: str) -> None:
    (top / "d").mkdir()
    (top / "d" / name).touch()

    with refused(errno.EINVAL, f"d/{name}", "begins with .wh."):
        make().rest()


def test_a_plain_tree_has_no_whiteouts(make: Make, top: Path) -> None:
    for opaque in (top, top / "d"):
        opaque.mkdir(exist_ok=True)
        os.setxattr(opaque, "user.overlay.opaque", b"y")
    os.mknod(top / "gone", 0o20000, 0)
    (top / "d" / ".wh.x").touch()

    assert [*read(make(USERXATTR | PLAIN).rest())] == ["d", "d/.wh.x"]


@pytest.mark.parametrize("attribute", ["redirect", "metacopy", "whiteout"])
def test_what_overlayfs_keeps_elsewhere_is_refused(make: Make, top: Path, attribute: str) -> None:
    (top / "file").touch()
    os.setxattr(top / "file", f"user.overlay.{attribute}", b"/elsewhere")

    with refused(errno.EOPNOTSUPP, "file", "keeps a part of it elsewhere"):
        make().rest()
    assert b"overlay" not in make(0).rest()


def test_whiteouts_as_attributes_are_refused(make: Make, top: Path) -> None:
    (top / "d").mkdir()
    os.setxattr(top / "d", "user.overlay.opaque", b"x")

    with refused(errno.EOPNOTSUPP, "d", "whiteouts are extended attributes"):
        make().rest()


def test_only_its_own_overlay_makes_a_directory_opaque(make: Make, top: Path) -> None:
    (top / "d").mkdir()
    os.setxattr(top / "d", "user.overlay.opaque", b"y")
    os.setxattr(top / "d", "user.overlay.origin", b"handle")
    os.setxattr(top, "user.overlay.opaque", b"y")

    assert [*read(make().rest())] == [".wh..wh..opq", "d", "d/.wh..wh..opq"]
    assert b"overlay" not in make().rest()
    assert [*read(make(0).rest())] == ["d"]


def test_sockets_are_skipped_and_counted(make: Make, top: Path) -> None:
    (top / "file").write_bytes(bytes(1000))
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        server.bind(os.path.relpath(top / "s", here)[-100:] if len(str(top)) > 90 else str(top / "s"))
    writer = make()

    assert [*read(writer.rest())] == ["file"]
    assert writer.counts == (1, 1000, 1)


def test_holes_are_written_but_not_read(make: Make, top: Path) -> None:
    with open(top / "sparse", "wb") as file:
        file.write(b"begin")
        file.seek(1 << 27)
        file.write(b"middle")
        file.truncate((1 << 28) + 5)
    before = characters_read()
    sizes = hashed = 0
    writer = make()
    for piece in iter(lambda: writer.step(1 << 20), b""):
        sizes += len(piece)
        hashed += len(piece) - piece.count(0)

    assert characters_read() - before < 1 << 20
    assert sizes == 3 * 512 + (1 << 28) + 512 + 1024
    assert hashed > len("beginmiddle")


def characters_read() -> int:
    return int(Path("/proc/thread-self/io").read_text().split()[1])


def test_sparse_files_are_what_a_read_gives(make: Make, top: Path) -> None:
    with open(top / "sparse", "wb") as file:
        for at in (0, 70_000, 200_001):
            file.seek(at)
            file.write(b"data" * 1000)
        file.truncate(400_000)

    for size in (1000, 1 << 20):
        assert data_of(make().rest(size), "sparse") == (top / "sparse").read_bytes()


def test_numbers_that_no_header_holds_are_in_records(make: Make, top: Path) -> None:
    with open(top / "huge", "wb") as file:
        file.truncate(8**11)
    os.utime(top / "huge", ns=(0, -1_250_000_000))

    raw = make().step(3 * 512)

    assert b" size=8589934592\n" in raw
    assert b" mtime=-1.25\n" in raw
    header = tarfile.TarInfo.frombuf(raw[1024:1536], "utf-8", "strict")
    assert (header.size, header.mtime) == (0, 0)


@pytest.mark.parametrize(
    ("ns", "text"), [(1, "0.000000001"), (-1, "-0.000000001"), (-(10**9), "-1"), (15 * 10**8, "1.5")]
)
def test_times_are_exact(make: Make, top: Path, ns: int, text: str) -> None:
    (top / "file").touch()
    os.utime(top / "file", ns=(0, ns))

    assert read(make().rest())["file"].pax_headers == {"mtime": text}


def test_a_time_that_fits_needs_no_record(make: Make, top: Path) -> None:
    (top / "file").touch()
    os.utime(top / "file", ns=(0, 17 * 10**9))

    assert len(make().rest()) == 512 + 1024


def test_many_hard_links_lead_to_their_first_names(make: Make, top: Path) -> None:
    for number in range(300):
        (top / f"{number:03}-1").write_text(str(number))
        os.link(top / f"{number:03}-1", top / f"{number:03}-2")
    (top / "link").symlink_to("x")
    os.link(top / "link", top / "other", follow_symlinks=False)

    found = read(make().rest())

    assert all(found[f"{number:03}-2"].linkname == f"{number:03}-1" for number in range(300))
    assert found["link"].issym() and found["other"].islnk() and found["other"].linkname == "link"


def test_an_attribute_that_no_record_can_name_is_refused(make: Make, top: Path) -> None:
    (top / "file").touch()
    os.setxattr(top / "file", "user.a=b", b"")

    with refused(errno.EINVAL, "file", "= in its name"):
        make().rest()


def test_attributes_may_be_large_and_many(make: Make, top: Path) -> None:
    values = {f"user.{n}": bytes([n]) * 100 for n in range(9)} | {"user.": b"", "user.\u00e9": b"\n=\0"}
    values.pop("user.")
    (top / "file").touch()
    for name, value in values.items():
        os.setxattr(top / "file", name, value)

    headers = read(make().rest())["file"].pax_headers
    found = {key.removeprefix("SCHILY.xattr."): os.fsencode(value) for key, value in headers.items() if "xattr" in key}

    assert found == values
    assert [*found] == sorted(found)


def test_owners_are_mapped(make: Make, top: Path) -> None:
    (top / "file").touch()
    uid, gid = os.geteuid(), os.getegid()

    found = read(make(uids=[(7, uid + 5, 9), (3_000_000, uid, 1)], gids=[(0, gid, 2**32 - 1 - gid)]).rest())["file"]

    assert (found.uid, found.gid) == (3_000_000, 0)


@pytest.mark.parametrize("which", ["uids", "gids"])
def test_an_owner_that_no_map_has_is_refused(make: Make, top: Path, which: str) -> None:
    (top / "file").touch()
    mine, other = (0, 0, 2**32 - 1), (0, os.geteuid() + os.getegid() + 1, 1000)

    with refused(errno.EOVERFLOW, "file", "no map"):
        make(uids=[other if which == "uids" else mine], gids=[other if which == "gids" else mine]).rest()


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.mark.needs("root")
def test_ids_in_access_control_lists_are_mapped(make: Make, top: Path) -> None:
    none = 2**32 - 1
    fixed = (1, 7, none), (4, 5, none), (0x10, 5, none), (0x20, 5, none)
    (top / "file").touch()
    os.chown(top / "file", 100_000, 100_000)
    user, group = (2, 5, 100_001), (8, 5, 200_002)
    given = acl(fixed[0], user, fixed[1], group, *fixed[2:])
    os.setxattr(top / "file", "system.posix_acl_access", given)

    raw = make(uids=[(0, 100_000, 9)], gids=[(0, 100_000, 9), (50, 200_000, 9)]).rest()

    assert acl(fixed[0], (2, 5, 1), fixed[1], (8, 5, 52), *fixed[2:]) in raw
    assert given in make().rest()
    with refused(errno.EOVERFLOW, "file", "access control list"):
        make(uids=[(0, 100_000, 1)], gids=[(0, 100_000, 9), (50, 200_000, 9)]).rest()


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("inside", "want"),
    [
        (0, struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)),
        (5, struct.pack("<6I", 0x03000001, 1 << 10, 0, 0, 0, 5)),
    ],
)
def test_capabilities_of_a_user_namespace_are_those_of_its_root(
    make: Make, top: Path, inside: int, want: bytes
) -> None:
    (top / "file").touch()
    os.chown(top / "file", 100_000, 100_000)
    os.setxattr(top / "file", "security.capability", CAPABILITY_V3)

    found = read(make(uids=[(inside, 100_000, 1)]).rest())["file"].pax_headers["SCHILY.xattr.security.capability"]

    assert os.fsencode(found) == want
    assert CAPABILITY_V3 in make().rest()


@pytest.mark.needs("root")
def test_devices_have_numbers_and_nothing_else_has(make: Make, top: Path) -> None:
    os.mknod(top / "char", 0o20600, os.makedev(4095, 1048575))
    os.mknod(top / "block", 0o60600, os.makedev(8, 1))
    (top / "file").touch()

    raw = make().rest()
    found = read(raw)

    assert (found["char"].devmajor, found["char"].devminor) == (4095, 1048575)
    assert found["block"].isblk() and found["block"].devmajor == 8
    assert raw[found["file"].offset_data - 512 + 329 : found["file"].offset_data - 512 + 345] == bytes(16)


@pytest.mark.needs("ordinary_user")
def test_what_may_not_be_read_is_an_error_that_names_it(make: Make, top: Path) -> None:
    (top / "file").write_text("x")
    (top / "file").chmod(0)

    with pytest.raises(Failure) as caught:
        make().rest()

    assert (caught.value.code, caught.value.path) == (errno.EACCES, "file")


def test_a_root_that_is_no_directory_is_refused(csrc: Csrc, make: Make, top: Path) -> None:
    (top / "file").touch()

    with pytest.raises(Failure) as caught:
        make(top=top / "file")

    assert caught.value.code == errno.ENOTDIR


def test_freeing_midway_closes_everything(make: Make, top: Path) -> None:
    (top / "a/b/c").mkdir(parents=True)
    (top / "a/b/c/big").write_bytes(bytes(10_000))
    writer = make()
    for _ in itertools.takewhile(lambda _: b"big" not in writer.step(512), itertools.count()):
        pass
    # The fixture frees it, and the tripwires count descriptors.
