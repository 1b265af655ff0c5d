"""Copy an image, or an index with all that it lists, from one medium to another.

Documents go byte for byte, whatever they say; blobs are verified on their way, some of them side by side. What the
target has already is not asked of the source. The top document goes last, so that a copy that fails or is interrupted
leaves no name that means half an image.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyrt.errors import BlobNotFound, ImageNotFound, InvalidSpec
from pyrt.image.blob import LocalBlob, OnBytes, verified
from pyrt.image.medium import Interruptible, Source, Target
from pyrt.image.progress import COPYING, OnProgress, Report, Words, silent
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.image import ImageDocument
from pyrt.oci.manifest import Index, Manifest
from pyrt.oci.platform import Platform, rank

__all__ = ["JOBS", "LOOK_SECONDS", "choose_platform", "copy"]

JOBS = 3  # blobs at once, as Docker has it
MAX_CONFIG_BYTES = 8 << 20
_MAX_DOCUMENTS = 4096
LOOK_SECONDS = 0.2  # a Ctrl-C that comes just before a lock is waited for is seen only after it (CPython)
_MAX_DEPTH = 8  # of indexes within each other


class _Stopped(Exception):
    """Another blob failed, or Ctrl-C came: that is to be reported, and not this."""


def copy(
    source: Source,
    target: Target,
    *,
    platform: Platform | None = None,
    all_platforms: bool = False,
    jobs: int = JOBS,
    on_progress: OnProgress = silent,
    words: Words = COPYING,
) -> Manifest | Index:
    """Copy what the source names, and give the top document of the copy.

    Of an index that is the image for `platform` (by default this machine's), or all of it with `all_platforms`. At most
    `jobs` blobs are under way at once. Raises ImageNotFound, IntegrityError, and what the media raise; then the target
    has no new name.
    """
    top = source.resolve()
    if not all_platforms:
        top = choose_platform(source, top, platform)
    documents, blobs = _gather(source, top)
    _Copying(source, target, Report(on_progress, target.name), words).run(blobs, jobs)
    for document in documents:
        if not target.has(document.descriptor):
            target.put_manifest(document)
    target.finish(top)
    return top


def choose_platform(source: Source, top: Manifest | Index, platform: Platform | None = None) -> Manifest:
    """Give the manifest of one image; where that is all there is, of whatever platform, unless one is wanted.

    Raises ImageNotFound where nothing fits.
    """
    document, depth = top, 0
    while isinstance(document, Index):
        depth += 1
        if depth > _MAX_DEPTH:
            raise InvalidSpec(f"{source.name}: indexes within indexes without end")
        document = source.manifest(document.choose(platform or Platform.host()))
    if platform is not None and document.is_image:
        found = _config(source, document.config).platform
        if not rank(platform, [found]):
            raise ImageNotFound(f"{source.name}: the image is for {found}, and not for {platform}")
    return document


def _config(source: Source, descriptor: Descriptor) -> ImageDocument:
    if descriptor.size > MAX_CONFIG_BYTES:
        raise InvalidSpec(f"{source.name}: its config has {descriptor.size} bytes; the limit is {MAX_CONFIG_BYTES}")
    with _opened(source, descriptor) as chunks:
        return ImageDocument.parse(b"".join(chunks))


def _gather(source: Source, top: Manifest | Index) -> tuple[list[Manifest | Index], list[Descriptor]]:
    """Give all documents below the top one, none before what it refers to, and all blobs, each once."""
    documents: dict[Digest, Manifest | Index] = {}
    blobs: dict[Digest, Descriptor] = {}
    entered = {top.descriptor.digest}

    def enter(document: Manifest | Index, depth: int) -> None:
        if isinstance(document, Manifest):
            for blob in (*document.layers, document.config):
                blobs.setdefault(blob.digest, blob)
            return
        if depth > _MAX_DEPTH:
            raise InvalidSpec(f"{source.name}: indexes within indexes without end")
        for each in document.manifests:
            if not (mediatype.is_index(each.media_type) or mediatype.is_manifest(each.media_type)):
                blobs.setdefault(each.digest, each)
            elif each.digest not in entered:
                entered.add(each.digest)
                if len(entered) > _MAX_DOCUMENTS:
                    raise InvalidSpec(f"{source.name}: it refers to more than {_MAX_DOCUMENTS} documents")
                inner = source.manifest(each)
                enter(inner, depth + 1)
                documents[each.digest] = inner

    enter(top, 0)
    return list(documents.values()), list(blobs.values())


@dataclass(slots=True)
class _Copying:
    """Blobs on their way."""

    source: Source
    target: Target
    report: Report
    words: Words
    started: threading.Event = field(default_factory=threading.Event)  # when the pool is no longer being filled, for
    stopped: threading.Event = field(default_factory=threading.Event)  # Ctrl-C amid that may leave its locks taken
    failures: list[BaseException] = field(default_factory=list)  # the first is the cause of the others

    def run(self, blobs: Iterable[Descriptor], jobs: int) -> None:
        """Copy all blobs; the first failure stops the others and is raised."""
        at_once = 1 if getattr(self.target, "is_sequential", False) else max(1, jobs)
        futures: list[Future[None]] = []
        is_done = False
        with ThreadPoolExecutor(at_once, "pyrt-copy") as pool:
            try:
                for blob in blobs:
                    futures.append(pool.submit(self.attempt, blob))
                self.started.set()
                while wait(futures, LOOK_SECONDS, FIRST_EXCEPTION).not_done and not self.failures:
                    continue
                is_done = not self.failures
            finally:
                if not is_done:
                    self._stop()
                pool.shutdown(cancel_futures=True)
        if self.failures:
            raise self.failures[0]

    def _stop(self) -> None:
        """Let nothing that is under way go on, also where it waits for a registry."""
        self.stopped.set()
        self.started.set()
        for medium in (self.source, self.target):
            if isinstance(medium, Interruptible):
                medium.interrupt()

    def attempt(self, blob: Descriptor) -> None:
        """Copy a blob unless another has failed, and note what it fails of."""
        self.started.wait()
        if self.stopped.is_set():
            return
        try:
            self.one(blob)
        except BaseException as e:
            self.failures.append(e)
            self.stopped.set()
            raise

    def one(self, blob: Descriptor) -> None:
        """Copy a blob, if the target has not got it."""
        self.report.say(blob, self.words.waiting)
        try:
            instead = self.target.put(blob, lambda: self._chunks(blob))
        except BlobNotFound:
            if not mediatype.is_foreign(blob.media_type):
                raise
            instead = "Skipped foreign layer"
        if instead is None:
            self.report.say(blob, self.words.done, blob.size)
        else:
            self.report.say(blob, instead)

    @contextmanager
    def _chunks(self, blob: Descriptor) -> Iterator[Iterable[bytes]]:
        """Open a blob so that its way is told of, and ends where the copy is stopped."""
        done = 0

        def passed(count: int) -> None:
            nonlocal done
            if self.stopped.is_set():
                raise _Stopped
            done += count
            self.report.moved(blob, self.words.moving, done)

        with _opened(self.source, blob) as chunks:
            if isinstance(chunks, LocalBlob):
                yield chunks.observed(passed)
            else:
                yield _observed(chunks, passed)


@contextmanager
def _opened(source: Source, blob: Descriptor) -> Iterator[Iterable[bytes]]:
    """Open a blob: what the document itself has of it, or the source's."""
    if blob.data:
        yield verified([blob.data], blob, source.name)
    else:
        with source.blob(blob) as chunks:
            yield chunks


def _observed(chunks: Iterable[bytes], passed: OnBytes) -> Iterator[bytes]:
    for chunk in chunks:
        passed(len(chunk))
        yield chunk
