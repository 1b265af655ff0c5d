"""The volumes of a root: names, users, removal, and what dead processes leave."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt.errors import Conflict, InvalidOption, ResourceBusy, SyscallError, VolumeNotFound
from pyrt.volume import User, VolumeStore
from tests.volumes import killed_at_each_step, open_store, tree


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VolumeStore]:
    with open_store(tmp_path / "root") as store:
        yield store


def left(store: VolumeStore) -> list[str]:
    """All that lies beside volumes and the lock."""
    place = Path(store.place("any")).parent
    found = {path.name for path in place.iterdir()} if place.exists() else set()
    return sorted(found - {each.name for each in store.all()} - {".removing"})


def test_a_volume_is_a_directory_that_others_cannot_reach(store: VolumeStore) -> None:
    old = os.umask(0o077)
    try:
        made = store.create("data", labels={"a": "b"})
    finally:
        os.umask(old)

    assert store.get("data") == made
    assert stat.S_IMODE(os.stat(store.data("data")).st_mode) == 0o755
    assert stat.S_IMODE(os.stat(os.path.dirname(store.place("data"))).st_mode) == 0o700
    assert (made.is_anonymous, made.driver, made.labels) == (False, "local", {"a": "b"})


def test_an_anonymous_one_has_64_digits(store: VolumeStore) -> None:
    one, two = store.create(), store.create()

    assert one.name != two.name
    assert len(one.name) == 64
    assert set(one.name) <= set("0123456789abcdef")
    assert one.is_anonymous


@pytest.mark.parametrize("name", ["", "a", ".", "..", "../up", "a/b", ".hidden", "-a", "a b", "ä", "a\n", "a" * 256, 5])
def test_what_is_no_name_is_refused(store: VolumeStore, name: str) -> None:
    with pytest.raises(InvalidOption):
        store.create(name)
    assert store.all() == []


def test_a_name_that_there_is_gives_it(store: VolumeStore) -> None:
    options = {"type": "tmpfs", "device": "tmpfs"}
    made = store.create("data", options=options, labels={"a": "b"})

    assert store.create("data", options=options) == made
    assert store.create("data") == made


def test_another_option_is_a_conflict(store: VolumeStore) -> None:
    store.create("data")

    with pytest.raises(Conflict, match="data"):
        store.create("data", options={"type": "tmpfs", "device": "tmpfs"})
    with pytest.raises(InvalidOption, match="no driver 'other'"):
        store.create("data", "other")


@pytest.mark.parametrize("labels", [{"a": 1}, {"": "x"}, {"a": "\0"}, ["a"]], ids=repr)
def test_labels_are_text(store: VolumeStore, labels: dict[str, str]) -> None:
    with pytest.raises(InvalidOption, match="labels"):
        store.create("data", labels=labels)


def test_labels_may_hold_lines(store: VolumeStore) -> None:
    labels = {"a\nb": "c\x1b[2J\n", "\udcff": "\udcfe"}

    store.create("data", labels=labels)

    assert store.get("data").labels == labels


def test_a_removed_volume_is_gone_with_its_files(store: VolumeStore) -> None:
    store.create("data")
    Path(store.data("data"), "closed").mkdir(mode=0)

    store.remove("data")

    assert left(store) == []
    for act in (store.get, store.remove):
        with pytest.raises(VolumeNotFound, match="no such volume: data"):
            act("data")


def test_a_volume_in_use_stays(store: VolumeStore) -> None:
    with store.hold() as one, store.hold() as two:
        store.create("data", lease=one, user="box")
        store.use("data", two, "other")
        with pytest.raises(ResourceBusy, match="in use by box, other"):
            store.remove("data")
        two.close()
        with pytest.raises(ResourceBusy, match="in use by box:"):
            store.remove("data")

    store.remove("data")


def test_a_kept_container_is_a_user(tmp_path: Path) -> None:
    users = [User("data", "kept")]
    with open_store(tmp_path / "root", lambda tx: users) as store:
        store.create("data")
        with pytest.raises(ResourceBusy, match="kept"):
            store.remove("data")
        assert not store.is_mounted("data")
        users[:] = [User("data", "kept", is_running=lambda: True)]
        assert store.is_mounted("data")
        users.clear()
        store.remove("data")


def test_what_is_used_is_there(store: VolumeStore) -> None:
    with store.hold() as lease, pytest.raises(VolumeNotFound):
        store.use("data", lease, "box")


def test_many_make_one(store: VolumeStore) -> None:
    found = []
    threads = [threading.Thread(target=lambda: found.append(store.create("data"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert {each.created_ns for each in found} == {store.get("data").created_ns}


def test_a_new_volume_has_nothing_of_an_old_one_s_directory(store: VolumeStore) -> None:
    """Who was killed between the removal of the record and of the name has left this."""
    store.create("other")
    os.makedirs(store.data("data"))
    Path(store.data("data"), "secret").touch()

    store.create("data")

    assert os.listdir(store.data("data")) == []
    store.sweep()
    assert left(store) == []


def test_volumes_of_dead_containers_go(store: VolumeStore) -> None:
    with store.hold() as lease:
        passing = store.create(lease=lease, user="box", is_passing=True)
        store.sweep()
        assert store.all() == [passing]
    kept = store.create()

    store.sweep()

    assert store.all() == [kept]
    assert left(store) == []


def test_a_copy_under_way_is_not_swept(store: VolumeStore) -> None:
    with store.hold() as lease:
        new = store.begin(lease)
        store.sweep()
        assert os.path.isdir(new)

    store.sweep()

    assert left(store) == []


def test_a_killed_removal_leaves_all_or_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    files = ["one", "sub", "sub/two"]
    whole = []

    def before() -> None:
        with open_store(root) as store:
            store.create("data")
            Path(store.data("data"), "sub").mkdir(exist_ok=True)
            for name in ("one", "sub/two"):
                Path(store.data("data"), name).touch()

    def act() -> None:
        with open_store(root) as store:
            store.remove("data")

    def after() -> None:
        with open_store(root) as store:
            names = [each.name for each in store.all()]
            whole.append(names == ["data"])
            if names:
                assert tree(store.data("data")) == files
            store.sweep()
            assert left(store) == []
            assert [each.name for each in store.all()] == names

    killed = killed_at_each_step(act, before, after)

    assert killed >= 5
    assert not whole[-1]


def test_a_killed_creation_leaves_a_volume_or_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"

    def act() -> None:
        with open_store(root) as store:
            store.create("data")

    def after() -> None:
        with open_store(root) as store:
            store.sweep()
            assert left(store) == []
            if store.all():
                assert os.listdir(store.data("data")) == []
                store.remove("data")

    assert killed_at_each_step(act, lambda: None, after) >= 3


@pytest.mark.needs("root")
def test_what_cannot_be_removed_is_in_nobody_else_s_way(store: VolumeStore, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    store.create("data")
    store.create("other")
    subprocess.run(["mount", "--bind", tmp_path / "host", store.data("data")], check=True)
    try:
        with pytest.raises(SyscallError):
            store.remove("data")
        [stuck] = left(store)
        with pytest.warns(RuntimeWarning, match="cannot be cleared"):
            store.remove("other")
        with pytest.warns(RuntimeWarning, match="cannot be cleared"):
            store.sweep()
        assert store.all() == []
    finally:
        subprocess.run(["umount", Path(store.place(stuck), "_data")], check=True)

    store.sweep()
    assert left(store) == []
