"""What every Trees keeps of its contract about merged trees. A subclass gives the fixtures of TreesSuite."""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pyrt.errors import InvalidArgument, PyrtError, SyscallError, Unsupported
from pyrt.layer import Found, Trees
from tests.suites.trees import Entry, HostUid, archive, directory, file, link

__all__ = ["MergedTreesSuite", "workers"]


def workers(parent: int | None = None) -> list[int]:
    """Find the processes that work for one."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            status = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            words = Path("/proc", entry, "cmdline").read_bytes()
            if int(status[1]) == (parent or os.getpid()) and b"pyrt.layer.worker" in words:
                found.append(int(entry))
    return found


def read(pieces: Iterable[bytes]) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        return {entry.name: entry for entry in tar}


def unpacked(trees: Trees, top: Path, *layers: list[Entry]) -> list[str]:
    """Unpack layers, the topmost first."""
    directories = [str(top / str(number)) for number in range(len(layers))]
    for place, layer in zip(directories[::-1], layers[::-1], strict=True):
        below = directories[directories.index(place) + 1 :]
        trees.settle(place, trees.apply(archive(*layer), place).pending, below)
    return directories


class MergedTreesSuite:
    """Inherit it beside TreesSuite."""

    @pytest.mark.needs("overlay")
    def test_the_merged_tree_is_what_its_layers_show(self, trees: Trees, top: Path) -> None:
        low = [
            *(file("changed", b"1"), file("gone"), file("kept", b"kept")),
            *(directory("opaque"), file("opaque/old"), directory("both"), file("both/low"), file("replaced")),
            *(directory("alone"), file("alone/.wh.never was"), file("alone/here")),
        ]
        middle = [file(".wh.gone"), directory("opaque"), file("opaque/.wh..wh..opq"), file("opaque/new")]
        up = [file("changed", b"22"), directory("both"), file("both/up"), directory("replaced"), file(".wh.kept")]

        found = read(trees.write_merged(unpacked(trees, top, up, middle, low)))

        names = ["alone", "alone/here", "both", "both/low", "both/up", "changed", "opaque", "opaque/new", "replaced"]
        assert list(found) == names
        assert found["changed"].size == 2
        assert found["replaced"].isdir()

    @pytest.mark.needs("overlay")
    def test_a_part_of_the_merged_tree_is_an_archive_of_its_own(self, trees: Trees, top: Path) -> None:
        low = [
            directory("a"),
            directory("a/b"),
            file("a/b/low"),
            file("a/gone"),
            file("other"),
            link("way", "a", tarfile.SYMTYPE),
        ]
        up = [directory("a"), file("a/.wh.gone"), directory("a/b"), file("a/b/up")]
        layers = unpacked(trees, top, up, low)

        assert list(read(trees.write_merged(layers, path="a"))) == ["b", "b/low", "b/up"]
        assert list(read(trees.write_merged(layers, path="a/b", root=True))) == [".", "low", "up"]
        for path in ("way", "none", "other"):
            with pytest.raises(SyscallError):
                b"".join(trees.write_merged(layers, path=path))

    @pytest.mark.needs("overlay")
    def test_nothing_is_below_a_layer_that_is_opaque_as_a_whole(self, trees: Trees, top: Path) -> None:
        lowers = unpacked(trees, top, [file("up")], [file(".wh..wh..opq"), file("middle")], [file("low")])

        assert list(read(trees.write_merged(lowers))) == ["middle", "up"]
        assert list(read(trees.write_merged(lowers[1:]))) == ["middle"]

    @pytest.mark.needs("overlay")
    def test_a_layer_alone_shows_no_whiteouts(self, trees: Trees, top: Path) -> None:
        layer = [file(".wh.gone"), directory("opaque"), file("opaque/.wh..wh..opq"), file("opaque/.wh.gone"), file("a")]

        found = read(trees.write_merged(unpacked(trees, top, layer), root=True))

        assert list(found) == [".", "a", "opaque"]

    @pytest.mark.needs("overlay")
    def test_a_merged_tree_keeps_owners_links_and_attributes(self, trees: Trees, top: Path, host_uid: HostUid) -> None:
        is_alone = host_uid(7) == os.geteuid() != 0
        noted, content = file("noted", b"abc", uid=1000, mode=0o640)
        noted.pax_headers = {"SCHILY.xattr.user.note": "said"}
        low = [directory("closed", uid=7, mode=0o700), file("closed/a", b"a", uid=8, mode=0o600), (noted, content)]
        low += [link("closed/b", "closed/a"), link("to", "/nowhere", tarfile.SYMTYPE), file("program", mode=0o755)]
        lowers = unpacked(trees, top, [directory("closed", uid=7, mode=0o711), link("other", "noted")], low)

        found = read(trees.write_merged(lowers, latest=1_000))

        owners = {name: (entry.uid, entry.gid) for name, entry in found.items()}
        expected = {"closed": 7, "closed/a": 8, "closed/b": 8, "noted": 1000, "other": 1000, "program": 0, "to": 0}
        assert owners == {name: (0, 0) if is_alone else (uid, uid) for name, uid in expected.items()}
        assert (found["closed"].mode, found["noted"].mode, found["program"].mode) == (0o711, 0o640, 0o755)
        assert (found["closed/b"].type, found["closed/b"].linkname) == (tarfile.LNKTYPE, "closed/a")
        assert (found["to"].linkname, found["noted"].pax_headers["SCHILY.xattr.user.note"]) == ("/nowhere", "said")
        assert not any("overlay" in name for entry in found.values() for name in entry.pax_headers)
        assert {entry.mtime for entry in found.values()} == {1_000}

    @pytest.mark.needs("overlay")
    def test_many_layers_are_merged(self, trees: Trees, top: Path) -> None:
        lowers = unpacked(trees, top, *([file(f"from {number}"), file("last", b"x" * number)] for number in range(150)))
        fds = [os.open(lower, os.O_PATH) for lower in lowers]
        try:
            found = read(trees.write_merged(fds))
        finally:
            for fd in fds:
                os.close(fd)

        assert len(found) == 151
        assert found["last"].size == 0

    @pytest.mark.needs("overlay")
    def test_a_merged_tree_is_mounted_where_nobody_sees_it(self, trees: Trees, top: Path) -> None:
        lowers = unpacked(trees, top, [file("up")], [file("big", bytes(16 << 20))])
        before = Path("/proc/self/mountinfo").read_text()
        idle = workers()

        pieces = trees.write_merged(lowers)
        first = next(pieces)
        [worker] = set(workers()) - set(idle)
        during = Path("/proc/self/mountinfo").read_text()
        shown = sorted(os.listdir(top / "0"))
        del pieces

        assert len(first) > 0
        assert worker not in workers()
        assert (during, shown) == (before, ["up"])

    @pytest.mark.needs("overlay")
    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV])
    def test_a_process_that_dies_while_it_merges_is_reported(
        self, trees: Trees, top: Path, end: signal.Signals
    ) -> None:
        lowers = unpacked(trees, top, [file("up")], [file("big", bytes(16 << 20))])
        idle = workers()
        pieces: Iterator[bytes] = trees.write_merged(lowers)
        next(pieces)
        [worker] = set(workers()) - set(idle)

        os.kill(worker, end)
        with pytest.raises(PyrtError, match=f"ended \\(killed by signal {end.value}\\)"):
            list(pieces)

        assert workers() == idle

    @pytest.mark.needs("overlay")
    def test_what_cannot_be_merged_is_refused(self, trees: Trees, top: Path) -> None:
        lowers = unpacked(trees, top, *([directory("in")] for _ in range(501)))

        with pytest.raises(InvalidArgument):
            list(trees.write_merged([]))
        with pytest.raises(InvalidArgument, match="has all others in it"):
            list(trees.write_merged([lowers[0], f"{lowers[0]}/in"]))
        with pytest.raises(Unsupported, match="one of them is in another"):
            list(trees.write_merged([lowers[0], f"{lowers[0]}/in", lowers[1]]))
        with pytest.raises(Unsupported, match="500"):
            list(trees.write_merged(lowers))
        with pytest.raises(SyscallError) as caught:
            list(trees.write_merged([lowers[0], str(top / "nowhere")]))
        assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(top / "nowhere"))

    def test_a_path_of_the_merged_tree_is_found(self, trees: Trees, top: Path) -> None:
        low = [directory("a"), file("a/f"), file("gone"), link("way", "a", tarfile.SYMTYPE)]
        upper, lower = unpacked(trees, top, [file("own"), file(".wh.gone")], low)

        assert trees.find([lower], upper, "/way/f") == Found(1, "a/f")
        assert trees.find([lower], upper, "way", follow=False) == Found(1, "way")
        assert trees.find([lower], upper, "own") == Found(0, "own")
        assert trees.find([lower], None, "gone") == Found(1, "gone")
        with pytest.raises(SyscallError) as caught:
            trees.find([lower], upper, "gone")
        assert caught.value.errno == errno.ENOENT

    def test_paths_of_the_merged_tree_come_and_go(self, trees: Trees, top: Path, host_uid: HostUid) -> None:
        low = [directory("a"), file("a/f"), file("b")]
        upper, work, lower = unpacked(trees, top, [file("own")], [], low)

        trees.remove_path([lower], upper, "a", work=work)
        trees.remove_path([lower], upper, "own", work=work)
        trees.make_path([lower], upper, "a", 0o750, work=work)
        trees.make_path([lower], upper, "new/inner")

        made = (top / "0/a").stat()
        assert list(map(str, trees.changes(upper, [lower]))) == ["C /a", "D /a/f", "A /new", "A /new/inner"]
        assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (host_uid(0), 0o750)
        assert os.listdir(work) == []
