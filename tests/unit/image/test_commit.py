"""New images from tars: their documents, their layers, and what a parent leaves to them."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt.content import Ingest
from pyrt.errors import ImageNotFound, IntegrityError, InvalidOption, PyrtError
from pyrt.image.commit import commit, import_tar
from pyrt.image.store import ImageStore, is_there
from pyrt.layer import Compression, decompress
from pyrt.oci.digest import Digest
from tests.images import tar
from tests.stores import TREES, bring, configured, image_of, listing, names, store

__all__ = ["store"]

A, B = tar({"a": b"1" * 500}), tar({"b": b"2" * 300})


def files_of(store: ImageStore, chain: tuple[Digest, ...]) -> list[list[str]]:
    layers = store.layers.chain(chain[-1])
    return [sorted(path.name for path in Path(layer.directory).iterdir()) for layer in reversed(layers)]


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_an_import_is_an_image_of_one_layer(store: ImageStore, compression: Compression) -> None:
    image = import_tar(
        store, TREES, [gzip.compress(A)], changes=['CMD ["x"]'], reference=names("one")[0], compression=compression
    )

    document = store.document(image)
    assert store.find("one") == image
    assert files_of(store, image.record.chain) == [["a"]]
    assert document.config.cmd == ("x",)
    assert document.diff_ids == (Digest.of(A),)
    assert document.history[0].comment == "Imported from -"
    blob = store.content.read(image.record.layers[0].digest)
    assert b"".join(decompress([blob])) == A
    assert len(blob) == image.record.layers[0].size


def test_a_commit_adds_a_layer_and_keeps_what_it_does_not_know(store: ImageStore) -> None:
    medium = configured(
        image_of(A), {"Healthcheck": {"Test": ["NONE"]}}, author="other", vendor={"x": [1]}, id="0" * 64
    )
    parent = bring(store, medium, "base")

    image = commit(
        store, TREES, [B], parent, changes=["ENV B=2", "ONBUILD RUN x"], message="why", created_by="cp", author="me"
    )

    document = store.document(image)
    assert files_of(store, image.record.chain) == [["a"], ["b"]]
    assert image.record.chain[0] == parent.record.chain[0]
    assert document.config.env == ("A=b", "B=2")
    assert document.document["config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert document.document["config"]["OnBuild"] == ["RUN x"]
    assert document.document["vendor"] == {"x": [1]}
    assert document.author == "me"
    assert "id" not in document.document
    last = document.history[-1]
    assert (last.created_by, last.comment, last.author, last.created) == ("cp", "why", "me", document.created)
    assert len(document.history) == 2


def test_a_manifest_speaks_one_language(store: ImageStore) -> None:
    parent = bring(store, image_of(A, docker=True))

    image = commit(store, TREES, [B], parent, compression="zstd")

    assert [layer.media_type.removeprefix("application/vnd.oci.image.layer.v1.") for layer in image.record.layers] == [
        "tar+gzip",
        "tar+zstd",
    ]
    assert image.record.layers[0].digest == parent.record.layers[0].digest


def test_a_history_of_null_is_none(store: ImageStore) -> None:
    parent = bring(store, configured(image_of(A), {}, history=None))

    assert len(store.document(commit(store, TREES, [B], parent)).history) == 1


def test_the_same_layer_twice_is_kept_once(store: ImageStore, tmp_path: Path) -> None:
    parent = bring(store, image_of(A))
    first = commit(store, TREES, [B], parent, reference=names("one")[0])
    layers = {name for name in listing(tmp_path / "store") if name.startswith("layer")}

    second = commit(store, TREES, [B], parent, message="again", reference=names("one")[0])

    assert second.id != first.id
    assert second.record.chain == first.record.chain
    assert {name for name in listing(tmp_path / "store") if name.startswith("layer")} == layers
    assert store.find("one").id == second.id


def broken() -> Iterator[bytes]:
    yield B[:600]
    raise ValueError("the disk has burnt")


@pytest.mark.parametrize("chunks", [[B[:700]], [b"noise" * 300], [B[:512], b"x" * 100_000]])
def test_a_bad_tar_leaves_nothing(store: ImageStore, tmp_path: Path, chunks: list[bytes]) -> None:
    parent = bring(store, image_of(A), "base")
    before = listing(tmp_path / "store")

    with pytest.raises(PyrtError):
        commit(store, TREES, chunks, parent, reference=names("one")[0])

    assert listing(tmp_path / "store") == before


def test_a_reader_that_fails_leaves_nothing(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has burnt"):
        commit(store, TREES, broken(), None)

    assert listing(tmp_path / "store") == set()


def test_bad_changes_are_refused_before_anything_is_read(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption):
        commit(store, TREES, broken(), None, changes=["RUN x"])

    assert listing(tmp_path / "store") == set()


def test_an_import_of_a_cut_archive_is_refused(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        import_tar(store, TREES, [gzip.compress(A)[:-30]])

    assert listing(tmp_path / "store") == set()


def test_a_parent_that_has_gone_is_said(store: ImageStore) -> None:
    parent = bring(store, image_of(A), "base")
    store.forget(parent, names("base"))
    document = store.content.read(parent.record.config.digest)
    store.collect()
    store.content.add(document)

    with pytest.raises(ImageNotFound, match="removed meanwhile"):
        commit(store, TREES, [B], parent)


def test_a_collection_just_when_the_blob_has_its_name_leaves_it(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = bring(store, image_of(A), "base")
    original, collections = Ingest.commit, []

    def collect_at_once(self: Ingest) -> Digest:
        digest = original(self)
        collections.append(threading.Thread(target=store.collect))
        collections[-1].start()
        collections[-1].join(0.3)  # it ends now, or waits for the transaction that has the lease
        return digest

    monkeypatch.setattr(Ingest, "commit", collect_at_once)

    image = commit(store, TREES, [B], parent)

    for collection in collections:
        collection.join()
    assert is_there(store, image.record)
    assert json.loads(store.content.read(image.record.manifest.digest))["schemaVersion"] == 2
