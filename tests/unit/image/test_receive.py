"""Images on their way into the store: what is fetched, what is not, and what is left when it fails."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyrt.errors import DigestMismatch, ImageNotFound, InvalidSpec, PyrtError, Unavailable, Unsupported
from pyrt.image.progress import Progress
from pyrt.image.receive import receive, select
from pyrt.image.store import ImageStore, is_there
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.manifest import Manifest, make_manifest
from pyrt.oci.platform import Platform
from tests.images import MemoryMedium, add_artifact, add_image, add_index, tar
from tests.stores import TREES, bring, image_of, listing, names, open_store, store

__all__ = ["store"]

A, B, C = tar({"a": b"1" * 500}), tar({"b": b"2" * 300}), tar({"c": b"3"})


def manifest_of(medium: MemoryMedium) -> Manifest:
    manifest = medium.resolve()
    assert isinstance(manifest, Manifest)
    return manifest


def repacked(medium: MemoryMedium, *blobs: bytes) -> MemoryMedium:
    """Give an image of the same config whose layers are other blobs."""
    layers = [medium.add(mediatype.OCI_LAYER_GZIP, blob) for blob in blobs]
    medium.top = make_manifest(manifest_of(medium).config, layers)
    medium.put_manifest(medium.top)
    return medium


def test_what_is_there_is_not_fetched_again(store: ImageStore) -> None:
    bring(store, image_of(A, B), "one")
    medium = image_of(A, B, C)

    image = bring(store, medium, "two")

    manifest = manifest_of(medium)
    assert medium.log == [f"open {each.digest.short}" for each in (manifest.config, manifest.layers[2])]
    assert len(store.layers.chain(image.record.chain[-1])) == 3


def test_the_same_image_packed_otherwise_is_the_same_image(store: ImageStore) -> None:
    first = bring(store, image_of(A, B), "one")
    other = repacked(image_of(A, B), gzip.compress(A, 1, mtime=1), gzip.compress(B, 1, mtime=1))

    second = bring(store, other, "two")

    assert second.id == first.id
    assert second.record == first.record
    assert other.log == []


def test_layers_may_be_equal(store: ImageStore) -> None:
    image = bring(store, image_of(A, A, B, A))

    assert len({layer.directory for layer in store.layers.chain(image.record.chain[-1])}) == 4


def test_a_layer_is_looked_at_even_where_its_files_are_there(store: ImageStore, tmp_path: Path) -> None:
    bring(store, image_of(A), "one")
    before = listing(tmp_path / "store")
    lying = repacked(image_of(A, B), gzip.compress(C, mtime=0), gzip.compress(B, mtime=0))

    with pytest.raises(DigestMismatch, match=r"unpacks to .* as its config says"):
        bring(store, lying, "two")

    assert listing(tmp_path / "store") == before


def test_a_bad_image_leaves_nothing(store: ImageStore, tmp_path: Path) -> None:
    bring(store, image_of(C), "kept")
    before = listing(tmp_path / "store")

    with pytest.raises(DigestMismatch):
        bring(store, repacked(image_of(A, B), gzip.compress(A, mtime=0), gzip.compress(C, mtime=0)), "one")

    assert listing(tmp_path / "store") == before


class Broken(MemoryMedium):
    """A medium that loses its connection at a blob."""

    broken: Digest

    @contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        with super().blob(descriptor) as chunks:
            if descriptor.digest == self.broken:
                raise Unavailable("the line is dead")
            yield chunks


def test_what_is_whole_is_not_fetched_again_after_a_lost_connection(store: ImageStore, tmp_path: Path) -> None:
    medium = Broken()
    medium.top = add_image(medium, [A, B])
    medium.broken = medium.top.layers[1].digest
    with pytest.raises(Unavailable):
        receive(store, TREES, medium, medium.top, jobs=1)
    assert store.all() == ()
    medium.log.clear()
    medium.broken = Digest.of(b"")

    receive(store, TREES, medium, medium.top)

    assert medium.log == [f"open {medium.top.layers[1].digest.short}"]


def test_a_damaged_blob_is_fetched_anew(store: ImageStore) -> None:
    image = bring(store, image_of(A), "one")
    path = store.content.path(image.record.layers[0].digest)
    store.layers.collect(frozenset())
    os.chmod(path, 0o600)
    Path(path).write_bytes(bytes(os.path.getsize(path)))

    with pytest.raises(DigestMismatch, match="was damaged, and is deleted now"):
        bring(store, image_of(A), "one")
    assert is_there(store, bring(store, image_of(A), "one").record)


def test_lost_layers_are_unpacked_from_the_blobs_that_are_there(store: ImageStore) -> None:
    image = bring(store, image_of(A, B), "one")
    store.layers.collect(frozenset())
    medium = image_of(A, B)

    assert bring(store, medium, "one").id == image.id
    assert medium.log == []
    assert is_there(store, image.record)


def test_names_of_an_image_that_is_just_going_get_it_back(store: ImageStore) -> None:
    image = bring(store, image_of(A), "one")
    medium, source = image_of(A), manifest_of(image_of(A))

    def forget_first(id: Digest) -> tuple[()]:
        store.forget(image, names("one"))
        store.collect()
        return ()

    again = receive(store, TREES, medium, source, names=forget_first)

    assert store.all() == (again,)
    assert is_there(store, again.record)


def test_two_stores_of_one_root_take_one_image_at_once(tmp_path: Path) -> None:
    medium = image_of(*(tar({str(number): os.urandom(5000)}) for number in range(6)))
    with open_store(tmp_path / "store") as one, open_store(tmp_path / "store") as two, ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda store: bring(store, medium, "x"), [one, two, one, two]))

        assert len({image.id for image in images}) == 1
        assert len(medium.log) == len(set(medium.log)) == 7
        assert is_there(one, images[0].record)


def test_what_the_callback_raises_stops_everything(store: ImageStore, tmp_path: Path) -> None:
    def fail(event: Progress) -> None:
        if event.status == "Download complete":
            raise KeyError(event.id)

    with pytest.raises(KeyError):
        receive(store, TREES, image_of(A, B, C), manifest_of(image_of(A, B, C)), on_progress=fail)

    assert store.all() == ()
    assert not [each for each in listing(tmp_path / "store") if each.split("/")[0] in ("content", "layers")]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pyrt-")]


@pytest.mark.parametrize("wanted", ["linux/arm64", "linux/amd64", None])
def test_an_index_gives_the_platform_that_is_wanted(wanted: str | None) -> None:
    medium = MemoryMedium()
    images = {name: add_image(medium, [A], architecture=name) for name in ("arm64", "amd64")}
    medium.top = add_index(medium, [*images.values()], [Platform("linux", name) for name in images])
    platform = Platform.parse(wanted) if wanted else Platform.host()

    assert select(medium, medium.top, platform if wanted else None) == images[platform.architecture]


def test_an_image_of_another_platform_is_not_what_was_wanted() -> None:
    medium = image_of(A, architecture="amd64")

    assert select(medium, medium.resolve()) == medium.top
    with pytest.raises(ImageNotFound, match="is for linux/amd64, and not for linux/s390x"):
        select(medium, medium.resolve(), Platform.parse("linux/s390x"))


def test_an_artifact_is_no_image() -> None:
    medium = MemoryMedium()

    with pytest.raises(Unsupported, match=r"artifact of type application/vnd.example\+type"):
        select(medium, add_artifact(medium, b"x"))


def changed(medium: MemoryMedium, **fields: Any) -> MemoryMedium:
    config = medium.add(mediatype.OCI_CONFIG, b"{}")
    medium.top = make_manifest(fields.get("config", config), fields.get("layers", manifest_of(medium).layers))
    medium.put_manifest(medium.top)
    return medium


@pytest.mark.parametrize(
    ("medium", "error", "message"),
    [
        (changed(image_of(A)), InvalidSpec, "1 layers, but its config 0 DiffIDs"),
        (changed(image_of(A), layers=[]), None, ""),
        (changed(image_of(A), config=Descriptor.of(mediatype.OCI_CONFIG, b" " * (9 << 20))), InvalidSpec, "the limit"),
        (repacked(image_of(A), b"\x1f\x8bno gzip at all"), PyrtError, "gzip"),
        (repacked(image_of(A), gzip.compress(A)[:-20]), PyrtError, "ends"),
    ],
)
def test_documents_that_cannot_be_leave_nothing(
    store: ImageStore, tmp_path: Path, medium: MemoryMedium, error: type[Exception] | None, message: str
) -> None:
    if error is None:
        assert bring(store, medium).record.chain == ()
        return
    with pytest.raises(error, match=message):
        bring(store, medium)

    assert listing(tmp_path / "store") == set()


def test_a_config_of_another_algorithm_names_the_image(store: ImageStore, tmp_path: Path) -> None:
    import hashlib

    medium = image_of(A)
    raw = medium.blobs[manifest_of(medium).config.digest]
    digest = Digest("sha512", hashlib.sha512(raw).hexdigest())
    medium.blobs[digest] = raw
    medium.top = make_manifest(Descriptor(mediatype.OCI_CONFIG, digest, len(raw)), manifest_of(medium).layers)

    image = bring(store, medium, "one")

    assert image.id == digest
    assert [each.familiar for each in image.tags] == ["one:latest"]
    for text in ("one", str(digest), digest.short):
        assert store.find(text) == image
    store.forget(image, names("one"))
    store.collect()
    assert listing(tmp_path / "store") == set()
