"""Roots made of many layers: what each adds, hides and replaces, in namespaces of every kind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrt.snapshot import Uppers
from tests.chains import ChainView, hide, make_chain, opaque
from tests.containers import Shell, small_image

Chained = Callable[[tuple[str, ...]], Shell]


@pytest.fixture
def base(public_rootfs: Path, scratch: Path) -> Path:
    """The lowest layer: a small image, beside which the others go."""
    return small_image(public_rootfs, scratch / "layers/base/fs")


@pytest.fixture
def chained(box: Shell, monkeypatch: pytest.MonkeyPatch) -> Chained:
    """Gives the shell an image of a chain."""

    def chained(chain: tuple[str, ...]) -> Shell:
        monkeypatch.setattr(box.engine._rooms, "_views", ChainView(chain))
        return box

    return chained


@pytest.mark.parametrize("count", [2, 130, 300])
def test_many_layers(chained: Chained, base: Path, scratch: Path, count: int) -> None:
    chain = make_chain(scratch / "layers", base, count)

    shown = chained(chain).sh(f"cd added; echo *; cat *; echo new >>0; rm {count - 1}; mkdir x; cat 0; pwd")

    kept = sorted((str(n) for n in range(count) if n % 10 == 0 or n == count - 1), key=str)
    assert shown.split() == [*kept, *kept, "0", "new", "/added"]
    assert os.listdir(Path(chain[0]) / "added") != []


def test_long_paths(chained: Chained, base: Path, scratch: Path) -> None:
    deep = scratch.joinpath(*(str(n) * 200 for n in range(5)))
    chain = make_chain(deep, base, 3)

    assert chained(chain).sh("echo /added/*") == "/added/0 /added/2"


def test_odd_names(chained: Chained, base: Path, scratch: Path) -> None:
    chain = make_chain(scratch / "a,b:c\\d e", base, 2)

    assert chained(chain).sh("echo /added/*") == "/added/0 /added/1"


def test_whiteouts_and_opaque_directories(chained: Chained, base: Path, scratch: Path) -> None:
    (base / "home/app/old").mkdir()
    (base / "var/a").mkdir()
    middle, top = scratch / "layers/1/fs", scratch / "layers/2/fs"
    hide(middle / "home/app")
    opaque(middle / "var")
    (middle / "var/b").mkdir()
    (top / "home/app/new").mkdir(parents=True)
    (top / "var/c").mkdir(parents=True)

    shown = chained((str(top), str(middle), str(base))).sh("echo /home/app/* /var/*")

    assert shown == "/home/app/new /var/b /var/c"


def test_attributes_of_a_directory_are_the_topmost_s(chained: Chained, base: Path, scratch: Path) -> None:
    (base / "etc").chmod(0o700)
    middle, top = scratch / "layers/1/fs", scratch / "layers/2/fs"
    (middle / "etc").mkdir(parents=True)
    (middle / "etc").chmod(0o751)
    top.mkdir(parents=True)
    top.chmod(0o711)

    shown = chained((str(top), str(middle), str(base))).sh("stat -c %a / /etc; cat /etc/hostname", hostname="here")

    assert shown.split() == ["711", "751", "here"]


def test_users_are_looked_up_in_all_layers(chained: Chained, base: Path, scratch: Path) -> None:
    top = scratch / "layers/1/fs"
    (top / "usr/lib").mkdir(parents=True)
    (top / "usr/lib/passwd").write_text("web:x:33:33::/var/www:/bin/sh\n")
    (top / "etc").mkdir()
    (top / "etc/passwd").symlink_to("../../../usr/lib/passwd")
    top2 = scratch / "layers/2/fs"
    (top2 / "added").mkdir(parents=True)
    box = chained((str(top2), str(top), str(base)))

    if box.is_inside and os.geteuid() != 0:
        shown = box.engine._rooms.launcher.draft(
            box.engine._rooms.views.open(""), ["true"], {"user": "web:app"}, "0" * 64
        ).spec.process.user
        assert (shown.uid, shown.gid) == (33, 1000)
    else:
        assert box.sh("id -u; id -g; echo $HOME", user="web:app").split() == ["33", "1000", "/var/www"]


class Kept(Uppers):
    """Uppers that stay when their container ends."""

    def remove(self, key: str) -> None:
        """Remove nothing."""

    def key(self) -> str:
        return os.listdir(self._directory)[0]


@pytest.fixture
def kept(box: Shell, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """What the containers of the shell write to, removed at the end."""
    directory = str(scratch / "containers")
    kept = Kept(directory, user_namespace=box.is_inside)
    monkeypatch.setattr(box.engine._rooms.launcher, "snapshotter", lambda view, draft: kept)
    yield kept
    Uppers(directory).remove(kept.key())


@pytest.mark.parametrize("count", [2, 130])
def test_an_upper_on_disk_holds_what_was_written_and_no_generated_file(
    chained: Chained, base: Path, scratch: Path, kept: Kept, count: int
) -> None:
    box = chained(make_chain(scratch / "layers", base, count))

    shown = box.sh("echo x >/new; rm /added/0; cat /etc/hostname; mkdir /etc/own", hostname="here")

    upper = Path(kept.upper(kept.key()))
    assert shown == "here"
    assert sorted(os.listdir(upper)) == ["added", "etc", "new"]
    assert os.listdir(upper / "etc") == ["own"]
    assert (upper / "added/0").lstat().st_rdev == 0
    assert (upper / "new").stat().st_uid == os.geteuid()


def test_an_upper_on_disk_can_be_mounted_again(
    chained: Chained, base: Path, scratch: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = chained(make_chain(scratch / "layers", base, 3))
    box.sh("echo first >/new; rm -r /added")
    key = kept.key()
    monkeypatch.setattr(kept, "prepare", lambda _, lowers, destination="": kept.mount(key, lowers, destination))

    shown = box.sh("cat /new /etc/hostname; ls -d /added || echo gone", hostname="again")

    assert shown.split() == ["first", "again", "gone"]


@pytest.mark.needs("idmapped_host")
def test_what_is_written_to_the_host_s_programs_is_kept(box: Shell, kept: Kept) -> None:
    host = Shell(box.engine, "host:", **box.options)

    shown = host.sh("echo x >/opt/pyrt-new; cat /etc/hostname", hostname="here")

    opt = Path(kept.upper(kept.key(), "/opt" if box.is_inside else ""), "" if box.is_inside else "opt")
    assert shown == "here"
    assert os.listdir(opt) == ["pyrt-new"]
    assert not Path("/opt/pyrt-new").exists()


@pytest.mark.needs("root")
def test_a_chain_over_several_mounts_in_a_user_namespace(
    root_shell: Shell, base: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = make_chain(scratch / "layers", base, 2)
    source, bound = scratch / "source", scratch / "layers/bound"
    source.mkdir()
    bound.mkdir()
    (source / "there").touch()
    subprocess.run(["mount", "--bind", source, bound], check=True)
    try:
        monkeypatch.setattr(root_shell.engine._rooms, "_views", ChainView((str(bound), *chain)))
        shown = root_shell.sh("stat -c %u:%g /there /added/0", userns_mode="private")
    finally:
        subprocess.run(["umount", bound], check=True)

    assert shown.split() == ["0:0", "0:0"]
