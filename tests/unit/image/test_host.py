from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pyrt.errors import Unsupported
from pyrt.image import HostView, open_image
from pyrt.image.host import _path, _prefixes
from pyrt.image.hostlayout import HostTree, TopEntry, one_overlay, overlay_each
from pyrt.image.mountinfo import MountPoint, parse_mountinfo
from pyrt.image.private import hide_private, is_private
from pyrt.oci.spec import Mount
from pyrt.runtime.bundle import File
from pyrt.snapshot import Copying, Overlay

DIR, LINK, REGULAR = stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777, stat.S_IFREG | 0o644


def tree(
    *, mounts: tuple[MountPoint, ...] = (), prefixes: tuple[str, ...] = (), private: tuple[File, ...] = ()
) -> HostTree:
    entries = (
        TopEntry("bin", LINK, b"usr/bin"),
        TopEntry("etc", DIR),
        TopEntry("home", DIR),
        TopEntry("secrets", stat.S_IFDIR | 0o711),
        TopEntry("notes.txt", REGULAR),
        TopEntry("usr", DIR),
    )
    return HostTree(entries, frozenset({"bin", "etc", "usr"}), mounts, prefixes, private)


def files(tree: HostTree, *, inside: bool = False) -> dict[str, File]:
    rootfs, _ = overlay_each(tree) if inside else one_overlay(tree)
    return {file.path: file for file in rootfs.files}


@pytest.mark.parametrize("inside", [False, True])
def test_what_is_not_on_the_list_is_empty(inside: bool) -> None:
    found = files(tree(), inside=inside)

    assert found["/secrets"] == File("/secrets", "dir", mode=0o711, opaque=not inside)
    assert found["/root"] == File("/root", "dir", mode=0o700, opaque=not inside)
    assert found["/tmp"] == File("/tmp", "dir", mode=0o1777, opaque=not inside)
    assert found["/var/tmp"].mode == 0o1777
    assert found["/var/run"] == File("/var/run", "symlink", b"/run")


def test_a_file_of_the_root_is_empty_outside_and_absent_inside() -> None:
    assert files(tree())["/notes.txt"] == File("/notes.txt", mode=0)
    assert "/notes.txt" not in files(tree(), inside=True)


def test_outside_of_user_namespaces_one_overlay_shows_all() -> None:
    rootfs, lowers = one_overlay(tree())

    assert rootfs.mounts == (Mount("", "overlay", "overlay", ("lowerdir=/",)),)
    assert lowers == ("/",)


def test_inside_each_directory_is_an_overlay_and_links_are_made() -> None:
    rootfs, lowers = overlay_each(tree())

    assert [(mount.type, mount.destination) for mount in rootfs.mounts] == [
        ("tmpfs", ""),
        ("overlay", "/etc"),
        ("overlay", "/usr"),
    ]
    assert lowers == ("/etc", "/usr")
    assert File("/bin", "symlink", b"usr/bin") in rootfs.files


def test_file_systems_in_shown_places_are_shown(tmp_path: Path) -> None:
    mounts = (
        MountPoint("/", "ext4"),
        MountPoint("/home", "ext4"),
        MountPoint("/usr", "squashfs"),
        MountPoint("/usr/share", "proc"),
        MountPoint("/usr/share/doc", "tmpfs"),
        MountPoint("/usr/bin", "nfs"),
        MountPoint("/usrlocal", "ext4"),
    )

    _, lowers = one_overlay(tree(mounts=mounts))

    assert lowers == ("/", "/usr", "/usr/bin")


def test_a_file_that_is_mounted_is_bound_read_only_unless_it_is_hidden_or_the_runtimes() -> None:
    mounts = tuple(MountPoint(path, "ext4") for path in ("/etc/hosts", "/etc/passwd", "/etc/shadow", "/etc/missing"))

    rootfs, _ = one_overlay(tree(mounts=mounts, private=(File("/etc/shadow", mode=0),)))

    assert rootfs.mounts[1:] == (Mount("/etc/passwd", "bind", "/etc/passwd", ("bind", "ro")),)


def test_inside_a_directory_with_mount_points_is_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "top"
    (top / "plain").mkdir(parents=True)
    (top / "with/mounted").mkdir(parents=True)
    (top / "note").write_bytes(b"text")
    (top / "note").chmod(0o640)
    (top / "link").symlink_to("note")
    (top / "big").write_bytes(b"x" * ((1 << 20) + 1))
    os.mkfifo(top / "fifo")
    shown = HostTree((), frozenset(), (MountPoint(f"{top}/with/mounted", "tmpfs"),), (str(top),))

    rootfs, lowers = overlay_each(shown)
    found = {file.path: file for file in rootfs.files}

    assert lowers == (f"{top}/plain", f"{top}/with/mounted")
    assert found[f"{top}/note"] == File(f"{top}/note", "file", b"text", 0o640)
    assert found[f"{top}/link"] == File(f"{top}/link", "symlink", b"note")
    assert found[f"{top}/fifo"].content == b""
    assert Mount(f"{top}/big", "bind", f"{top}/big", ("bind", "ro")) in rootfs.mounts


