"""Layouts found from recorded texts, and from directories that stand for cgroup file systems."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pyrt.errors import InvalidOption, Unsupported
from pyrt.oci.spec import Memory, Pids, Resources
from pyrt.runtime.cgroups import DEFAULT_DEVICE_RULES, Layout, Usage
from pyrt.runtime.cgroups.hierarchy import parse
from pyrt.runtime.cgroups.layout import relative
from pyrt.runtime.cgroups.limits import Limit
from pyrt.runtime.cgroups.sites import sites_of

SYSTEMD_V2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
SYSTEMD_V1 = """\
30 24 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
32 30 0:28 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup rw,xattr,name=systemd
35 30 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,cpu,cpuacct
36 30 0:32 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,memory
"""
V1_MEMBERSHIP = """\
4:memory:/user.slice
3:cpu,cpuacct:/user.slice
1:name=systemd:/user.slice/user-1000.slice/session-2.scope
0::/user.slice/user-1000.slice/session-2.scope
"""


def test_pure_v2() -> None:
    (found,) = parse(SYSTEMD_V2, "0::/user.slice/app.slice/a\\x2db.scope\n")

    assert (found.version, found.mount) == (2, "/sys/fs/cgroup")
    assert found.own == "/sys/fs/cgroup/user.slice/app.slice/a\\x2db.scope"


def test_v1_with_controllers_mounted_together_and_v2_beside() -> None:
    found = {hierarchy.mount.rpartition("/")[2]: hierarchy for hierarchy in parse(SYSTEMD_V1, V1_MEMBERSHIP)}

    assert list(found) == ["cpu,cpuacct", "memory", "unified"]
    assert found["cpu,cpuacct"].controllers == {"cpu", "cpuacct"}
    assert found["memory"].own == "/sys/fs/cgroup/memory/user.slice"
    assert found["unified"].own == "/sys/fs/cgroup/unified/user.slice/user-1000.slice/session-2.scope"


def test_controllers_mounted_together_are_one_site() -> None:
    placed = tuple(replace(hierarchy, base=hierarchy.mount) for hierarchy in parse(SYSTEMD_V1, V1_MEMBERSHIP))
    layout = Layout("hybrid", placed)
    limits = [
        Limit("cpu", "cpu.shares", "512", "cpu_shares"),
        Limit("memory", "memory.swappiness", "0", "mem_swappiness"),
    ]

    sites = sites_of(layout, limits, "pyrt")

    assert [os.path.basename(site.hierarchy.mount) for site in sites] == ["memory", "cpu,cpuacct", "unified"]
    assert [[limit.option for limit in site.limits] for site in sites] == [["mem_swappiness"], ["cpu_shares"], []]


def test_mount_of_a_container_shows_a_part_of_the_hierarchy() -> None:
    mountinfo = "5 4 0:32 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory\n"

    (found,) = parse(mountinfo, "4:memory:/docker/abc/inner\n0::/\n")
    (elsewhere,) = parse(mountinfo, "4:memory:/docker/abcdef\n0::/\n")

    assert found.own == "/sys/fs/cgroup/memory/inner"
    assert elsewhere.own == "/sys/fs/cgroup/memory"


def test_cgroup_outside_the_namespace_is_the_mount() -> None:
    (found,) = parse(SYSTEMD_V2, "0::/../../other\n")

    assert found.own == "/sys/fs/cgroup"


def test_of_two_mounts_the_one_that_shows_most_counts() -> None:
    part = "36 24 0:30 /part /run/part rw - cgroup2 cgroup2 rw\n"

    assert parse(part + SYSTEMD_V2, "0::/\n") == parse(SYSTEMD_V2 + part, "0::/\n") == parse(SYSTEMD_V2, "0::/\n")


def test_mount_point_with_a_space() -> None:
    (found,) = parse("35 24 0:30 / /mnt/a\\040b rw - cgroup2 none rw\n", "0::/\n")

    assert found.mount == "/mnt/a b"


class Tree:
    """A directory that looks like a v2 file system to who asks for permissions and controllers."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def add(self, path: str, controllers: str = "", *, down: str = "", procs: str = "", mode: int = 0o755) -> Path:
        directory = self.top / path
        directory.mkdir(exist_ok=True)
        texts = {"cgroup.controllers": controllers, "cgroup.subtree_control": down, "cgroup.procs": procs}
        for name, text in texts.items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o644 if mode & 0o200 else 0o444)
        directory.chmod(mode)
        return directory

    def detect(self, membership: str, parent: str | None = None) -> Layout:
        mountinfo = f"35 24 0:30 / {self.top} rw - cgroup2 cgroup2 rw\n"
        return Layout.detect(mountinfo=mountinfo, membership=membership, cgroup_parent=parent)


