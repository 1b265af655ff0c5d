"""What is put into volumes: an image's files once, and copies of other volumes."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt.errors import NameInUse, Unsupported, VolumeNotFound
from pyrt.snapshot import Merged
from pyrt.volume import VolumeCollection, VolumeStore, first_use
from tests.chains import hide, opaque
from tests.volumes import IMAGE_FILES, killed_at_each_step, make_image, open_store, tree


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VolumeStore]:
    with open_store(tmp_path / "root") as store:
        yield store


@pytest.fixture
def image(tmp_path: Path) -> str:
    return str(make_image(tmp_path / "image"))


def use(store: VolumeStore, *lowers: str, path: str = "/data", name: str = "vol") -> list[str]:
    """Let a container use the volume, and end; give what it has seen."""
    with store.hold() as lease:
        record = store.create(name, lease=lease, user="box")
        first_use(store, record, lease, "box", lowers, path)
        return tree(store.data(name))


def test_an_empty_volume_gets_the_image_s_files_as_they_are(store: VolumeStore, image: str) -> None:
    os.setxattr(f"{image}/data/file", "user.note", b"kept")
    os.utime(f"{image}/data/file", (1, 2))

    assert use(store, image) == IMAGE_FILES
    data = Path(store.data("vol"))
    assert (data / "file").read_text() == "content\n"
    assert (data / "file").samefile(data / "again")
    assert os.readlink(data / "link") == "/nowhere"
    assert [stat.S_IMODE((data / name).stat().st_mode) for name in (".", "deep", "file")] == [0o750, 0o751, 0o640]
    assert os.getxattr(data / "file", "user.note") == b"kept"
    assert (data / "file").stat().st_mtime == 2


@pytest.mark.needs("root")
def test_owners_come_along(store: VolumeStore, image: str) -> None:
    os.chown(f"{image}/data", 7, 8)
    os.chown(f"{image}/data/deep", 9, 10)

    use(store, image)

    owners = [os.stat(f"{store.data('vol')}/{name}") for name in (".", "deep")]
    assert [(each.st_uid, each.st_gid) for each in owners] == [(7, 8), (9, 10)]


def test_a_second_use_copies_nothing(store: VolumeStore, image: str) -> None:
    use(store, image)
    os.unlink(f"{store.data('vol')}/file")

    assert "file" not in use(store, image)


def test_an_emptied_volume_is_filled_again(store: VolumeStore, image: str) -> None:
    """As docker does: empty is empty."""
    assert use(store) == []
    assert use(store, image) == IMAGE_FILES


def test_what_an_image_does_not_have_is_not_copied(store: VolumeStore, image: str) -> None:
    for path in ("/other", "/data/file", "/data/file/below", "/data/link"):
        assert use(store, image, path=path) == []


def test_the_way_may_have_links(store: VolumeStore, image: str) -> None:
    os.symlink("data", f"{image}/way")
    os.symlink("/etc", f"{image}/out")

    assert use(store, image, path="/way/deep") == ["er", "er/file"]
    assert use(store, image, path="/out", name="other") == []


def test_layers_are_one_tree(store: VolumeStore, image: str, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "data/deep").mkdir(parents=True)
    (upper / "data/new").touch()
    (upper / "data").chmod(0o700)
    hide(upper / "data/file")
    opaque(upper / "data/deep")

    assert use(store, str(upper), image) == ["again", "deep", "link", "new"]
    assert stat.S_IMODE(os.stat(store.data("vol")).st_mode) == 0o700


def test_directories_of_a_merged_one_end_where_it_is_hidden(image: str, tmp_path: Path) -> None:
    top, middle = tmp_path / "top", tmp_path / "middle"
    (top / "data/deep").mkdir(parents=True)
    (middle / "data").mkdir(parents=True)
    merged = Merged((str(top), str(middle), image))

    assert merged.directories("/data") == (f"{top}/data", f"{middle}/data", f"{image}/data")
    assert merged.directories("/data/deep") == (f"{top}/data/deep", f"{image}/data/deep")
    opaque(middle / "data")
    assert merged.directories("/data/deep") == (f"{top}/data/deep",)
    assert merged.directories("/data") == (f"{top}/data", f"{middle}/data")
    (middle / "data/deep").touch()
    assert merged.directories("/data/deep") == (f"{top}/data/deep",)


def test_a_volume_that_another_has_mounted_is_taken_as_it_is(store: VolumeStore, image: str) -> None:
    with store.hold() as lease:
        record = store.create("vol", lease=lease, user="first")
        first_use(store, record, lease, "first", (), "/data")
        assert use(store, image) == []

    assert use(store, image) == IMAGE_FILES


def test_of_those_who_start_at_once_one_copies(store: VolumeStore, image: str) -> None:
    found: list[list[str]] = []
    inodes = set()

    def start() -> None:
        found.append(use(store, image))
        inodes.add(os.stat(store.data("vol")).st_ino)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [IMAGE_FILES] * 6
    assert len(inodes) == 1


def test_who_is_killed_while_copying_leaves_the_volume_unused(tmp_path: Path, image: str) -> None:
    root = tmp_path / "root"

    def act() -> None:
        with open_store(root) as store:
            use(store, image)

    def after() -> None:
        with open_store(root) as store:
            assert not os.path.isdir(store.data("vol")) or tree(store.data("vol")) in ([], IMAGE_FILES)
            assert use(store, image) == IMAGE_FILES
            assert set(os.listdir(store.place("vol"))) == {"_data", ".lock"}
            store.remove("vol")

    assert killed_at_each_step(act, lambda: None, after) >= 10


def test_a_clone_has_the_same_files_of_its_own(store: VolumeStore, image: str) -> None:
    use(store, image)
    volume = VolumeCollection(store).get("vol")

    made = volume.clone("copy")
    Path(store.data("copy"), "file").write_text("changed")

    assert tree(store.data("copy")) == IMAGE_FILES
    assert Path(store.data("vol"), "file").read_text() == "content\n"
    assert Path(store.data("copy"), "again").read_text() == "changed"
    assert "Status" not in made.attrs


@pytest.mark.needs("root")
def test_a_clone_keeps_what_is_an_overlay_s_own(store: VolumeStore) -> None:
    """For the volume may hold the layers of other containers."""
    store.create("vol")
    data = store.data("vol")
    os.mkdir(f"{data}/upper")
    os.mknod(f"{data}/upper/gone", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    os.setxattr(f"{data}/upper", "trusted.overlay.opaque", b"y")

    VolumeCollection(store).get("vol").clone("copy")

    copy = store.data("copy")
    assert stat.S_ISCHR(os.stat(f"{copy}/upper/gone").st_mode)
    assert os.getxattr(f"{copy}/upper", "trusted.overlay.opaque") == b"y"


def test_a_snapshot_says_of_what_it_is_and_is_not_filled(store: VolumeStore, image: str) -> None:
    volumes = VolumeCollection(store)
    volumes.create("vol", labels={"a": "b"})

    made = volumes.get("vol").snapshot("then")

    assert made.attrs["Status"] == {"SnapshotOf": "vol"}
    assert made.labels == {"a": "b"}
    assert use(store, image, name="then") == []
    assert made.clone("again").attrs.get("Status") is None


def test_a_copy_needs_a_free_name_and_files_to_copy(store: VolumeStore) -> None:
    volumes = VolumeCollection(store)
    volumes.create("vol")
    tmpfs = volumes.create("memory", driver_opts={"type": "tmpfs", "device": "tmpfs"})

    with pytest.raises(NameInUse):
        volumes.get("vol").clone("memory")
    with pytest.raises(Unsupported):
        tmpfs.clone("other")
    gone = volumes.create("gone")
    gone.remove()
    with pytest.raises(VolumeNotFound):
        gone.clone("other")


def test_a_killed_copy_leaves_a_volume_or_nothing(tmp_path: Path, image: str) -> None:
    root = tmp_path / "root"
    with open_store(root) as store:
        use(store, image)

    def act() -> None:
        with open_store(root) as store:
            VolumeCollection(store).get("vol").clone("copy")

    def after() -> None:
        with open_store(root) as store:
            names = [each.name for each in store.all()]
            if "copy" in names:
                assert tree(store.data("copy")) == IMAGE_FILES
                store.remove("copy")
            store.sweep()
            assert set(os.listdir(root / "volumes")) - {".removing"} == {"vol"}
            assert tree(store.data("vol")) == IMAGE_FILES

    assert killed_at_each_step(act, lambda: None, after) >= 10
