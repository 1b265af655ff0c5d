"""The driver `local`: docker's options, as mounts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pyrt.errors import InvalidOption, Unsupported
from pyrt.oci.spec import Mount
from pyrt.volume import Driver, Local
from tests.suites.volume_driver import VolumeDriverSuite

NFS = {"type": "nfs", "device": ":/export", "o": "addr=192.0.2.1,rw,nfsvers=4"}
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=100m,uid=1000"}


class TestDirectory(VolumeDriverSuite):
    @pytest.fixture
    def driver(self) -> Driver:
        return Local()


class TestTmpfs(VolumeDriverSuite):
    @pytest.fixture
    def driver(self) -> Driver:
        return Local()

    @pytest.fixture
    def options(self, tmp_path: Path) -> Mapping[str, str]:
        return TMPFS


class TestBind(VolumeDriverSuite):
    @pytest.fixture
    def driver(self) -> Driver:
        return Local()

    @pytest.fixture
    def options(self, tmp_path: Path) -> Mapping[str, str]:
        (tmp_path / "bound").mkdir()
        return {"type": "none", "o": "bind,ro", "device": str(tmp_path / "bound")}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, Mount("/a", "bind", "/v", ("rbind", "rprivate"))),
        (TMPFS, Mount("/a", "tmpfs", "tmpfs", ("size=100m", "uid=1000"))),
        ({"type": "none", "device": "/usr", "o": "bind"}, Mount("/a", "bind", "/usr", ("bind", "rprivate"))),
        (NFS, Mount("/a", "nfs", ":/export", ("addr=192.0.2.1", "rw", "nfsvers=4"))),
        ({"type": "ext4", "device": "/dev/vdb"}, Mount("/a", "ext4", "/dev/vdb")),
    ],
)
def test_options_are_mounts(options: Mapping[str, str], wanted: Mount) -> None:
    Local().check(options)

    assert Local().mount("/v", options, "/a") == wanted


def test_the_name_of_a_server_becomes_its_address() -> None:
    mount = Local().mount("/v", {**NFS, "o": "addr=localhost"}, "/a")

    assert mount.options in (("addr=127.0.0.1",), ("addr=::1",))


@pytest.mark.parametrize(
    "options",
    [
        {"size": ""},
        {"typ": "tmpfs"},
        {"type": "tmpfs"},
        {"device": "/usr"},
        {"o": "bind"},
        {"type": "none", "device": "/usr"},
        {"type": "none", "device": "usr", "o": "bind"},
        {"type": "tmpfs", "device": "tmpfs", "o": "bind"},
        {"type": "none", "device": "/usr", "o": "bind,shared"},
        {"type": "none", "device": "/usr", "o": "bind,lowerdir=/"},
        {"type": "nfs", "device": ":/export"},
    ],
    ids=str,
)
def test_what_mounts_nothing_is_refused(options: Mapping[str, str]) -> None:
    with pytest.raises((InvalidOption, Unsupported)):
        Local().check(options)


@pytest.mark.parametrize(
    "options",
    [
        {"size": "10g"},
        {"type": "fuse.sshfs", "device": "there:"},
        {"type": "ext4", "device": "/image", "o": "loop"},
    ],
    ids=str,
)
def test_what_needs_a_program_is_unsupported_by_name(options: Mapping[str, str]) -> None:
    with pytest.raises(Unsupported):
        Local().check(options)


def test_a_user_namespace_mounts_no_devices() -> None:
    with pytest.raises(Unsupported, match="type=nfs"):
        Local().mount("/v", NFS, "/a", in_user_namespace=True)


def test_a_device_to_bind_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for name in ("file", "nothing"):
        with pytest.raises(InvalidOption, match=name):
            Local().mount("/v", {"type": "none", "o": "bind", "device": str(tmp_path / name)}, "/a")
