"""Bring an image into the store: its blobs, and its layers unpacked, ready to run.

Takes a Source, gives a StoredImage. Layers are fetched, inflated, verified and unpacked side by side, each as a
pipeline of threads with bounded memory between them; an upper layer waits for a lower one only at its very end, to take
over what its archive left to it. A layer gets its name when all of that is right, the image when all of its layers have
theirs, so that whatever stops this leaves whole layers at most, and those to the collector.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from pyrt.content import Ingest
from pyrt.errors import (
    DigestMismatch,
    ImageNotFound,
    IntegrityError,
    InvalidDigest,
    InvalidSpec,
    SizeMismatch,
    Unsupported,
)
from pyrt.image.copy import LOOK_SECONDS, choose_platform
from pyrt.image.medium import Interruptible, Source, Unverified
from pyrt.image.progress import PULLING, OnProgress, Report, silent
from pyrt.image.record import ImageName, StoredImage
from pyrt.image.store import ImageStore, is_there
from pyrt.layer import Limits, Pending, Trees, ahead, decompress, hashed
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.image import ImageDocument
from pyrt.oci.manifest import Index, Manifest
from pyrt.oci.platform import Platform
from pyrt.snapshot import Stage

__all__ = ["JOBS", "receive", "select"]

JOBS = 3  # layers at once, as Docker has it
_READ_BYTES = 1 << 20
MAX_CONFIG_BYTES = 8 << 20
_PLAIN_BYTES = 16 << 20  # inflated ahead: a piece with many small files takes longer to unpack than one of a large file


class _Stopped(Exception):
    """Another layer failed, and its error is the one to be reported."""


def select(source: Source, top: Manifest | Index, platform: Platform | None = None) -> Manifest:
    """Give the manifest of one image: of an index the one for a platform, by default this machine's.

    Raises ImageNotFound where it is for none that is wanted, Unsupported for what is no image.
    """
    document = choose_platform(source, top, platform)
    if not document.is_image:
        kind = document.artifact_type or document.config.media_type
        raise Unsupported(f"{source.name} as an image", f"it is an artifact of type {kind}: `pyrt copy` takes it")
    return document


def receive(
    store: ImageStore,
    trees: Trees,
    source: Source,
    manifest: Manifest,
    *,
    names: Iterable[ImageName] | Callable[[Digest], Iterable[ImageName]] = (),
    on_progress: OnProgress = silent,
    jobs: int = JOBS,
) -> StoredImage:
    """Take over one image, and let names point to it; `names` may be a function of the image's id.

    What the store has already is not fetched again, and what another process is just fetching is waited for. Raises
    DigestMismatch and SizeMismatch where the bytes are not what their names say, InvalidSpec for documents or layers
    that cannot be, and what the source raises.
    """
    with store.receiving() as lease:
        lease.add(*(str(each.digest) for each in (manifest.descriptor, manifest.config, *manifest.layers)))
        document = _config(store, source, manifest)
        named = tuple(names(manifest.config.digest) if callable(names) else names)
        lease.add(*(str(each) for each in document.chain_ids))
        with suppress(ImageNotFound):  # it came before, maybe from elsewhere and packed otherwise
            known = store.find(str(manifest.config.digest))
            if is_there(store, known.record):
                return store.point(known, named)
        _Reception(store, trees, source, manifest, document, Report(on_progress)).run(jobs)
        store.content.add(manifest.raw)
        return store.add(manifest, document, named)


def _config(store: ImageStore, source: Source, manifest: Manifest) -> ImageDocument:
    descriptor = manifest.config
    if descriptor.size > MAX_CONFIG_BYTES:
        raise InvalidSpec(f"{source.name}: its config has {descriptor.size} bytes; the limit is {MAX_CONFIG_BYTES}")
    with store.content.ingest(descriptor.digest, descriptor.size) as ingest:
        if not ingest.is_complete:
            with source.blob(descriptor) as chunks:
                for chunk in chunks:
                    ingest.write(chunk)
            ingest.commit()
    raw = store.content.read(descriptor.digest)
    try:
        document = ImageDocument.parse(raw)
    except (InvalidDigest, InvalidSpec) as error:
        raise InvalidSpec(f"{source.name}: {error}") from error
    if len(document.diff_ids) != len(manifest.layers):
        counts = f"{len(manifest.layers)} layers, but its config {len(document.diff_ids)} DiffIDs"
        raise InvalidSpec(f"{source.name}: its manifest has {counts}")
    for layer in manifest.layers:
        if not mediatype.is_layer(layer.media_type):
            raise Unsupported(f"{source.name} as an image", f"{layer.media_type} is no layer of files")
    return document


@dataclass(slots=True)
class _Reception:
    """The layers of one image on their way."""

    store: ImageStore
    trees: Trees
    source: Source
    manifest: Manifest
    document: ImageDocument
    report: Report
    stopped: threading.Event = field(default_factory=threading.Event)
    done: list[Future[None]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    known: frozenset[tuple[Digest, int, Digest]] = frozenset()

    def run(self, jobs: int) -> None:
        """Unpack all layers; the first failure stops the others and is raised."""
        layers = self.manifest.layers
        self.known = _known(self.store)
        with ThreadPoolExecutor(max(1, min(jobs, len(layers))), "pyrt-layer") as pool:
            try:
                for index in range(len(layers)):
                    self.done.append(pool.submit(self._attempt, index))
                while wait(self.done, LOOK_SECONDS, FIRST_EXCEPTION).not_done and not self.failures:
                    continue
            finally:
                self.stopped.set()
                if isinstance(self.source, Interruptible) and not all(each.done() for each in self.done):
                    self.source.interrupt()
                pool.shutdown(cancel_futures=True)
        for error in self.failures:  # the first is the cause of the others
            raise error

    def _attempt(self, index: int) -> None:
        try:
            self._layer(index)
        except BaseException as error:
            self.failures.append(error)
            raise

    def _layer(self, index: int) -> None:
        descriptor, chain_id = self.manifest.layers[index], self.document.chain_ids[index]
        self.report.say(descriptor, PULLING.waiting)
        with self.store.layers.stage(chain_id, cancelled=self.stopped.is_set) as stage:
            if stage.is_complete:
                self._fetch_only(index)
                self.report.say(descriptor, "Already exists")
                return
            self._unpack(index, stage)
        self.report.say(descriptor, "Pull complete")

    def _fetch_only(self, index: int) -> None:
        """Fetch a blob whose content is unpacked already, and see that it is the same, unless an image says so."""
        descriptor, diff_id = self.manifest.layers[index], self.document.diff_ids[index]
        blob = (descriptor.digest, descriptor.size, self.document.chain_ids[index])
        if blob in self.known and self.store.content.has(descriptor.digest):
            return
        hasher, limit = diff_id.hasher(), Limits().stream_bytes
        with self._blob(descriptor) as chunks, self._blaming(descriptor), ahead(chunks) as compressed:
            plain = hashed(map(self._checked, decompress(compressed)), hasher)
            for _ in plain:
                if plain.size_bytes > limit:
                    raise InvalidSpec(f"it inflates to more than {limit} bytes")
            self._check(descriptor, diff_id, hasher.hexdigest())

    def _check(self, descriptor: Descriptor, diff_id: Digest, found: str) -> None:
        if found != diff_id.hex:
            raise DigestMismatch(
                f"{self.source.name}: layer {descriptor.digest.short} unpacks to {found[:12]}, and not to "
                f"{diff_id.short}, as its config says"
            )

    def _unpack(self, index: int, stage: Stage) -> None:
        descriptor, diff_id = self.manifest.layers[index], self.document.diff_ids[index]
        with self._blob(descriptor) as chunks, self._blaming(descriptor), ahead(chunks) as compressed:
            if descriptor.digest == diff_id and isinstance(chunks, _Kept):  # not compressed: the ingest verifies it
                applied = self.trees.apply(compressed, stage.directory)
            else:
                hasher = diff_id.hasher()
                with ahead(
                    decompress(compressed), _PLAIN_BYTES
                ) as plain:  # to inflate takes as long as to hash and to unpack
                    applied = self.trees.apply(hashed(map(self._checked, plain), hasher), stage.directory)
                self._check(descriptor, diff_id, hasher.hexdigest())
        self.report.say(descriptor, "Extracting", descriptor.size)
        parent = None
        if index:
            self.done[index - 1].result()
            parent = self.document.chain_ids[index - 1]
        if applied.pending != Pending():
            lowers = [layer.directory for layer in self.store.layers.chain(parent)] if parent else []
            with self._blaming(descriptor):
                self.trees.settle(stage.directory, applied.pending, lowers)
        stage.commit(diff_id=diff_id, parent=parent, size_bytes=applied.size_bytes)

    @contextmanager
    def _blaming(self, descriptor: Descriptor) -> Iterator[None]:
        """Say which layer it is that does not unpack; what comes of the source is said there."""
        try:
            yield
        except (IntegrityError, InvalidSpec) as error:
            if isinstance(error, DigestMismatch | SizeMismatch):
                raise
            raise type(error)(f"{self.source.name}: layer {descriptor.digest.short}: {error}") from error

    @contextmanager
    def _blob(self, descriptor: Descriptor) -> Iterator[Iterable[bytes]]:
        """Give the chunks of a blob: those of the store, or the source's, which go into the store on their way."""
        content = self.store.content
        with content.ingest(descriptor.digest, descriptor.size, cancelled=self.stopped.is_set) as ingest:
            if ingest.is_complete:
                with content.open(descriptor.digest) as file:
                    try:
                        yield iter(lambda: self._checked(file.read(_READ_BYTES)), b"")
                    except (IntegrityError, InvalidSpec):
                        self._delete_damaged(descriptor, file)
                        raise
                return
            source = self.source  # an ingest verifies what comes
            with source.unverified(descriptor) if isinstance(source, Unverified) else source.blob(descriptor) as chunks:
                kept = _Kept(chunks, self._arrived(descriptor, ingest))
                try:
                    yield kept
                except (IntegrityError, InvalidSpec):
                    for _ in kept:  # what does not unpack is not what its name says, more often than not
                        continue
                    ingest.commit()
                    raise
                for _ in kept:
                    continue
            ingest.commit()
            self.report.say(descriptor, PULLING.done)

    def _delete_damaged(self, descriptor: Descriptor, file: BinaryIO) -> None:
        """Delete a blob of the store that is not what it was when it came, so that it is fetched again."""
        file.seek(0)
        hasher = descriptor.digest.hasher()
        for chunk in iter(lambda: file.read(_READ_BYTES), b""):
            hasher.update(chunk)
        if hasher.hexdigest() != descriptor.digest.hex:
            self.store.content.delete(descriptor.digest)
            raise DigestMismatch(f"blob {descriptor.digest} of this store was damaged, and is deleted now: pull again")

    def _arrived(self, descriptor: Descriptor, ingest: Ingest) -> Callable[[bytes], None]:
        def arrived(chunk: bytes) -> None:
            ingest.write(self._checked(chunk))
            self.report.moved(descriptor, PULLING.moving, ingest.offset_bytes)

        return arrived

    def _checked(self, chunk: bytes) -> bytes:
        if self.stopped.is_set():
            raise _Stopped
        return chunk


def _known(store: ImageStore) -> frozenset[tuple[Digest, int, Digest]]:
    """Give the blobs (digest and size) that were unpacked to layers, and to which (ChainID)."""
    return frozenset(
        (layer.digest, layer.size, chain_id)
        for image in store.all()
        for layer, chain_id in zip(image.record.layers, image.record.chain, strict=True)
    )


class _Kept:
    """Chunks that are also taken as they pass. No generator: it can be read on where another reader stopped."""

    def __init__(self, chunks: Iterator[bytes], take: Callable[[bytes], None]) -> None:
        self._chunks = chunks
        self._take = take

    def __iter__(self) -> _Kept:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._take(chunk)
        return chunk
