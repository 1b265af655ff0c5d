"""What every Snapshotter keeps of its contract. A subclass gives the fixture `snapshotter`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrt.errors import InvalidOption, NameInUse
from pyrt.snapshot import Snapshotter
from tests.chains import hide, opaque
from tests.views import in_view

__all__ = ["SnapshotterSuite"]


def _listing(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in [top, *top.rglob("*")]:
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, status.st_nlink)
    return found


class SnapshotterSuite:
    """Inherit, and give a fixture `snapshotter`."""

    @pytest.fixture
    def lower(self, tmp_path: Path) -> Path:
        top = tmp_path / "a lower: with, odd\\name"
        (top / "etc").mkdir(parents=True)
        (top / "etc/name").write_text("lower\n")
        (top / "etc/again").hardlink_to(top / "etc/name")
        (top / "etc/link").symlink_to("/nowhere")
        (top / "script").write_text("#!/bin/sh\n")
        (top / "script").chmod(0o750)
        with open(top / "sparse", "wb") as file:
            file.write(b"start")
            file.truncate(1 << 20)
        os.mkfifo(top / "fifo", 0o640)
        return top

    def test_a_view_shows_the_lower(self, snapshotter: Snapshotter, lower: Path) -> None:
        command = (
            "cat etc/name; readlink etc/link; stat -c '%a %s %Y' script sparse; stat -c '%F %a' fifo;"
            "stat -c %h etc/again; head -c 5 sparse; tail -c 3 sparse | od -An -c"
        )
        statuses = [(lower / name).stat() for name in ("script", "sparse")]
        expected = [f"{s.st_mode & 0o7777:o} {s.st_size} {int(s.st_mtime)}" for s in statuses]

        shown = in_view(snapshotter.prepare("c1", [str(lower)]), command).splitlines()
        snapshotter.remove("c1")

        assert shown[:2] == ["lower", "/nowhere"]
        assert shown[2:4] == expected
        assert shown[4:6] == ["fifo 640", "2"]
        assert shown[6] == "start  \\0  \\0  \\0"

    def test_writes_reach_neither_the_lower_nor_another_view(self, snapshotter: Snapshotter, lower: Path) -> None:
        before = _listing(lower)
        one, two = snapshotter.prepare("c1", [str(lower)]), snapshotter.prepare("c2", [str(lower)])

        in_view(one, "echo changed > etc/name; rm script; mkdir new; mv etc/link etc/moved; chmod 700 etc")
        other = in_view(two, "cat etc/name; ls")
        snapshotter.remove("c1")
        snapshotter.remove("c2")

        assert other.split() == ["lower", "etc", "fifo", "script", "sparse"]
        assert _listing(lower) == before

    def test_several_lowers_are_merged_the_topmost_first(self, snapshotter: Snapshotter, tmp_path: Path) -> None:
        top, middle, base = (tmp_path / name for name in ("top", "middle", "base"))
        for lower, name in ((top, "etc/top"), (middle, "etc/middle"), (base, "etc/base")):
            (lower / "etc").mkdir(parents=True)
            (lower / name).write_text(name)
            (lower / "etc/all").write_text(f"{lower.name}\n")
        (base / "etc").chmod(0o750)
        (top / "etc").chmod(0o711)
        (base / "a file").write_text("file\n")
        (top / "a file").mkdir()
        (base / "a directory/inside").mkdir(parents=True)
        (middle / "a directory").write_text("now a file\n")
        lowers = [str(top), str(middle), str(base)]

        shown = in_view(
            snapshotter.prepare("c1", lowers), "ls etc; cat etc/all 'a directory'; ls 'a file'; stat -c %a etc"
        )
        snapshotter.remove("c1")

        assert shown.split("\n")[:-1] == ["all", "base", "middle", "top", "top", "now a file", "711"]

    def test_what_is_hidden_stays_hidden(self, snapshotter: Snapshotter, tmp_path: Path) -> None:
        top, middle, base = (tmp_path / name for name in ("top", "middle", "base"))
        for path in ("hidden/a", "opaque/a", "again/a", "stays/a", "other"):
            (base / path).mkdir(parents=True)
        (base / "file").touch()
        for name in ("hidden", "file", "again", "never"):
            hide(middle / name)
        opaque(middle / "opaque")
        (middle / "opaque/b").mkdir()
        (top / "opaque/c").mkdir(parents=True)
        (top / "again/b").mkdir(parents=True)
        lowers = [str(top), str(middle), str(base)]

        shown = in_view(snapshotter.prepare("c1", lowers), "echo *; echo */*; stat -c %t:%T file || echo none")
        snapshotter.remove("c1")

        assert shown.splitlines() == ["again opaque other stays", "again/b opaque/b opaque/c stays/a", "none"]

    def test_a_lower_that_is_opaque_hides_all_below(self, snapshotter: Snapshotter, tmp_path: Path) -> None:
        (tmp_path / "base/old").mkdir(parents=True)
        opaque(tmp_path / "middle")
        (tmp_path / "middle/new").touch()
        (tmp_path / "top/newer").mkdir(parents=True)
        lowers = [str(tmp_path / name) for name in ("top", "middle", "base")]

        shown = in_view(snapshotter.prepare("c1", lowers), "echo *")
        snapshotter.remove("c1")

        assert shown == "new newer\n"

    def test_as_many_lowers_as_the_kernel_stacks(self, snapshotter: Snapshotter, tmp_path: Path) -> None:
        lowers = [tmp_path / str(number) for number in range(150)]
        for number, lower in enumerate(lowers):
            lower.mkdir()
            (lower / "file").write_text(f"{number}\n")
            (lower / f"file {number}").touch()

        mount = snapshotter.prepare("c1", list(map(str, lowers)))
        with pytest.raises(InvalidOption) as caught:
            snapshotter.prepare("c2", ["/lower"] * 501)
        snapshotter.remove("c1")

        assert mount.destination == ""
        assert caught.value.argument == "lowers"

    def shortcoming(self, lower: Path) -> str | None:
        """What the snapshotter says it cannot do here; to be overridden by one that can say so."""
        return None

    def test_a_directory_can_be_replaced_unless_it_is_said_otherwise(
        self, snapshotter: Snapshotter, lower: Path
    ) -> None:
        replace = "{ rm -r etc && mkdir etc; } 2>&- || { echo refused; exit; }; ls etc; echo done"

        shown = in_view(snapshotter.prepare("c1", [str(lower)]), replace)
        snapshotter.remove("c1")

        assert shown == ("done\n" if self.shortcoming(lower) is None else "refused\n")

    def test_a_key_has_one_view_for_each_destination(self, snapshotter: Snapshotter, lower: Path) -> None:
        root = snapshotter.prepare("c1", [str(lower)])
        further = snapshotter.prepare("c1", [str(lower)], "/further/place")

        with pytest.raises(NameInUse):
            snapshotter.prepare("c1", [str(lower)])
        with pytest.raises(NameInUse):
            snapshotter.prepare("c1", [str(lower)], "/further/place")
        snapshotter.remove("c1")

        assert (root.destination, further.destination) == ("", "/further/place")

    def test_a_removed_key_is_free_again(self, snapshotter: Snapshotter, lower: Path) -> None:
        first = snapshotter.prepare("c1", [str(lower)])
        snapshotter.remove("c1")
        snapshotter.remove("c1")

        assert snapshotter.prepare("c1", [str(lower)]) == first
        snapshotter.remove("c1")

    @pytest.mark.parametrize("key", ["", "..", "a/b", ".hidden", "-x", "a\0b", "x" * 129])
    def test_a_key_is_a_plain_name(self, snapshotter: Snapshotter, lower: Path, key: str) -> None:
        with pytest.raises(InvalidOption) as caught:
            snapshotter.prepare(key, [str(lower)])

        assert caught.value.argument == "key"

    def test_a_lower_is_an_absolute_path(self, snapshotter: Snapshotter) -> None:
        for lowers in (["relative"], ["/x", "relative"], [], ["/nul\0"], "/text"):
            with pytest.raises(InvalidOption) as caught:
                snapshotter.prepare("c1", lowers)
            assert caught.value.argument == "lowers"
