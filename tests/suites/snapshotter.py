"""What every Snapshotter keeps of its contract. A subclass gives the fixture `snapshotter`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrt.errors import InvalidOption, NameInUse
from pyrt.snapshot import Snapshotter
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

        shown = in_view(snapshotter.prepare("c1", str(lower)), command).splitlines()
        snapshotter.remove("c1")

        assert shown[:2] == ["lower", "/nowhere"]
        assert shown[2:4] == expected
        assert shown[4:6] == ["fifo 640", "2"]
        assert shown[6] == "start  \\0  \\0  \\0"

    def test_writes_reach_neither_the_lower_nor_another_view(self, snapshotter: Snapshotter, lower: Path) -> None:
        before = _listing(lower)
        one, two = snapshotter.prepare("c1", str(lower)), snapshotter.prepare("c2", str(lower))

        in_view(one, "echo changed > etc/name; rm script; mkdir new; mv etc/link etc/moved; chmod 700 etc")
        other = in_view(two, "cat etc/name; ls")
        snapshotter.remove("c1")
        snapshotter.remove("c2")

        assert other.split() == ["lower", "etc", "fifo", "script", "sparse"]
        assert _listing(lower) == before

    def shortcoming(self, lower: Path) -> str | None:
        """What the snapshotter says it cannot do here; to be overridden by one that can say so."""
        return None

    def test_a_directory_can_be_replaced_unless_it_is_said_otherwise(
        self, snapshotter: Snapshotter, lower: Path
    ) -> None:
        replace = "{ rm -r etc && mkdir etc; } 2>&- || { echo refused; exit; }; ls etc; echo done"

        shown = in_view(snapshotter.prepare("c1", str(lower)), replace)
        snapshotter.remove("c1")

        assert shown == ("done\n" if self.shortcoming(lower) is None else "refused\n")

    def test_a_key_has_one_view_for_each_destination(self, snapshotter: Snapshotter, lower: Path) -> None:
        root = snapshotter.prepare("c1", str(lower))
        further = snapshotter.prepare("c1", str(lower), "/further/place")

        with pytest.raises(NameInUse):
            snapshotter.prepare("c1", str(lower))
        with pytest.raises(NameInUse):
            snapshotter.prepare("c1", str(lower), "/further/place")
        snapshotter.remove("c1")

        assert (root.destination, further.destination) == ("", "/further/place")

    def test_a_removed_key_is_free_again(self, snapshotter: Snapshotter, lower: Path) -> None:
        first = snapshotter.prepare("c1", str(lower))
        snapshotter.remove("c1")
        snapshotter.remove("c1")

        assert snapshotter.prepare("c1", str(lower)) == first
        snapshotter.remove("c1")

    @pytest.mark.parametrize("key", ["", "..", "a/b", ".hidden", "-x", "a\0b", "x" * 129])
    def test_a_key_is_a_plain_name(self, snapshotter: Snapshotter, lower: Path, key: str) -> None:
        with pytest.raises(InvalidOption) as caught:
            snapshotter.prepare(key, str(lower))

        assert caught.value.argument == "key"

    def test_a_lower_is_an_absolute_path(self, snapshotter: Snapshotter) -> None:
        with pytest.raises(InvalidOption):
            snapshotter.prepare("c1", "relative")
