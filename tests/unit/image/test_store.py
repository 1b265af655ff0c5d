"""The store of images: names that move, ids that are found by their beginning, and what a collection may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrt.errors import ImageNotFound, InvalidReference
from pyrt.image.record import ImageName
from pyrt.image.store import ImageStore, is_there
from pyrt.image.usage import usage
from tests.images import tar
from tests.stores import bring, configured, image_of, listing, names, open_store, store

__all__ = ["store"]

A, B = tar({"a": b"1" * 500}), tar({"b": b"2" * 300})


@pytest.mark.parametrize("text", ["one", "one:latest", "docker.io/library/one", "docker.io/library/one:latest"])
def test_an_image_is_found_by_each_way_to_write_its_name(store: ImageStore, text: str) -> None:
    image = bring(store, image_of(A), "one")

    assert store.find(text) == image


def test_an_image_is_found_by_its_id_and_the_beginning_of_it(store: ImageStore) -> None:
    image = bring(store, image_of(A))

    for text in (str(image.id), image.id.hex, image.id.short, image.id.hex[:1], f"sha256:{image.id.hex[:5]}"):
        assert store.find(text) == image


def test_a_beginning_that_two_ids_have_is_refused(store: ImageStore) -> None:
    firsts: dict[str, str] = {}
    for number in range(17):
        image = bring(store, configured(image_of(), {"Labels": {"n": str(number)}}))
        firsts.setdefault(image.id.hex[0], image.id.hex)

    with pytest.raises(InvalidReference, match=r"images have an id that begins so"):
        for first in firsts:
            store.find(first)


@pytest.mark.parametrize(
    "text", ["two", "one:other", "0123456789ab", "sha256:" + "0" * 64, "UPPER", "", "one@sha256:0"]
)
def test_what_is_not_there_is_not_found(store: ImageStore, text: str) -> None:
    bring(store, image_of(A), "one")

    with pytest.raises(ImageNotFound, match="no such image"):
        store.find(text)


def test_a_name_goes_before_the_beginning_of_an_id(store: ImageStore) -> None:
    image = bring(store, image_of(A))
    other = bring(store, image_of(B), image.id.hex[:6])

    assert store.find(image.id.hex[:6]) == other


def test_a_tag_moves_and_what_it_meant_stays(store: ImageStore) -> None:
    old = bring(store, image_of(A), "one")
    new = bring(store, image_of(B), "one")

    assert store.find("one") == new
    assert store.find(str(old.id)).names == ()
    assert {image.id for image in store.all()} == {old.id, new.id}


def test_with_tag_and_digest_the_digest_counts(store: ImageStore) -> None:
    image = bring(store, image_of(A), "one", digest=True)
    digest = image.record.manifest.digest

    assert store.find(f"one:whatever@{digest}") == image


def test_names_are_given_only_to_what_is_there(store: ImageStore) -> None:
    image = bring(store, image_of(A), "one")
    store.forget(image, names("one"))

    with pytest.raises(ImageNotFound, match="removed meanwhile"):
        store.point(image, [ImageName(names("two")[0], image.id)])
    assert store.all() == ()


def test_a_name_that_has_moved_is_not_taken_from_its_new_image(store: ImageStore) -> None:
    old = bring(store, image_of(A), "one")
    new = bring(store, image_of(B), "one")

    store.forget(old, names("one"))

    assert store.find("one") == new
    assert [image.id for image in store.all()] == [new.id]


def test_a_collection_takes_what_nothing_needs_and_no_more(store: ImageStore, tmp_path: Path) -> None:
    kept = bring(store, image_of(A), "kept")
    before = listing(tmp_path / "store")
    going = bring(store, image_of(A, B), "going")
    store.forget(going, names("going"))

    assert store.collect() > 300

    assert listing(tmp_path / "store") == before
    assert is_there(store, kept.record)
    assert store.collect() == 0


def test_a_collection_leaves_what_is_leased_or_pinned(store: ImageStore, tmp_path: Path) -> None:
    image = bring(store, image_of(A, B), "one")
    with store.lease() as lease:
        store.keep(lease, image)
        store.forget(image, names("one"))

        assert store.collect() == 0
        assert is_there(store, image.record)

    pinning = ImageStore(store.database, store.content, store.layers, store.leases, lambda tx: image.record.chain[:1])
    assert pinning.collect() > 0
    assert store.layers.find(image.record.chain[0]).size_bytes == 500
    assert {name.split()[0] for name in listing(tmp_path / "store")} == {"layer"}


def test_what_is_gone_cannot_be_kept(store: ImageStore) -> None:
    image = bring(store, image_of(A), "one")
    store.forget(image, names("one"))
    store.collect()

    with store.lease() as lease, pytest.raises(ImageNotFound, match="removed meanwhile"):
        store.keep(lease, image)


def test_a_held_layer_outlives_its_image(store: ImageStore) -> None:
    image = bring(store, image_of(A, B), "one")
    with store.layers.hold(image.record.chain[-1]):
        store.forget(image, names("one"))
        store.collect()

        assert len(store.layers.chain(image.record.chain[-1])) == 2
    assert store.collect() > 0


def test_another_process_sees_the_same(store: ImageStore, tmp_path: Path) -> None:
    image = bring(store, image_of(A), "one", digest=True)

    with open_store(tmp_path / "store") as other:
        assert other.all() == (image,)
        assert other.document(image) == store.document(image)
        assert other.manifest(image).raw == store.manifest(image).raw


def test_usage_counts_shared_layers_once(store: ImageStore) -> None:
    bring(store, image_of(A), "base")
    both = bring(store, image_of(A, B))

    found = usage(store)

    assert found.layer_bytes == 800
    assert {each.image.id: (each.shared_bytes, each.unique_bytes) for each in found.images}[both.id] == (500, 300)
    assert found.reclaimable_bytes > 300
    assert found.blob_bytes == sum(size for _, size in store.content.walk())


def test_usage_of_an_image_whose_layers_are_just_going(store: ImageStore) -> None:
    bring(store, image_of(A), "one")
    store.layers.collect(frozenset())

    assert usage(store).layer_bytes == 0
