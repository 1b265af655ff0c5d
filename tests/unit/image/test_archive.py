from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from pyrt.errors import DigestMismatch, ImageNotFound, PyrtError, SizeMismatch, Unsupported
from pyrt.image.archive import ArchiveFiles
from pyrt.image.archive_writer import ArchiveTarget, ArchiveWriter
from pyrt.image.blob import LocalBlob, Piece
from pyrt.image.copy import copy
from pyrt.image.layout import LayoutSource
from pyrt.image.loading import Archive, open_docker_archive
from pyrt.image.medium import Source
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.manifest import parse
from pyrt.oci.platform import Platform
from pyrt.oci.reference import Reference
from tests.images import MemoryMedium, add_artifact, add_image, add_index, content_of, manifest_of, read_back, tar

LAYERS = [tar({"a": b"1" * 3000}), tar({"b": b"2"})]


class Open(Protocol):
    def __call__(self, path: Path, wanted: str = "", spool_directory: str | None = None) -> Source: ...


@pytest.fixture
def open_docker() -> Iterator[Open]:
    """Opens docker-archives, which are closed when the test is over."""
    with ExitStack() as stack:

        def opened(path: Path, wanted: str = "", spool_directory: str | None = None) -> Source:
            files = ArchiveFiles(path, "test", spool_directory=spool_directory)
            return stack.enter_context(closing(open_docker_archive(files, "test", wanted)))

        yield opened


def config_of(layers: list[bytes], **extra: object) -> bytes:
    diff_ids = [str(Digest.of(layer)) for layer in layers]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, **extra}).encode()


def legacy(path: Path, layers: list[bytes], *, pack: Any = bytes, names: list[str] | None = None) -> bytes:
    """Write what docker before 25 saves, a layer that is there twice as a link, and give the config."""
    config = config_of(layers)
    first: dict[bytes, str] = {}
    with tarfile.open(path, "w") as archive:
        for number, layer in enumerate(layers):
            entry = tarfile.TarInfo(f"{number:064x}/layer.tar")
            if layer in first:
                entry.type, entry.linkname = tarfile.SYMTYPE, f"../{first[layer]}"
                archive.addfile(entry)
                continue
            first[layer] = entry.name
            packed = pack(layer)
            entry.size = len(packed)
            archive.addfile(entry, io.BytesIO(packed))
        paths = [f"{number:064x}/layer.tar" for number in range(len(layers))]
        manifest = [{"Config": f"{hashlib.sha256(config).hexdigest()}.json", "RepoTags": names, "Layers": paths}]
        for name, content in ((manifest[0]["Config"], config), ("manifest.json", json.dumps(manifest).encode())):
            entry = tarfile.TarInfo(str(name))
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return config


@pytest.fixture
def image() -> MemoryMedium:
    medium = MemoryMedium()
    medium.top = add_image(medium, LAYERS)
    return medium


@pytest.fixture
def saved(image: MemoryMedium, tmp_path: Path) -> Path:
    """Two images of three names, which share a layer, and one without a name."""
    with ArchiveWriter(tmp_path / "saved.tar", "saved.tar") as writer:
        copy(image, writer.image(Reference.parse("one"), Reference.parse("example.com/x/one:2")))
        image.top = add_image(image, [LAYERS[0], tar({"c": b"3"})], docker=True)
        copy(image, writer.image(Reference.parse("two:x")))
        image.top = add_image(image, [LAYERS[1]], compressed=False)
        copy(image, writer.image())
        writer.commit()
    return tmp_path / "saved.tar"


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        files = [entry for entry in archive if entry.isfile()]
        return {entry.name: content_of(archive, entry) for entry in files}


def test_all_images_come_back_with_their_names(image: MemoryMedium, saved: Path) -> None:
    with Archive(saved, "saved.tar") as archive:
        images = archive.images()

        assert [[name.familiar for name in each.names] for each in images] == [
            ["one:latest", "example.com/x/one:2"],
            ["two:x"],
            [],
        ]
        for each in images:
            image.top = each.source.resolve()
            assert read_back(each.source) == read_back(image)


