from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyrt.errors import BlobNotFound, DigestMismatch, ImageNotFound, InvalidSpec
from pyrt.image.copy import copy
from pyrt.image.medium import OpenBlob
from pyrt.image.progress import PUSHING, Progress
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.fields import dump
from pyrt.oci.manifest import Index, Manifest, make_manifest, parse
from pyrt.oci.platform import Platform
from tests.images import MemoryMedium, add_artifact, add_image, add_index, parts_of, random_index, read_back, tar

LAYERS = [tar({"a": b"1" * 9000}), tar({"b": b"2"}), tar({"c": b"3"})]
OTHER = Platform("linux", "s390x")


@pytest.fixture
def image() -> MemoryMedium:
    medium = MemoryMedium()
    medium.top = add_image(medium, LAYERS)
    return medium


@pytest.fixture
def index() -> MemoryMedium:
    """An index of this machine's image and another's."""
    medium, platforms = MemoryMedium(), [OTHER, Platform.host()]
    images = [add_image(medium, [LAYERS[n]], architecture=p.architecture) for n, p in enumerate(platforms)]
    medium.top = add_index(medium, [*images], [*platforms])
    return medium


def test_of_an_index_goes_this_machines_image(index: MemoryMedium) -> None:
    target = MemoryMedium()

    top = copy(index, target)

    assert isinstance(top, Manifest)
    assert target.top == top
    assert list(target.documents) == [top.descriptor.digest]
    assert set(target.blobs) == {top.config.digest, top.layers[0].digest}


def test_of_an_index_goes_the_image_that_is_wanted(index: MemoryMedium) -> None:
    target = MemoryMedium()

    copy(index, target, platform=OTHER)

    assert target.resolve().raw == index.manifest(parts_of(index)[0]).raw
    with pytest.raises(ImageNotFound, match="linux/riscv64"):
        copy(index, target, platform=Platform("linux", "riscv64"))


def test_one_image_of_the_wrong_platform_is_refused_where_one_is_wanted(image: MemoryMedium) -> None:
    with pytest.raises(ImageNotFound, match="is for linux/amd64, and not for linux/s390x"):
        copy(image, MemoryMedium(), platform=OTHER)


def test_all_of_an_index_goes_byte_for_byte() -> None:
    for seed in range(8):
        medium, target = random_index(seed), MemoryMedium()

        copy(medium, target, all_platforms=True)

        assert read_back(target) == read_back(medium)


def test_artifacts_and_unknown_types_pass(image: MemoryMedium) -> None:
    image.top = add_artifact(image, b"notes")
    target = MemoryMedium()

    copy(image, target)

    assert read_back(target) == read_back(image)


def test_an_entry_of_an_index_that_is_no_manifest_goes_as_a_blob() -> None:
    medium, target = MemoryMedium(), MemoryMedium()
    strange = medium.add("application/x-strange", b"strange")
    document = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": [strange.to_json()]}
    medium.top = parse(dump(document))

    copy(medium, target, all_platforms=True)

    assert target.blobs == {strange.digest: b"strange"}


@pytest.mark.parametrize("all_platforms", [True, False])
def test_indexes_within_indexes_end_somewhere(all_platforms: bool) -> None:
    medium = MemoryMedium()
    medium.top = add_image(medium, [])
    for _ in range(2000):
        medium.top = add_index(medium, [medium.top], [None])

    with pytest.raises(InvalidSpec, match="without end"):
        copy(medium, MemoryMedium(), all_platforms=all_platforms)


def test_what_a_document_embeds_is_not_fetched() -> None:
    medium, target = MemoryMedium(), MemoryMedium()
    config = Descriptor(mediatype.EMPTY, Digest.of(b"{}"), 2, data=b"{}")
    medium.top = make_manifest(config, [])

    copy(medium, target)

    assert target.blobs == {config.digest: b"{}"}
    assert not medium.log


def test_what_a_document_embeds_is_verified() -> None:
    medium, target = MemoryMedium(), MemoryMedium()
    medium.top = make_manifest(Descriptor(mediatype.EMPTY, Digest.of(b"{}"), 2, data=b"[]"), [])

    with pytest.raises(DigestMismatch):
        copy(medium, target)

    assert target.top is None


def test_a_blob_that_is_there_is_not_fetched_again(image: MemoryMedium) -> None:
    target = MemoryMedium()
    copy(image, target)
    image.log.clear()

    copy(image, target)

    assert not image.log


