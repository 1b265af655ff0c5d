from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyrt.errors import (
    BlobNotFound,
    DigestMismatch,
    ImageNotFound,
    InvalidSpec,
    PyrtError,
    SizeMismatch,
    SyscallError,
    Unsupported,
)
from pyrt.image.copy import copy
from pyrt.image.files import DirectoryFiles
from pyrt.image.layout import LayoutSource, blob_path
from pyrt.image.layout_target import LayoutTarget
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.platform import Platform
from tests.images import MemoryMedium, add_image, add_index, manifest_of, random_image, random_index, read_back, tar


def write(medium: MemoryMedium, directory: Path, tag: str = "") -> None:
    target = LayoutTarget(str(directory), f"oci:{directory}", tag)
    try:
        copy(medium, target, all_platforms=True)
    finally:
        target.close()


@contextmanager
def opened(directory: Path, wanted: str = "") -> Iterator[LayoutSource]:
    name = f"oci:{directory}"
    source = LayoutSource.open(DirectoryFiles(str(directory), name), name, wanted)
    try:
        yield source
    finally:
        source.close()


def blob_file(directory: Path, descriptor: Descriptor) -> Path:
    return directory / blob_path(descriptor.digest)


def first_layer(medium: MemoryMedium) -> Descriptor:
    return manifest_of(medium).layers[0]


@pytest.fixture
def image() -> MemoryMedium:
    medium = MemoryMedium()
    medium.top = add_image(medium, [tar({"a": b"1" * 3000}), tar({"b": b"2"})])
    return medium


@pytest.fixture
def layout(image: MemoryMedium, tmp_path: Path) -> Path:
    write(image, tmp_path / "layout", "one")
    return tmp_path / "layout"


def test_what_is_written_is_a_layout_of_the_specification(image: MemoryMedium, layout: Path) -> None:
    index = json.loads((layout / "index.json").read_text())

    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "one"}
    assert blob_file(layout, image.resolve().descriptor).read_bytes() == image.resolve().raw
    assert sorted(os.listdir(layout)) == ["blobs", "index.json", "oci-layout"]


def test_images_side_by_side_keep_their_names(layout: Path) -> None:
    other = random_index(1)

    write(other, layout, "two")

    with opened(layout, "two") as source:
        assert read_back(source) == read_back(other)
    with opened(layout, "one"):
        pass
    with pytest.raises(ImageNotFound, match=r"2 images.*there is one, two"), opened(layout):
        pass
    with pytest.raises(ImageNotFound, match="no image of this name; there is one, two"), opened(layout, "three"):
        pass


def test_a_tag_moves(image: MemoryMedium, layout: Path) -> None:
    other = random_image(4)

    write(other, layout, "one")

    with opened(layout) as source:
        assert source.resolve().raw == other.resolve().raw


def test_an_image_without_a_name_is_listed_once(image: MemoryMedium, tmp_path: Path) -> None:
    write(image, tmp_path / "layout")
    write(image, tmp_path / "layout")

    entries = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert [entry["digest"] for entry in entries] == [str(image.resolve().descriptor.digest)]


def test_two_names_of_one_image_are_one_image(image: MemoryMedium, layout: Path) -> None:
    write(image, layout, "two")

    with opened(layout) as source:
        assert source.resolve().raw == image.resolve().raw


def test_a_digest_chooses_also_within_an_index(tmp_path: Path) -> None:
    medium = MemoryMedium()
    manifest = add_image(medium, [tar({"a": b"1"})])
    inner = add_index(medium, [manifest], [Platform()])
    medium.top = add_index(medium, [inner], [None])
    write(medium, tmp_path / "layout", "x")

    with opened(tmp_path / "layout", f"@{manifest.descriptor.digest}") as source:
        assert source.resolve().raw == manifest.raw


def test_what_others_noted_in_the_index_stays(layout: Path) -> None:
    index = json.loads((layout / "index.json").read_text())
    index["annotations"] = {"org.example": "kept"}
    index["manifests"][0]["org.example"] = {"also": 1.0}
    (layout / "index.json").write_text(json.dumps(index))

    write(random_image(2), layout, "two")

    after = json.loads((layout / "index.json").read_text())
    assert after["annotations"] == index["annotations"]
    assert after["manifests"][0] == index["manifests"][0]


def test_blobs_that_are_there_are_not_fetched(image: MemoryMedium, layout: Path) -> None:
    image.log.clear()

    write(image, layout, "again")

    assert not [line for line in image.log if line.startswith("open")]


def write_tags(directory: str, first: int) -> None:
    for number in range(first, first + 10):
        write(random_image(number), Path(directory), f"t{number}")