def test_what_is_shared_is_written_once(saved: Path) -> None:
    with tarfile.open(saved) as archive:
        names = archive.getnames()

    assert len(names) == len(set(names))
    assert len([name for name in names if name.startswith("blobs/sha256/")]) == 4 + 3 + 3


def test_older_readers_find_their_lists(saved: Path) -> None:
    files = members(saved)
    manifest = json.loads(files["manifest.json"])

    assert [each["RepoTags"] for each in manifest] == [
        ["docker.io/library/one:latest", "example.com/x/one:2"],
        ["docker.io/library/two:x"],
        None,
    ]
    assert all(path in files for each in manifest for path in (each["Config"], *each["Layers"]))
    assert json.loads(files["repositories"])["one"] == {"latest": manifest[0]["Layers"][-1].rpartition("/")[2]}


def test_the_same_images_give_the_same_bytes(image: MemoryMedium, tmp_path: Path) -> None:
    for name in "ab":
        with ArchiveWriter(tmp_path / name, name) as writer:
            copy(image, writer.image(Reference.parse("one")), jobs=4)
            writer.commit()

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with tarfile.open(tmp_path / "a") as archive:
        assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in archive} == {(0, 0, 0, "")}


def test_an_index_is_saved_whole_and_shows_older_readers_this_machines_image(tmp_path: Path, open_docker: Open) -> None:
    medium, host = MemoryMedium(), Platform.host()
    other = Platform("linux", "s390x")
    images = [add_image(medium, [LAYERS[n]], architecture=p.architecture) for n, p in enumerate((other, host))]
    medium.top = add_index(medium, [*images], [other, host])
    with ArchiveWriter(tmp_path / "a.tar", "a.tar") as writer:
        copy(medium, writer.image(Reference.parse("one")), all_platforms=True)
        writer.commit()

    listed = json.loads(members(tmp_path / "a.tar")["manifest.json"])
    assert listed[0]["Config"].endswith(images[1].config.digest.hex)
    source = open_docker(tmp_path / "a.tar", "one")
    assert read_back(source) == read_back(medium)


def test_a_pipe_gets_the_same_archive_as_a_file(image: MemoryMedium, saved: Path, tmp_path: Path) -> None:
    received = bytearray()
    reading, writing = os.pipe()

    def drain() -> None:
        with os.fdopen(reading, "rb") as file:
            received.extend(file.read())

    reader = threading.Thread(target=drain)
    reader.start()
    image.top = add_image(image, LAYERS)
    with os.fdopen(writing, "wb") as file, ArchiveWriter(file, "-") as writer:
        copy(image, writer.image(Reference.parse("one")))
        writer.commit()
    reader.join()

    with ArchiveWriter(tmp_path / "file.tar", "file.tar") as writer:
        copy(image, writer.image(Reference.parse("one")))
        writer.commit()
    assert bytes(received) == (tmp_path / "file.tar").read_bytes()


