"""rmi and prune as Docker does them: by name, by id, forced, with containers in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyrt.errors import Conflict, ImageNotFound
from pyrt.image.filters import chooser
from pyrt.image.record import StoredImage
from pyrt.image.remove import Removed, prune, remove
from pyrt.image.store import ImageStore
from pyrt.oci.digest import Digest
from tests.images import tar
from tests.stores import bring, configured, image_of, listing, names, store

__all__ = ["store"]

A, B = tar({"a": b"1" * 500}), tar({"b": b"2" * 300})


def used(image: StoredImage) -> dict[str, Any]:
    return {"users": lambda id: ["web"] if id == image.id else []}


def test_one_of_two_names_goes_alone(store: ImageStore) -> None:
    image = bring(store, image_of(A), "one:1", "one:2")

    assert remove(store, "one:1") == Removed(("one:1",))

    assert [each.familiar for each in store.find(str(image.id)).tags] == ["one:2"]


def test_the_last_name_takes_the_image_and_its_layers(store: ImageStore, tmp_path: Path) -> None:
    before = listing(tmp_path / "store")
    image = bring(store, image_of(A, B), "one")

    removed = remove(store, "one")

    assert removed.untagged == ("one:latest",)
    assert removed.deleted[0] == str(image.id)
    assert set(removed.deleted[1:]) == {str(each) for each in image.record.chain}
    assert removed.freed_bytes >= 800
    assert listing(tmp_path / "store") == before


def test_layers_of_other_images_stay(store: ImageStore) -> None:
    base = bring(store, image_of(A), "base")
    bring(store, image_of(A, B), "one")

    removed = remove(store, "one")

    assert str(base.record.chain[0]) not in removed.deleted
    assert store.layers.find(base.record.chain[0]).size_bytes == 500


def test_digests_go_with_the_last_tag_of_their_repository(store: ImageStore) -> None:
    bring(store, image_of(A), "host.io/one:1", "host.io/two:1", digest=True)

    removed = remove(store, "host.io/one:1")

    assert sorted(text.partition("@")[0] for text in removed.untagged) == ["host.io/one", "host.io/one:1"]
    left = store.find("host.io/two:1")
    assert {each.reference.repository for each in left.names} == {"two"}
    assert remove(store, "host.io/two:1").deleted


def test_a_digest_stays_while_its_repository_has_another_tag(store: ImageStore) -> None:
    image = bring(store, image_of(A), "one:1", digest=True)
    bring(store, image_of(A), "one:2")

    assert remove(store, "one:1").untagged == ("one:1",)
    assert len(store.find(str(image.id)).digests) == 1


def test_a_digest_goes_alone_and_takes_the_image_when_it_was_the_last(store: ImageStore) -> None:
    image = bring(store, image_of(A), "one:1", digest=True)
    by_digest = f"one@{image.record.manifest.digest}"

    assert remove(store, by_digest) == Removed((by_digest,))
    bring(store, image_of(A), "one:1", digest=True)
    store.forget(image, names("one:1"))

    assert str(image.id) in remove(store, by_digest).deleted


@pytest.mark.parametrize("tags", [(), ("one",), ("host.io/one:1",)])
def test_an_id_takes_one_name_with_its_digest(store: ImageStore, tags: tuple[str, ...]) -> None:
    image = bring(store, image_of(A), *tags, digest=True)

    removed = remove(store, image.id.short)

    assert len(removed.untagged) == 2 * len(tags)
    assert store.all() == ()


@pytest.mark.parametrize("tags", [("one:1", "one:2"), ("one:1", "two:1")])
def test_an_id_with_several_names_has_to_be_forced(store: ImageStore, tags: tuple[str, ...]) -> None:
    image = bring(store, image_of(A), *tags)

    with pytest.raises(Conflict, match=r"must be forced.*one:1, ") as caught:
        remove(store, image.id.short)

    assert caught.value.status == 409
    assert len(store.find(str(image.id)).names) == 2
    assert set(remove(store, image.id.short, force=True).untagged) == set(tags)
    assert store.all() == ()


def test_containers_protect_their_image_but_not_each_name_of_it(store: ImageStore) -> None:
    image = bring(store, image_of(A), "one", "two")
    users = used(image)

    assert remove(store, "two", **users).untagged == ("two:latest",)
    for text in ("one", str(image.id)):
        with pytest.raises(Conflict, match=r"must force.*container web"):
            remove(store, text, **users)
    assert store.find("one").id == image.id
    assert remove(store, "one", force=True, **users).deleted


def test_what_is_not_there_is_no_image(store: ImageStore) -> None:
    bring(store, image_of(A), "one")

    with pytest.raises(ImageNotFound):
        remove(store, "one:other", force=True)


def test_noprune_leaves_the_layers_to_the_next_collection(store: ImageStore) -> None:
    image = bring(store, image_of(A), "one")

    removed = remove(store, "one", keep_unused=True)

    assert removed.freed_bytes == 0
    assert removed.deleted == (str(image.id),)
    assert store.layers.find(image.record.chain[0]).size_bytes == 500
    assert prune(store).freed_bytes >= 500


def test_prune_takes_images_without_tag(store: ImageStore) -> None:
    tagged = bring(store, image_of(A), "one")
    bare = bring(store, image_of(B))
    by_digest = bring(store, image_of(A, B), "two", digest=True)
    store.forget(by_digest, names("two"))

    removed = prune(store)

    assert {str(bare.id), str(by_digest.id)} <= set(removed.deleted)
    assert [image.id for image in store.all()] == [tagged.id]
    assert removed.freed_bytes >= 600


def test_prune_of_all_leaves_what_containers_use(store: ImageStore) -> None:
    used_one = bring(store, image_of(A), "one")
    bring(store, image_of(B), "two")

    prune(store, all=True, **used(used_one))

    assert [image.id for image in store.all()] == [used_one.id]


def test_prune_takes_what_filters_choose(store: ImageStore) -> None:
    bring(store, configured(image_of(A), {"Labels": {"keep": "no"}}))
    kept = bring(store, configured(image_of(A), {"Labels": {"keep": "yes"}}))

    prune(store, wanted=chooser(store, {"label": "keep=no"}, known=("label",)))

    assert [image.id for image in store.all()] == [kept.id]


def test_prune_takes_what_stopped_pulls_have_left(store: ImageStore, tmp_path: Path) -> None:
    store.content.add(b"whole, but of no image")

    assert prune(store).freed_bytes == 22
    assert listing(tmp_path / "store") == set()


def test_a_name_given_between_the_look_and_the_removal_saves_the_image(store: ImageStore) -> None:
    image = bring(store, image_of(A))

    def give_name(id: Digest) -> list[str]:
        bring(store, image_of(A), "new")
        return []

    assert prune(store, users=give_name).deleted == ()

    assert store.find("new").id == image.id
