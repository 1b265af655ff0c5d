"""`engine.volumes` and its Volumes, under docker-py's names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pyrt.errors import InvalidOption, ResourceBusy, VolumeNotFound
from pyrt.volume import VolumeCollection, VolumeStore
from tests.volumes import open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VolumeStore]:
    with open_store(tmp_path / "root") as store:
        yield store


@pytest.fixture
def volumes(store: VolumeStore) -> VolumeCollection:
    made = VolumeCollection(store)
    made.create("alpha", labels={"tier": "db", "x": ""})
    made.create("beta", driver_opts={"type": "tmpfs", "device": "tmpfs"}, labels={"tier": "web"})
    made.create()
    return made


def test_a_volume_has_docker_s_fields(volumes: VolumeCollection, store: VolumeStore) -> None:
    volume = volumes.get("beta")

    assert (volume.id, volume.name, volume.short_id, volume.driver) == ("beta", "beta", "beta", "local")
    attrs = volume.attrs
    assert attrs.pop("CreatedAt").startswith("20")
    assert attrs == {
        "Driver": "local",
        "Labels": {"tier": "web"},
        "Mountpoint": store.data("beta"),
        "Name": "beta",
        "Options": {"type": "tmpfs", "device": "tmpfs"},
        "Scope": "local",
    }
    assert volume == volumes.create("beta")
    assert len({volume, volumes.get("beta")}) == 1


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"name": "alp"}, ["alpha"]),
        ({"name": ["alp", "bet"]}, ["alpha", "beta"]),
        ({"label": "tier"}, ["alpha", "beta"]),
        ({"label": ["tier=db", "x"]}, ["alpha"]),
        ({"label": ["tier=db", "tier=web"]}, []),
        ({"driver": "other"}, []),
        ({"dangling": False}, ["alpha"]),
        ({"dangling": "true", "label": "tier"}, ["beta"]),
    ],
    ids=str,
)
def test_filters_choose(
    volumes: VolumeCollection, store: VolumeStore, filters: Mapping[str, Any], wanted: list[str]
) -> None:
    with store.hold() as lease:
        store.use("alpha", lease, "box")

        assert [each.name for each in volumes.list(filters)] == wanted


@pytest.mark.parametrize("filters", [{"odd": "x"}, {"dangling": "perhaps"}, {"name": 5}, {"label": []}], ids=str)
def test_what_is_no_filter_is_refused(volumes: VolumeCollection, filters: Any) -> None:
    for act in (volumes.list, volumes.prune):
        with pytest.raises(InvalidOption):
            act(filters)
    assert len(volumes.list()) == 3


def test_prune_counts_what_it_frees_and_leaves_what_is_used(volumes: VolumeCollection, store: VolumeStore) -> None:
    Path(store.data("alpha"), "file").write_bytes(b"x" * 1000)
    os.link(f"{store.data('alpha')}/file", f"{store.data('alpha')}/again")
    [anonymous] = {each.name for each in volumes.list()} - {"alpha", "beta"}

    assert volumes.prune() == {"VolumesDeleted": [anonymous], "SpaceReclaimed": 0}
    assert volumes.get("alpha").usage() == {"RefCount": 0, "Size": 1000}
    with store.hold() as lease:
        store.use("beta", lease, "box")
        assert volumes.prune({"all": True}) == {"VolumesDeleted": ["alpha"], "SpaceReclaimed": 1000}
        assert volumes.get("beta").usage() == {"RefCount": 1, "Size": -1}
        with pytest.raises(ResourceBusy):
            volumes.get("beta").remove(force=True)


def test_prune_takes_labels(volumes: VolumeCollection) -> None:
    assert "beta" in volumes.prune({"all": True, "label!": "x"})["VolumesDeleted"]
    assert [each.name for each in volumes.list()] == ["alpha"]
    assert volumes.prune({"all": ["1"], "label": "tier=web"})["VolumesDeleted"] == []


def test_force_minds_none_that_is_gone(volumes: VolumeCollection) -> None:
    volume = volumes.get("alpha")
    volume.remove()

    volume.remove(force=True)
    for act in (volume.remove, volume.reload):
        with pytest.raises(VolumeNotFound):
            act()