def test_an_archive_is_there_when_it_is_whole(image: MemoryMedium, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_text("old")
    with ArchiveWriter(path, "a.tar") as writer:
        copy(image, writer.image())
        assert path.read_text() == "old"
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.tar"]

    with ArchiveWriter(path, "a.tar") as writer:
        copy(image, writer.image())
        writer.commit()

    assert tarfile.is_tarfile(path)
    assert os.listdir(tmp_path) == ["a.tar"]


def test_a_blob_that_breaks_off_can_be_written_again(image: MemoryMedium, tmp_path: Path, open_docker: Open) -> None:
    layer = manifest_of(image).layers[0]
    good = image.blobs[layer.digest]
    with ArchiveWriter(tmp_path / "a.tar", "a.tar") as writer:
        image.blobs[layer.digest] = b"x" * layer.size
        with pytest.raises(DigestMismatch):
            copy(image, writer.image(), jobs=1)
        image.blobs[layer.digest] = good
        copy(image, writer.image())
        writer.commit()

    source = open_docker(tmp_path / "a.tar")
    assert read_back(source) == read_back(image)


def test_a_pipe_that_broke_off_stays_broken(image: MemoryMedium) -> None:
    layer = manifest_of(image).layers[0]
    good = image.blobs[layer.digest]
    with open(os.devnull, "wb") as file, ArchiveWriter(file, "-") as writer:
        image.blobs[layer.digest] = b"short"
        with pytest.raises(SizeMismatch):
            copy(image, writer.image(), jobs=1)
        image.blobs[layer.digest] = good
        with pytest.raises(PyrtError, match="cannot be taken back"):
            copy(image, writer.image())


@pytest.mark.parametrize("kind", ["file", "pipe", "appended"])
def test_a_local_blob_is_copied_by_the_kernel_with_the_same_result(tmp_path: Path, kind: str) -> None:
    content = os.urandom(300_000)
    (tmp_path / "blob").write_bytes(b"before" + content + b"after")
    seen: list[int] = []
    with open(tmp_path / "blob", "rb") as file:
        blob = LocalBlob(Piece(file.fileno(), 6, len(content), "blob")).observed(seen.append)
        if kind == "pipe":
            reading, writing = os.pipe()
            received: list[bytes] = []
            with os.fdopen(reading, "rb") as end:
                reader = threading.Thread(target=lambda: received.append(end.read()))
                reader.start()
                blob.copy_to(writing, "pipe")
                os.close(writing)
                reader.join()
            copied = received[0]
        else:
            with open(tmp_path / "copy", "ab" if kind == "appended" else "wb") as target:
                blob.copy_to(target.fileno(), "copy")
            copied = (tmp_path / "copy").read_bytes()

    assert copied == content
    assert sum(seen) == len(content)


def test_a_legacy_archive_is_read_without_hashing_its_layers(tmp_path: Path, open_docker: Open) -> None:
    config = legacy(tmp_path / "a.tar", [*LAYERS, LAYERS[0]], names=["one:1", "one:2"])
    source = open_docker(tmp_path / "a.tar", "one:2")

    manifest = manifest_of(source)

    assert manifest.media_type == mediatype.DOCKER_MANIFEST
    assert [layer.digest for layer in manifest.layers] == [Digest.of(x) for x in (*LAYERS, LAYERS[0])]
    blobs = read_back(source)[1]
    assert sorted(blobs.values()) == sorted([config, *LAYERS])


@pytest.mark.parametrize(("pack", "kind"), [(gzip.compress, "gzip"), (bytes, "")])
def test_layers_of_a_legacy_archive_may_be_compressed(tmp_path: Path, pack: Any, kind: str, open_docker: Open) -> None:
    legacy(tmp_path / "a.tar", LAYERS, pack=pack)
    source = open_docker(tmp_path / "a.tar")

    manifest = manifest_of(source)

    assert all(mediatype.is_layer(layer.media_type) for layer in manifest.layers)
    assert mediatype.compression_of(manifest.layers[0].media_type) == (kind or "none")
    with source.blob(manifest.layers[0]) as chunks:
        packed = b"".join(chunks)
    assert (gzip.decompress(packed) if kind else packed) == LAYERS[0]


def test_a_layer_that_is_not_what_the_config_says_is_found_by_its_stream(tmp_path: Path, open_docker: Open) -> None:
    content = LAYERS[0][:-1] + b"x"
    legacy(tmp_path / "a.tar", LAYERS, pack=lambda layer: content if layer == LAYERS[0] else layer)
    source = open_docker(tmp_path / "a.tar")

    with pytest.raises(DigestMismatch):
        read_back(source)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_compressed_archive_is_inflated_to_an_unnamed_file(tmp_path: Path, pack: Any, open_docker: Open) -> None:
    legacy(tmp_path / "a.tar", LAYERS)
    (tmp_path / "a.packed").write_bytes(pack((tmp_path / "a.tar").read_bytes()))
    (tmp_path / "spool").mkdir()

    source = open_docker(tmp_path / "a.packed", spool_directory=str(tmp_path / "spool"))

    assert set(LAYERS) < set(read_back(source)[1].values())
    assert os.listdir(tmp_path / "spool") == []


def test_an_archive_comes_through_a_pipe(saved: Path, image: MemoryMedium) -> None:
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(saved.read_bytes())

    writer = threading.Thread(target=feed)
    writer.start()
    with os.fdopen(reading, "rb") as file, Archive(file, "-") as archive:
        writer.join()
        images = archive.images()
        assert [len(each.names) for each in images] == [2, 1, 0]
        for each in images:
            read_back(each.source)


def test_an_archive_in_memory_is_read_too(saved: Path) -> None:
    with Archive(io.BytesIO(saved.read_bytes()), "x") as archive:
        assert len(archive.images()) == 3


def test_the_name_of_one_image_is_wanted_where_there_are_several(saved: Path, open_docker: Open) -> None:
    with pytest.raises(ImageNotFound, match=r"3 images: add the name of one; there is one:latest, example.com"):
        open_docker(saved)
    with pytest.raises(ImageNotFound, match=r"no image of this name; there is one:latest"):
        open_docker(saved, "three")


def test_an_image_is_chosen_by_its_id(saved: Path, image: MemoryMedium, open_docker: Open) -> None:
    manifest = manifest_of(image)
    source = open_docker(saved, f"@{manifest.config.digest}")

    assert source.resolve().raw == manifest.raw


def test_full_names_choose_in_an_oci_archive(saved: Path) -> None:
    with closing(LayoutSource.open(ArchiveFiles(saved, "x"), "x", "two:x")) as source:
        assert source.resolve().media_type == mediatype.DOCKER_MANIFEST


def test_docker_gets_no_archive_that_it_could_not_load(tmp_path: Path) -> None:
    medium = MemoryMedium()
    medium.top = add_artifact(medium, b"notes")
    target = ArchiveTarget(ArchiveWriter(tmp_path / "a.tar", "a.tar"), is_alone=True, is_docker=True)

    with pytest.raises(Unsupported, match="oci-archive"):
        copy(medium, target)

    target.close()
    assert os.listdir(tmp_path) == []


def test_an_archive_before_digests_is_refused_with_the_mend(tmp_path: Path, open_docker: Open) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("repositories"))

    with pytest.raises(Unsupported, match=r"before 1\.10.*newer docker"):
        open_docker(tmp_path / "a.tar")


