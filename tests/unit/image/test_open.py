from __future__ import annotations

from pathlib import Path

import pytest

from pyrt.errors import ImageNotFound, InvalidReference
from pyrt.image import DEFAULT_PATH, DirectoryView, open_image
from pyrt.image.open import is_local
from pyrt.oci.spec import Mount
from pyrt.snapshot import Copying, Overlay


@pytest.mark.parametrize("name", ["host:", "host:full"])
def test_the_host_is_opened_by_its_name(name: str) -> None:
    assert open_image(name).name == name


def test_a_directory_is_opened_with_dockers_path(tmp_path: Path) -> None:
    view = open_image(f"rootfs:{tmp_path}")

    assert view.config.env == (f"PATH={DEFAULT_PATH}",)
    assert view.lowers(user_namespace=True) == (str(tmp_path),)
    assert view.rootfs(Overlay(), "c").mounts == (Mount("", "overlay", "overlay", (f"lowerdir={tmp_path}",)),)


def test_a_directory_can_be_copied(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()

    rootfs = open_image(f"rootfs:{tmp_path}/root").rootfs(Copying(f"{tmp_path}/copies"), "c")

    assert rootfs.mounts == (Mount("", "bind", f"{tmp_path}/copies/c/root", ("bind",)),)


def test_a_relative_directory_and_links_are_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to("root")
    monkeypatch.chdir(tmp_path)

    view = open_image("rootfs:link")

    assert isinstance(view, DirectoryView)
    assert (view.directory, view.name) == (str(tmp_path / "root"), f"rootfs:{tmp_path}/root")


def test_the_root_itself_is_a_directory() -> None:
    assert open_image("rootfs:/").lowers(user_namespace=False) == ("/",)


def test_what_is_no_directory_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ImageNotFound, match="does not exist"):
        open_image(f"rootfs:{tmp_path}/missing")
    with pytest.raises(ImageNotFound, match="is not a directory"):
        open_image(f"rootfs:{tmp_path}/file")


@pytest.mark.parametrize("name", ["host:other", "rootfs:", "rootfs:\0"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        open_image(name)

    assert caught.value.argument == "image"


@pytest.mark.parametrize(
    ("name", "is_there"), [("host:", True), ("rootfs:/", True), ("alpine", False), ("oci:/d", False)]
)
def test_what_needs_no_store_is_told_by_its_transport(name: str, is_there: bool) -> None:
    assert is_local(name) == is_there