def forbid(monkeypatch: pytest.MonkeyPatch, *forbidden: Path) -> None:
    """Refuse some directories and their files, also to root."""
    allowed = os.access

    def access(path: str, mode: int, **options: bool) -> bool:
        place = Path(path) if Path(path).is_dir() else Path(path).parent
        return place not in forbidden and allowed(path, mode, **options)

    monkeypatch.setattr(os, "access", access)


def test_who_may_write_the_top_creates_there(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.add("", "cpu memory pids", procs="1\n")

    layout = tree.detect("0::/\n")

    assert layout.kind == "v2"
    assert layout.hierarchies[0].base == str(tmp_path)
    assert layout.hierarchies[0].controllers == {"cpu", "memory", "pids"}


def test_user_creates_above_its_own_cgroup_that_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)
    top = tree.add("", "cpu memory pids")
    user = tree.add("user", "cpu memory pids", down="memory pids")
    tree.add("user/app", "memory pids", down="memory pids")
    tree.add("user/app/own", "memory pids", procs="77\n")
    forbid(monkeypatch, top, user)

    layout = tree.detect("0::/user/app/own\n")

    assert layout.hierarchies[0].base == f"{tmp_path}/user/app"
    assert layout.version_of("memory") == 2
    assert layout.version_of("cpu") == 0


def test_own_cgroup_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)
    top = tree.add("", "memory")
    tree.add("own", "memory", procs="77\n")
    forbid(monkeypatch, top)

    assert tree.detect("0::/own\n").hierarchies[0].base == f"{tmp_path}/own"


def test_nothing_delegated_is_none_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)
    forbid(monkeypatch, tree.add("", "memory"), tree.add("own", "memory"))

    layout = tree.detect("0::/own\n")

    assert layout.kind == "none"
    assert f"{tmp_path}/own" in layout.reason
    with pytest.raises(Unsupported, match="mem_limit") as caught:
        layout.create("a", Resources(memory=Memory(limit=8 << 20)))
    assert caught.value.reason == layout.reason


def test_given_parent_is_used_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)
    tree.add("", "cpu memory")
    tree.add("mine", "memory")
    forbid(monkeypatch, tree.add("theirs", "memory"))

    assert tree.detect("0::/\n", "/mine/").hierarchies[0].base == f"{tmp_path}/mine"
    for parent in ("theirs", "nowhere"):
        with pytest.raises(Unsupported, match="cgroup_parent"):
            tree.detect("0::/\n", parent)


@pytest.mark.parametrize("path", ["", "/", "a/../b", "./a", "a\0b"])
def test_parent_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        relative(path)

    assert caught.value.argument == "cgroup_parent"


def test_without_any_hierarchy_a_cgroup_is_nothing() -> None:
    layout = Layout.detect(mountinfo="", membership="")

    with layout.create("a", Resources(devices=DEFAULT_DEVICE_RULES, pids=Pids(-1))) as cgroup:
        assert (cgroup.kind, cgroup.into_fd, cgroup.join_fds, cgroup.pids()) == ("none", -1, (), [])
        assert cgroup.usage() == Usage()
        assert cgroup.oom_kills() == 0
        assert cgroup.effective == {"device_cgroup": False}
        with pytest.raises(Unsupported, match="pause"):
            cgroup.freeze()
        with pytest.raises(Unsupported, match="no cgroup file system is mounted"):
            cgroup.update(Resources(pids=Pids(5)))


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".", "-a", "a\n", "x" * 201])
def test_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        Layout.detect(mountinfo="", membership="").create(name, Resources())

    assert caught.value.argument == "name"