def test_inside_a_private_directory_is_covered_where_it_could_be_read(tmp_path: Path) -> None:
    private = (
        File(str(tmp_path), "dir", mode=0o700, opaque=True),
        File("/etc/missing", "dir", mode=0o700, opaque=True),
    )

    rootfs, _ = overlay_each(tree(private=private))

    assert rootfs.mounts[-1] == Mount(str(tmp_path), "tmpfs", "tmpfs", ("mode=700",))
    assert "/etc/missing" not in {mount.destination for mount in rootfs.mounts}


@pytest.mark.parametrize("inside", [False, True])
def test_a_prefix_in_a_hidden_place_is_shown_and_can_be_reached(inside: bool) -> None:
    hidden = tree(prefixes=("/root/py/3",))
    rootfs, lowers = overlay_each(hidden) if inside else one_overlay(hidden)
    found = {file.path: file for file in rootfs.files}

    assert [file.mode for file in (found["/root"], found["/root/py"], found["/root/py/3"])] == [0o755] * 3
    assert (found["/root"].opaque, found["/root/py"].opaque) == (not inside, False)
    assert inside or "/root/py/3" not in lowers


def test_prefixes_that_would_show_private_things_are_not_shown(tmp_path: Path) -> None:
    home, inside = tmp_path, tmp_path / "venv"
    inside.mkdir()
    given = {str(home), str(inside), "/", "/usr", "/home", str(tmp_path.parent), str(tmp_path / "missing")}

    assert _prefixes(given, frozenset({"usr"}), frozenset({str(home)})) == (str(inside),)


def test_the_path_names_only_what_is_shown() -> None:
    shown = tree(prefixes=(str(Path(__file__).parent),))
    own = f"/usr/bin:relative:/home/me/bin:{Path(__file__).parent}:/bin:/usr/bin:/secrets"

    path = _path(shown, own).split(":")

    assert path[:3] == ["/usr/bin", str(Path(__file__).parent), "/bin"]
    assert not {"/secrets", "/home/me/bin", "relative"} & set(path)
    assert {"/usr/local/sbin", "/sbin"} < set(path)
    assert len(path) == len(set(path))


@pytest.mark.parametrize(
    ("name", "mode", "private"),
    [
        ("shadow", 0o100640, True),
        ("passwd", 0o100644, False),
        ("ssh_host_rsa_key", 0o100644, True),
        ("ssh_host_rsa_key.pub", 0o100644, False),
        ("machine-id", 0o100444, True),
        ("private", 0o040710, True),
        ("listable", 0o040754, True),
        ("open", 0o040755, False),
        ("link", 0o120777, False),
        ("fifo", 0o010600, False),
    ],
)
def test_what_not_everyone_may_read_is_private(name: str, mode: int, private: bool) -> None:
    assert is_private(name, mode) is private


def test_private_entries_are_found_in_depth(tmp_path: Path) -> None:
    (tmp_path / "ssl/private").mkdir(parents=True)
    (tmp_path / "ssl/private").chmod(0o700)
    (tmp_path / "ssl/private/key").write_text("secret")
    (tmp_path / "ssl/cert").write_text("public")
    (tmp_path / "shadow").write_text("secret")
    (tmp_path / "shadow").chmod(0o640)
    (tmp_path / "link").symlink_to("shadow")

    assert hide_private(str(tmp_path)) == (
        File(f"{tmp_path}/shadow", mode=0),
        File(f"{tmp_path}/ssl/private", "dir", mode=0o700, opaque=True),
    )
    assert hide_private(str(tmp_path / "missing")) == ()


def test_mountinfo_is_read_with_its_escapes() -> None:
    text = (
        "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
        "30 27 8:1 / /opt/with\\040space rw shared:1 master:2 - ext4 /dev/sda1 rw\n"
        "31 27 0:9 / /proc rw - tmpfs tmpfs rw\n"
    )

    assert parse_mountinfo(text) == (MountPoint("/opt/with space", "ext4"), MountPoint("/proc", "tmpfs"))


def test_the_view_is_the_same_value_for_every_container() -> None:
    view = open_image("host:")

    assert view.rootfs(Overlay(), "a") is view.rootfs(Overlay(), "b")
    assert view.rootfs(Overlay(user_namespace=True), "a").mounts[0].type == "tmpfs"
    assert [entry.partition("=")[0] for entry in view.config.env] == ["PATH"]


def test_the_copying_snapshotter_cannot_show_a_host(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        HostView.open().rootfs(Copying(str(tmp_path)), "a")

    assert caught.value.feature == "host:"