def test_what_is_no_archive_of_images_is_refused(tmp_path: Path, open_docker: Open) -> None:
    (tmp_path / "a.tar").write_bytes(LAYERS[0])

    with pytest.raises(ImageNotFound, match="no docker-archive"):
        open_docker(tmp_path / "a.tar")
    with pytest.raises(ImageNotFound, match="does not exist"):
        open_docker(tmp_path / "b.tar")
    with pytest.raises(ImageNotFound, match="is a directory; is it oci:"):
        open_docker(tmp_path)


def test_a_foreign_layer_may_be_left_out(tmp_path: Path) -> None:
    medium = MemoryMedium()
    foreign = Descriptor(mediatype.DOCKER_FOREIGN_LAYER, Digest.of(b"away"), 4, urls=("https://example.com/layer",))
    manifest = add_image(medium, [])
    made = {**manifest.document, "layers": [foreign.to_json()]}
    medium.top = parse(json.dumps(made).encode())
    with ArchiveWriter(tmp_path / "a.tar", "a.tar") as writer:
        copy(medium, writer.image(tag="x"))
        writer.commit()

    assert "manifest.json" not in members(tmp_path / "a.tar")
    with closing(LayoutSource.open(ArchiveFiles(tmp_path / "a.tar", "x"), "x", "x")) as source:
        assert source.resolve().raw == medium.top.raw
