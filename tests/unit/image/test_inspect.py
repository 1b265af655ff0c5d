"""The documents that Docker shows of an image: inspect, history and the list."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrt.image.inspect import history, inspect, seconds, summary
from pyrt.image.store import ImageStore
from tests.images import tar
from tests.stores import bring, configured, image_of, store

__all__ = ["store"]

A, B = tar({"a": b"1" * 500}), tar({"b": b"2" * 300})
CREATED = "2024-05-06T07:08:09.123456789Z"


def test_inspect_is_dockers_document(store: ImageStore, tmp_path: Path) -> None:
    medium = configured(image_of(A, B), {"Labels": {"a": "b"}, "Unknown": 1}, created=CREATED, author="me", variant="")
    image = bring(store, medium, "one", digest=True)

    shown = inspect(store, image)

    assert shown["Id"] == str(image.id)
    assert shown["RepoTags"] == ["one:latest"]
    assert shown["RepoDigests"] == [f"one@{image.record.manifest.digest}"]
    assert (shown["Created"], shown["Author"], shown["Comment"]) == (CREATED, "me", "")
    assert (shown["Os"], shown["Architecture"], shown["Variant"]) == ("linux", "amd64", "")
    assert shown["Config"] == {"Cmd": ["/bin/true"], "Env": ["A=b"], "Labels": {"a": "b"}, "Unknown": 1}
    assert shown["Size"] == 800
    assert shown["RootFS"]["Layers"] == [str(each) for each in store.document(image).diff_ids]
    assert shown["Descriptor"]["digest"] == str(image.record.manifest.digest)
    directories = [shown["GraphDriver"]["Data"]["UpperDir"], *shown["GraphDriver"]["Data"]["LowerDir"].split(":")]
    assert [sorted(path.name for path in Path(each).iterdir()) for each in directories] == [["b"], ["a"]]
    assert shown["Metadata"]["LastTagTime"].endswith("Z")


def test_an_image_of_nothing_has_all_fields(store: ImageStore) -> None:
    bare, full = bring(store, image_of()), bring(store, image_of(A))

    shown = inspect(store, bare)

    assert shown.keys() == inspect(store, full).keys()
    assert shown["RepoTags"] == shown["RepoDigests"] == shown["RootFS"]["Layers"] == []
    assert shown["Size"] == 0
    assert history(store, bare) == []


def test_history_tells_sizes_of_layers_and_none_of_empty_steps(store: ImageStore) -> None:
    steps = [
        {"created": CREATED, "created_by": "ADD a"},
        {"created_by": "ENV x", "empty_layer": True, "comment": "note"},
        {"created": "no time", "created_by": "ADD b"},
    ]
    image = bring(store, configured(image_of(A, B), {}, history=steps), "one", "two")

    rows = history(store, image)

    assert [(row["CreatedBy"], row["Size"], row["Comment"]) for row in rows] == [
        ("ADD b", 300, ""),
        ("ENV x", 0, "note"),
        ("ADD a", 500, ""),
    ]
    assert [row["Id"] for row in rows] == [str(image.id), "<missing>", "<missing>"]
    assert rows[0]["Tags"] == ["one:latest", "two:latest"]
    assert [row["Created"] for row in rows] == [0, 0, seconds(CREATED)]


def test_history_that_tells_of_more_layers_than_there_are_has_no_size_for_them(store: ImageStore) -> None:
    image = bring(store, configured(image_of(A), {}, history=[{}, {}, {}]))

    assert [row["Size"] for row in history(store, image)] == [0, 0, 500]


def test_the_list_has_dockers_fields(store: ImageStore) -> None:
    image = bring(store, configured(image_of(A), {"Labels": {"a": "b"}}, created=CREATED), "one")

    shown = summary(store, image)

    assert (shown["Id"], shown["RepoTags"], shown["Size"]) == (str(image.id), ["one:latest"], 500)
    assert (shown["Labels"], shown["Created"]) == ({"a": "b"}, seconds(CREATED))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T01:00:01+01:00", 1),
        ("1970-01-01T00:00:01.999999999Z", 1),
        ("1970-01-01T00:00:01", 1),
        ("0001-01-01T00:00:00Z", -62135596800),
        ("0001-01-01T00:00:00+23:59", -62135683140),
        ("9999-12-31T23:59:59-23:59", 253402387139),
        ("", 0),
        ("yesterday", 0),
        ("2024-13-01T00:00:00Z", 0),
    ],
)
def test_times_are_read_whatever_an_image_says(text: str, found: int) -> None:
    assert seconds(text) == found