@dataclass(slots=True)
class Slow(MemoryMedium):
    """A source whose blobs wait until `at_once` of them are open, and end with an error where they are `broken`."""

    at_once: int = 1
    broken: frozenset[Digest] = frozenset()
    open_now: int = 0
    most: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)
    interrupted: bool = False

    @contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        with self.changed:
            self.open_now += 1
            self.most = max(self.most, self.open_now)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.most >= self.at_once or self.interrupted, timeout=60)
        try:
            if descriptor.digest in self.broken:
                raise BlobNotFound("broken")
            with MemoryMedium.blob(self, descriptor) as chunks:
                yield chunks
        finally:
            with self.changed:
                self.open_now -= 1

    def interrupt(self) -> None:
        with self.changed:
            self.interrupted = True
            self.changed.notify_all()


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_as_many_blobs_as_were_wished_go_side_by_side(image: MemoryMedium, jobs: int) -> None:
    source = Slow("slow:", image.top, image.documents, image.blobs, at_once=jobs)

    copy(source, MemoryMedium(), jobs=jobs)

    assert source.most == jobs


def test_one_failure_stops_the_others_and_is_the_one_that_is_told(image: MemoryMedium) -> None:
    top = image.resolve()
    assert isinstance(top, Manifest)
    bad = top.layers[1]

    class Stuck(Slow):
        """All but one blob hang, until they are told not to."""

        @contextmanager
        def blob(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
            if descriptor != bad:
                with self.changed:
                    assert self.changed.wait_for(lambda: self.interrupted, timeout=60)
            with MemoryMedium.blob(self, descriptor) as chunks:
                yield chunks

    source = Stuck("stuck:", top, image.documents, image.blobs)
    image.blobs[bad.digest] = b"x" * bad.size
    target = MemoryMedium()

    with pytest.raises(DigestMismatch):
        copy(source, target, jobs=2)

    assert target.top is None
    assert not target.blobs
    assert top.config.digest.short not in " ".join(source.log)


PROGRAM = """
import contextlib, os, signal, threading
from pyrt.image.copy import copy
from tests.images import MemoryMedium, add_image, tar

class Stuck(MemoryMedium):
    @contextlib.contextmanager
    def blob(self, descriptor):
        os.write(1, b"waiting\\n")
        interrupted.wait()
        raise OSError("interrupted")
        yield

    def interrupt(self):
        interrupted.set()

signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored where a shell runs us in the background
interrupted = threading.Event()
source, target = Stuck(), MemoryMedium()
source.top = add_image(source, [tar({"a": b"1"})] * 2)
try:
    copy(source, target)
except KeyboardInterrupt:
    print("stopped", target.top, target.blobs)
"""


def test_ctrl_c_ends_a_copy_that_waits() -> None:
    program = [sys.executable, "-c", PROGRAM]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"

        process.send_signal(signal.SIGINT)

        said, _ = process.communicate(timeout=60)
        assert said.splitlines()[-1] == "stopped None {}"
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_a_callback_that_raises_ends_the_copy(image: MemoryMedium) -> None:
    def interrupt(event: Progress) -> None:
        if event.status == "Copying":
            raise KeyboardInterrupt

    target = MemoryMedium()
    with pytest.raises(KeyboardInterrupt):
        copy(image, target, on_progress=interrupt)

    assert target.top is None


def test_blobs_come_before_documents_and_the_top_comes_last(index: MemoryMedium) -> None:
    order: list[str] = []

    @dataclass(slots=True)
    class Ordered(MemoryMedium):
        def put(self, descriptor: Descriptor, open_blob: OpenBlob) -> str | None:
            order.append("blob")
            return MemoryMedium.put(self, descriptor, open_blob)

        def put_manifest(self, document: Manifest | Index) -> None:
            order.append("document")
            MemoryMedium.put_manifest(self, document)

    copy(index, Ordered(), all_platforms=True)

    assert order == ["blob"] * 4 + ["document"] * 3


def test_progress_is_told_in_dockers_words(image: MemoryMedium) -> None:
    top = image.resolve()
    assert isinstance(top, Manifest)
    target = MemoryMedium("memory:target")
    target.blobs[top.layers[1].digest] = image.blobs[top.layers[1].digest]
    events: list[Progress] = []

    copy(image, target, on_progress=events.append, words=PUSHING)

    first, second = ([e for e in events if e.id == layer.digest.short] for layer in top.layers[:2])
    assert [event.status for event in first] == ["Preparing", "Pushing", "Pushed"]
    assert first[-1] == Progress(first[0].id, "Pushed", top.layers[0].size, top.layers[0].size, "memory:target")
    assert [event.status for event in second] == ["Preparing", "Already exists"]
