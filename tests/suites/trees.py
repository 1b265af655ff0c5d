"""What every Trees keeps of its contract. A subclass gives the fixtures `trees`, `top` and `host_uid`."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrt.errors import IntegrityError, InvalidArgument, InvalidSpec, SyscallError
from pyrt.layer import Applied, Limits, Link, Pending, Trees

__all__ = ["TreesSuite", "archive", "directory", "file", "link"]

HostUid = Callable[[int], int]
Entry = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"", *, uid: int = 0, mode: int = 0o644) -> Entry:
    entry = tarfile.TarInfo(name)
    entry.size, entry.uid, entry.gid, entry.mode, entry.mtime = len(content), uid, uid, mode, 1_000_000_000
    return entry, content


def directory(name: str, *, uid: int = 0, mode: int = 0o755) -> Entry:
    entry, _ = file(name, uid=uid, mode=mode)
    entry.type = tarfile.DIRTYPE
    return entry, b""


def link(name: str, target: str, kind: bytes = tarfile.LNKTYPE) -> Entry:
    entry, _ = file(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


def archive(*entries: Entry) -> list[bytes]:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for entry, content in entries:
            tar.addfile(entry, io.BytesIO(content))
    whole = raw.getvalue()
    return [whole[at : at + 4096] for at in range(0, len(whole), 4096)]


def nest(top: Path, depth: int) -> None:
    """Make directories in directories, deeper than a path can say."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a directory", dir_fd=fd)
        inner = os.open("a directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("a file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


class TreesSuite:
    """Inherit, and give `trees`, a directory `top` for it and `host_uid`: what a uid of an archive is on the host."""

    def test_files_belong_to_whom_the_archive_says(self, trees: Trees, top: Path, host_uid: HostUid) -> None:
        layer = archive(
            directory("shared", uid=7, mode=0o751),
            file("shared/secret", b"s" * 10_000, uid=1000, mode=0o600),
            file("program", b"#!", mode=0o4755),
            link("link", "/nowhere", tarfile.SYMTYPE),
        )

        applied = trees.apply(layer, str(top / "layer"))

        found = {name: (top / "layer" / name).lstat() for name in ("shared", "shared/secret", "program", "link")}
        assert {name: st.st_uid for name, st in found.items()} == {
            "shared": host_uid(7),
            "shared/secret": host_uid(1000),
            "program": host_uid(0),
            "link": host_uid(0),
        }
        assert [stat.S_IMODE(st.st_mode) for st in found.values()][:3] == [0o751, 0o600, 0o4755]
        assert found["shared/secret"].st_mtime == 1_000_000_000
        assert (applied.size_bytes, applied.entries, applied.pending.links) == (10_002, 4, ())

    def test_whiteouts_take_the_overlay_s_form(self, trees: Trees, top: Path) -> None:
        trees.apply(archive(file(".wh.gone"), directory("new"), file("new/.wh..wh..opq")), str(top / "layer"))

        gone = (top / "layer/gone").lstat()
        assert stat.S_ISCHR(gone.st_mode)
        assert gone.st_rdev == 0
        assert os.getxattr(top / "layer/new", "user.overlay.opaque") == b"y"

    def test_a_directory_may_be_a_descriptor(self, trees: Trees, top: Path) -> None:
        trees.make_directory(str(top / "layer"))
        fd = os.open(top / "layer", os.O_RDONLY)

        trees.apply(archive(file("a")), fd)
        os.close(fd)

        assert os.listdir(top / "layer") == ["a"]

    @pytest.mark.parametrize(
        ("layer", "kind", "message"),
        [
            (archive(file("../a")), InvalidSpec, r"\.\./a"),
            (archive(file("a", b"x" * 9000))[:2], IntegrityError, "end"),
            ([b"\1" * 1024], InvalidSpec, "layer"),
        ],
        ids=["leads out", "ends early", "no archive"],
    )
    def test_a_bad_archive_is_refused(
        self, trees: Trees, top: Path, layer: list[bytes], kind: type[Exception], message: str
    ) -> None:
        with pytest.raises(kind, match=message) as caught:
            trees.apply(layer, str(top / "layer"))

        trees.remove(str(top / "layer"))
        assert caught.type is kind
        assert os.listdir(top) == []

    def test_limits_hold(self, trees: Trees, top: Path) -> None:
        with pytest.raises(InvalidSpec):
            trees.apply(archive(file("a", b"12345")), str(top / "layer"), limits=Limits(size_bytes=4))

    def test_a_directory_that_has_something_is_refused(self, trees: Trees, top: Path) -> None:
        trees.apply(archive(file("a")), str(top / "layer"))

        with pytest.raises(InvalidArgument) as caught:
            trees.apply(archive(file("b")), str(top / "layer"))

        assert caught.value.argument == "directory"
        assert os.listdir(top / "layer") == ["a"]

    def test_what_the_chunks_raise_comes_through(self, trees: Trees, top: Path) -> None:
        def chunks() -> Iterator[bytes]:
            yield from archive(directory("closed", uid=5, mode=0o700), file("closed/a", uid=5, mode=0o600))[:1]
            raise EOFError("the registry hung up")

        with pytest.raises(EOFError, match="hung up"):
            trees.apply(chunks(), str(top / "layer"))
        trees.remove(str(top / "layer"))

        trees.apply(archive(file("a")), str(top / "layer"))
        assert os.listdir(top / "layer") == ["a"]

    def test_pending_is_settled_from_the_lower_layers(self, trees: Trees, top: Path, host_uid: HostUid) -> None:
        lower, upper = str(top / "lower"), str(top / "upper")
        base = archive(directory("home", uid=9, mode=0o751), file("home/one", b"content", uid=1000, mode=0o640))
        trees.settle(lower, trees.apply(base, lower).pending, [])

        applied = trees.apply(archive(link("home/two", "home/one"), link("three", "home/two")), upper)
        trees.settle(upper, applied.pending, [lower])

        home, two = os.lstat(f"{upper}/home"), os.lstat(f"{upper}/home/two")
        assert set(applied.pending.links) == {Link("home/two", "home/one"), Link("three", "home/two")}
        assert (home.st_uid, stat.S_IMODE(home.st_mode), home.st_mtime) == (host_uid(9), 0o751, 1_000_000_000)
        assert (two.st_uid, two.st_size, two.st_nlink) == (host_uid(1000), 7, 2)
        assert os.path.samefile(f"{upper}/home/two", f"{upper}/three")

    def test_a_link_to_what_no_layer_has_is_the_layer_s_fault(self, trees: Trees, top: Path) -> None:
        trees.make_directory(str(top / "lower"))
        trees.make_directory(str(top / "upper"))

        with pytest.raises(InvalidSpec, match="missing"):
            trees.settle(str(top / "upper"), Pending(links=(Link("two", "missing"),)), [str(top / "lower")])

    def test_many_layers_below(self, trees: Trees, top: Path) -> None:
        lowers = [str(top / str(number)) for number in range(150)]
        for lower in lowers:
            trees.make_directory(lower)
        trees.apply(archive(file("one", b"content")), lowers[-1])
        trees.make_directory(str(top / "upper"))

        trees.settle(str(top / "upper"), Pending(links=(Link("two", "one"),)), lowers)

        assert os.path.getsize(top / "upper/two") == 7

    def test_a_file_is_copied_up(self, trees: Trees, top: Path, host_uid: HostUid) -> None:
        trees.apply(archive(directory("a", uid=3, mode=0o700), file("a/f", b"abc", uid=4)), str(top / "lower"))
        for name in ("upper", "work"):
            trees.make_directory(str(top / name))

        trees.copy_up([str(top / "lower")], str(top / "upper"), "a/f", work=str(top / "work"))

        copied = (top / "upper/a").lstat()
        assert (copied.st_uid, stat.S_IMODE(copied.st_mode)) == (host_uid(3), 0o700)
        if host_uid(3) in (0, os.geteuid()):
            assert (top / "upper/a/f").lstat().st_uid == host_uid(4)
        assert os.listdir(top / "work") == []

    def test_what_was_unpacked_is_written_again(self, trees: Trees, top: Path, host_uid: HostUid) -> None:
        is_own = host_uid(7) == os.geteuid() != 0  # owners are lost
        entries = [
            file(".wh.gone", mode=0),
            directory("closed", uid=7, mode=0o700),
            file("closed/big", bytes(range(256)) * 20_000, uid=1000, mode=0o600),
            directory("opaque"),
            file("opaque/.wh..wh..opq"),
        ]
        applied = trees.apply(archive(*entries), str(top / "layer"))
        trees.settle(str(top / "layer"), applied.pending, [])

        raw = b"".join(trees.write(str(top / "layer")))

        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            found = {entry.name: (entry.uid, entry.mode, entry.size) for entry in tar}
        assert found["closed"] == (0 if is_own else 7, 0o700, 0)
        assert found["closed/big"][2] == 256 * 20_000
        assert found["closed/big"][0] == (0 if is_own else 1000)
        assert found.keys() == {entry.name for entry, _ in entries}

    def test_a_layer_may_be_closed_to_others_as_a_whole(self, trees: Trees, top: Path, host_uid: HostUid) -> None:
        lower, upper = str(top / "lower"), str(top / "upper")
        trees.apply(archive(directory("./", uid=1000, mode=0o700), file("a", uid=1000, mode=0o600)), lower)

        applied = trees.apply(archive(link("b", "a")), upper)
        trees.settle(upper, applied.pending, [lower])

        assert len(b"".join(trees.write(upper))) > 0
        assert list(map(str, trees.changes(upper, [lower]))) == ["A /b"]
        assert os.lstat(upper).st_uid == host_uid(1000)
        trees.remove(upper)
        assert os.listdir(top) == ["lower"]

    def test_a_writing_that_is_given_up_leaves_nothing(self, trees: Trees, top: Path) -> None:
        trees.apply(archive(file("big", bytes(16 << 20))), str(top / "layer"))

        pieces = trees.write(str(top / "layer"))
        first = next(pieces)
        del pieces

        assert len(first) > 0

    def test_a_tree_that_cannot_be_written_says_so(self, trees: Trees, top: Path) -> None:
        with pytest.raises(SyscallError) as caught:
            list(trees.write(str(top / "nowhere")))

        assert caught.value.errno == errno.ENOENT

    def test_changes_are_found(self, trees: Trees, top: Path) -> None:
        lower, upper = str(top / "lower"), str(top / "upper")
        base = [directory("closed", uid=7, mode=0o700), file("closed/a", uid=7), file("b"), file("c")]
        trees.apply(archive(*base), lower)
        more = [directory("closed", uid=7, mode=0o700), file("closed/d", uid=7), file(".wh.b"), file("c", b"new")]
        trees.apply(archive(*more), upper)

        changes = trees.changes(upper, [lower])
        both = trees.compare(lower, lower)

        assert list(map(str, changes)) == ["D /b", "C /c", "C /closed", "A /closed/d"]
        assert both == ()

    def test_a_missing_path_is_a_system_s_error(self, trees: Trees, top: Path) -> None:
        for name in ("lower", "upper"):
            trees.make_directory(str(top / name))

        with pytest.raises(SyscallError) as caught:
            trees.copy_up([str(top / "lower")], str(top / "upper"), "missing")

        assert caught.value.errno == errno.ENOENT
        assert caught.value.op
        with pytest.raises(SyscallError) as caught:
            trees.settle(str(top / "nowhere"), Pending(), [])
        assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(top / "nowhere"))

    def test_a_directory_is_made_once_and_for_all(self, trees: Trees, top: Path, host_uid: HostUid) -> None:
        before = os.umask(0o077)
        try:
            trees.make_directory(str(top / "made"), 0o775)
            with pytest.raises(SyscallError) as caught:
                trees.make_directory(str(top / "made"))
        finally:
            os.umask(before)

        made = (top / "made").stat()
        assert caught.value.errno == errno.EEXIST
        assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (host_uid(0), 0o775)

    def test_a_tree_of_closed_directories_is_removed(self, trees: Trees, top: Path) -> None:
        closed = [directory(f"a/{uid}", uid=uid, mode=0o000) for uid in (0, 1, 1000)]
        inner = [directory(f"a/{uid}/in", uid=uid, mode=0o100) for uid in (0, 1, 1000)]
        files = [file(f"a/{uid}/in/f", uid=uid, mode=0o000) for uid in (0, 1, 1000)]
        trees.apply(archive(*closed, *inner, *files, file(".wh.b")), str(top / "layer"))

        trees.remove(str(top / "layer"))

        assert os.listdir(top) == []

    def test_a_deep_and_wide_tree_is_removed(self, trees: Trees, top: Path) -> None:
        for name in ("other", "other/stays"):
            trees.make_directory(str(top / name))
        trees.apply(archive(*(file(f"wide/{number}") for number in range(2500))), str(top / "tree"))
        if (top / "tree").stat().st_uid == os.geteuid():  # else what we make there is none of its ids'
            nest(top / "tree", 500)
            (top / "tree/link").symlink_to("../other")

        trees.remove(str(top / "tree"))

        assert os.listdir(top) == ["other"]
        assert os.listdir(top / "other") == ["stays"]

    def test_to_remove_what_is_not_there_is_no_error(self, trees: Trees, top: Path) -> None:
        trees.remove(str(top / "nowhere"))
        trees.remove(str(top / "nowhere/below"))

    def test_a_file_is_no_tree(self, trees: Trees, top: Path) -> None:
        (top / "file").touch()

        with pytest.raises(SyscallError) as caught:
            trees.remove(str(top / "file"))

        assert caught.value.errno == errno.ENOTDIR
        assert (top / "file").exists()

    @pytest.mark.parametrize("path", ["relative", "/", "", "a/.."])
    def test_a_tree_has_an_absolute_path(
        self, trees: Trees, top: Path, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        monkeypatch.chdir(top)
        (top / "relative").mkdir()
        (top / "a").mkdir()

        for verb in (trees.remove, trees.make_directory):
            with pytest.raises(InvalidArgument):
                verb(path)

        assert sorted(os.listdir(top)) == ["a", "relative"]

    def test_threads_work_side_by_side(self, trees: Trees, top: Path) -> None:
        done: list[Applied] = []
        together = threading.Barrier(4)

        def chunks(number: int) -> Iterator[bytes]:
            together.wait()
            yield from archive(file(f"from {number}", b"x" * number))

        def work(number: int) -> None:
            done.append(trees.apply(chunks(number), str(top / str(number))))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(applied.size_bytes for applied in done) == [0, 1, 2, 3]
        assert [os.listdir(top / str(number)) for number in range(4)] == [[f"from {number}"] for number in range(4)]
