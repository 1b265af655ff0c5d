"""Archives of images made to hurt: refused as a whole, with an error that names the archive, and nothing is written."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import ImageNotFound, IntegrityError, InvalidSpec, NotFound, PyrtError
from pyrt.image.archive import ArchiveFiles
from pyrt.image.archive_writer import ArchiveWriter
from pyrt.image.copy import copy
from pyrt.image.loading import Archive, open_docker_archive
from pyrt.oci.reference import Reference
from tests.images import MemoryMedium, add_image, read_back, tar

Entry = tuple[str, bytes, str, bytes]  # name, type, link, content
FILE, LINK, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def pack(*entries: Entry) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind, link, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, link, len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def good_archive() -> bytes:
    """What we would write for an image of two layers."""
    medium = MemoryMedium()
    medium.top = add_image(medium, [tar({"a": b"1" * 2000}), tar({"b": b"2"})])
    reading, writing = os.memfd_create("archive"), None
    with os.fdopen(reading, "w+b") as file:
        with ArchiveWriter(file, "x") as writer:
            copy(medium, writer.image(Reference.parse("one")))
            writer.commit()
        file.seek(0)
        assert writing is None
        return file.read()


GOOD = good_archive()


def read_all(content: bytes) -> None:
    """Do with an archive all that `load` would."""
    with Archive(io.BytesIO(content), "hostile.tar") as archive:
        for image in archive.images():
            read_back(image.source)


def listed(config: str, *layers: str) -> bytes:
    return json.dumps([{"Config": config, "RepoTags": None, "Layers": layers}]).encode()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("../x", FILE, "", b"1")], r"'\.\./x' leads out"),
        ([("a/../../x", FILE, "", b"1")], "leads out"),
        ([("/etc/passwd", FILE, "", b"1")], "leads out"),
        ([("//x", FILE, "", b"1")], "leads out"),
        ([("a", LINK, "../x", b"")], "link to .* leads out"),
        ([("a", LINK, "/etc/passwd", b"")], "link to .* leads out"),
        ([("a/b", LINK, "../../x", b"")], "link to .* leads out"),
        ([("a", HARD, "../x", b"")], "link to .* leads out"),
        ([("a", HARD, "/etc/passwd", b"")], "link to .* leads out"),
        ([("a", FILE, "", b"1"), ("a", FILE, "", b"2")], "'a' is there twice"),
        ([("a", FILE, "", b"1"), ("./a", FILE, "", b"2")], "'a' is there twice"),
        ([("a", FILE, "", b"1"), ("a", LINK, "b", b"")], "'a' is there twice"),
        ([("a", tarfile.DIRTYPE, "", b""), ("a", FILE, "", b"2")], "a directory and a file"),
        ([("a", tarfile.FIFOTYPE, "", b"")], "neither a file"),
        ([("a", tarfile.CHRTYPE, "", b"")], "neither a file"),
    ],
)
def test_members_that_mislead_are_refused(entries: list[Entry], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        read_all(pack(*entries, ("manifest.json", FILE, "", b"[]")))


@pytest.mark.parametrize("target", ["a", "b", "nowhere"])
def test_links_that_lead_nowhere_end(target: str) -> None:
    loop = [("a", LINK, target, b""), ("b", LINK, "a", b"")]

    with pytest.raises(ImageNotFound, match="leads nowhere"):
        read_all(pack(*loop, ("manifest.json", FILE, "", listed("a"))))


def header(name: str, size: int, kind: bytes = FILE) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    return entry.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("size", [10**6, 1 << 40, (1 << 63) - 1])
def test_sizes_beyond_the_archive_are_refused(size: int) -> None:
    with pytest.raises(InvalidSpec, match=r"the archive ends after|unexpected end of data|no whole tar"):
        read_all(header("a", size) + b"x" * 1024)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
@pytest.mark.parametrize("size", [1 << 30, 1 << 40, 2 << 20])
def test_headers_that_would_fill_the_memory_are_refused(kind: bytes, size: int) -> None:
    with pytest.raises(InvalidSpec, match="a header of"):
        read_all(header("a", 0) + header("x", size, kind) + b"\0" * 4096)


def test_headers_before_headers_without_end_are_refused() -> None:
    with pytest.raises(InvalidSpec):
        read_all((header("x", 12, b"x") + b"12 a=bcdefg\n".ljust(512, b"\0")) * 20_000 + header("a", 0))


def test_a_header_of_noise_is_no_end() -> None:
    broken = bytearray(GOOD)
    with tarfile.open(fileobj=io.BytesIO(GOOD)) as archive:
        second = archive.getmembers()[4].offset
    broken[second : second + 512] = os.urandom(512)

    with pytest.raises(InvalidSpec):
        read_all(bytes(broken))


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{}",
        b"[1]",
        b"[" * 100_000,
        b"[{}]",
        b'[{"Config": 1}]',
        b'[{"Config": "c", "Layers": "x"}]',
        b'[{"Config": "c", "RepoTags": ["UPPER/../x"], "Layers": []}]',
        listed("c", "layer"),
        json.dumps([{}] * 10_000).encode(),
        b" " * (5 << 20),
    ],
)
def test_lists_that_are_none_are_refused(manifest: bytes) -> None:
    with pytest.raises(InvalidSpec):
        read_all(pack(("manifest.json", FILE, "", manifest), ("c", FILE, "", b"{}")))


def test_files_of_the_host_are_not_read_through_the_list() -> None:
    for path in ("/etc/passwd", "../../../../etc/passwd", "/proc/self/environ"):
        with pytest.raises(NotFound):
            read_all(pack(("manifest.json", FILE, "", listed(path))))


def test_a_config_larger_than_any_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="the limit is"):
        read_all(pack(("manifest.json", FILE, "", listed("c")), ("c", FILE, "", b" " * (5 << 20))))


def test_a_good_archive_is_read() -> None:
    read_all(GOOD)


@given(length=st.integers(0, len(GOOD) - 1025))
def test_an_archive_that_ends_early_is_refused(length: int) -> None:
    cut = min(length, GOOD.rindex(b"repositories") - 1)

    with pytest.raises(PyrtError):
        read_all(GOOD[:cut])


def broken_byte(position: int, value: int) -> bytes:
    changed = bytearray(GOOD)
    changed[position] = value
    return bytes(changed)


@given(position=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255))
def test_one_other_byte_is_refused_or_changes_nothing(position: int, value: int) -> None:
    with suppress(PyrtError, IntegrityError):
        read_all(broken_byte(position, value))


@given(st.binary(max_size=3000))
def test_noise_is_refused(content: bytes) -> None:
    with pytest.raises(PyrtError):
        read_all(content)


@pytest.mark.parametrize("opener", [open_docker_archive])
def test_nothing_is_left_open_when_an_archive_is_refused(opener: Callable[..., object], tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(pack(("manifest.json", FILE, "", b"{}")))

    with pytest.raises(InvalidSpec):
        opener(ArchiveFiles(tmp_path / "a.tar", "x"), "x")


def test_a_layer_changed_between_two_readings_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(GOOD)
    with closing(open_docker_archive(ArchiveFiles(path, "x"), "x")) as source:
        source.resolve()
        path.write_bytes(bytes(len(GOOD)))

        with pytest.raises(PyrtError):
            read_back(source)