def test_writers_at_once_keep_each_others_entries(tmp_path: Path) -> None:
    program = (
        "import sys; from tests.unit.image.test_layout import write_tags; write_tags(sys.argv[1], int(sys.argv[2]))"
    )
    commands = [[sys.executable, "-c", program, str(tmp_path / "layout"), str(10 * number)] for number in range(3)]

    writers = [subprocess.Popen(command, cwd=Path(__file__).parents[3]) for command in commands]

    assert [writer.wait() for writer in writers] == [0, 0, 0]

    for number in range(30):
        with opened(tmp_path / "layout", f"t{number}") as source:
            assert read_back(source) == read_back(random_image(number))


def test_a_blob_that_fails_leaves_no_name(image: MemoryMedium, tmp_path: Path) -> None:
    layer = first_layer(image)
    image.blobs[layer.digest] = b"x" * layer.size

    with pytest.raises(DigestMismatch):
        write(image, tmp_path / "layout", "one")

    assert not blob_file(tmp_path / "layout", layer).exists()
    assert json.loads((tmp_path / "layout/index.json").read_text())["manifests"] == []


def test_a_source_that_fails_makes_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound):
        write(MemoryMedium(), tmp_path / "layout")

    assert not (tmp_path / "layout").exists()


@pytest.mark.parametrize("kind", ["other bytes", "shorter", "longer", "missing"])
def test_a_blob_that_is_not_what_it_should_be(image: MemoryMedium, layout: Path, kind: str) -> None:
    layer = first_layer(image)
    file = blob_file(layout, layer)
    content = file.read_bytes()
    change = {"other bytes": b"x" + content[1:], "shorter": content[:-1], "longer": content + b"x"}
    error = {"other bytes": DigestMismatch, "missing": BlobNotFound}.get(kind, SizeMismatch)
    if kind == "missing":
        file.unlink()
    else:
        file.write_bytes(change[kind])

    with opened(layout) as source, pytest.raises(error), source.blob(layer) as chunks:
        b"".join(chunks)


def test_a_manifest_that_is_not_what_it_should_be(image: MemoryMedium, layout: Path) -> None:
    file = blob_file(layout, image.resolve().descriptor)
    file.write_bytes(file.read_bytes().replace(b"2", b"3"))

    with opened(layout) as source, pytest.raises(DigestMismatch):
        source.resolve()


def test_links_out_of_a_layout_lead_nowhere(image: MemoryMedium, layout: Path, tmp_path: Path) -> None:
    layer = first_layer(image)
    blob_file(layout, layer).rename(tmp_path / "secret")
    blob_file(layout, layer).symlink_to(tmp_path / "secret")

    with opened(layout) as source, pytest.raises(BlobNotFound), source.blob(layer):
        pass


def test_a_fifo_in_the_place_of_a_blob_holds_nobody_up(image: MemoryMedium, layout: Path) -> None:
    layer = first_layer(image)
    blob_file(layout, layer).unlink()
    os.mkfifo(blob_file(layout, layer))

    with opened(layout) as source, pytest.raises(InvalidSpec, match="no regular file"), source.blob(layer):
        pass


def test_nothing_is_written_through_a_link(image: MemoryMedium, layout: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (layout / "blobs").rename(tmp_path / "blobs")
    (layout / "blobs").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(SyscallError):
        write(image, layout, "two")

    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    ("path", "content", "error"),
    [
        ("oci-layout", '{"imageLayoutVersion": "2.0.0"}', Unsupported),
        ("oci-layout", "[]", InvalidSpec),
        ("oci-layout", None, ImageNotFound),
        ("index.json", None, ImageNotFound),
        ("index.json", "{", InvalidSpec),
        ("index.json", '{"schemaVersion": 2, "manifests": [{"digest": "sha256:../../etc/passwd"}]}', PyrtError),
        ("index.json", '{"schemaVersion": 2, "manifests": []}', ImageNotFound),
        ("index.json", " " * (5 << 20), InvalidSpec),
    ],
)
def test_what_is_no_layout_is_refused(layout: Path, path: str, content: str | None, error: type[PyrtError]) -> None:
    (layout / path).unlink()
    if content is not None:
        (layout / path).write_text(content)

    with pytest.raises(error), opened(layout):
        pass


def test_a_directory_of_something_else_is_not_written_to(image: MemoryMedium, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")

    with pytest.raises(InvalidSpec, match="there are files, but no oci-layout"):
        write(image, tmp_path)

    assert os.listdir(tmp_path) == ["letter"]


def test_names_that_several_images_have_are_refused(image: MemoryMedium, layout: Path) -> None:
    index = json.loads((layout / "index.json").read_text())
    write(random_image(3), layout, "two")
    other = json.loads((layout / "index.json").read_text())["manifests"][1]
    other["annotations"]["org.opencontainers.image.ref.name"] = "one"
    index["manifests"].append(other)
    (layout / "index.json").write_text(json.dumps(index))

    with pytest.raises(ImageNotFound, match="2 images have this name: choose one by @sha256"), opened(layout, "one"):
        pass
