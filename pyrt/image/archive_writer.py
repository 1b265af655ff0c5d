"""Writes archives of images: one form that docker, podman, skopeo and containerd all read.

As `docker save` of today writes it: an OCI image layout, and beside index.json the lists of older readers,
manifest.json and repositories. Blobs are written as they are, each once; what is shared is shared. The same images in
the same order give the same bytes: no times, no users, no names of this machine.
"""

from __future__ import annotations

import json
import os
import stat
import tarfile
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pyrt.errors import ImageNotFound, PyrtError, Unsupported
from pyrt.image.blob import as_system_call, write_all, write_chunks
from pyrt.image.layout import IMAGE_NAME, LAYOUT, REF_NAME, blob_path
from pyrt.image.layout_target import index_entry
from pyrt.image.medium import OpenBlob
from pyrt.image.new_file import NewFile
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.fields import dump
from pyrt.oci.manifest import Index, Manifest
from pyrt.oci.platform import Platform
from pyrt.oci.reference import Reference

__all__ = ["ArchiveTarget", "ArchiveWriter"]

_BLOCK = 512
_RECORD = 20 * _BLOCK  # what an archive's length is a multiple of (POSIX pax, "ustar Interchange Format")


@dataclass(slots=True)
class _Written:
    """A top document, and the names it is to have."""

    document: Manifest | Index
    tags: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)


class ArchiveWriter:
    """An archive in the making: images are copied to `image(…)`, then `commit` ends it. Close it.

    Written to a path, it is there when it is committed, and in the place of what was there. Written to a file (a pipe,
    a standard output), what was written before a failure cannot be taken back: the archive is then without its end.
    """

    is_sequential = True

    def __init__(self, target: str | os.PathLike[str] | BinaryIO, name: str) -> None:
        self.name = name
        self._lock = threading.RLock()
        self._blobs: set[Digest] = set()
        self._folders: set[str] = set()
        self._documents: dict[Digest, Manifest | Index] = {}
        self._written: dict[Digest, _Written] = {}
        self._size = 0
        self._broken = False
        with ExitStack() as stack:
            self._fd, self._new = _opened(target, stack)
            self._closing = stack.pop_all()

    def image(self, *references: Reference, tag: str = "") -> ArchiveTarget:
        """Give the target of one image, which is to have these names, or this tag alone."""
        return ArchiveTarget(self, references, tag)

    def has(self, descriptor: Descriptor) -> bool:
        """Say whether a blob was written already."""
        return descriptor.digest in self._blobs

    def put(self, descriptor: Descriptor, open_blob: OpenBlob) -> str | None:
        """Write a blob, once. Raises what the blob raises, and SyscallError."""
        with self._lock:
            if descriptor.digest in self._blobs:
                return "Already exists"
            with open_blob() as chunks:
                self._blob(descriptor, chunks)
            return None

    def put_manifest(self, document: Manifest | Index) -> None:
        """Write a document, once."""
        descriptor = document.descriptor
        with self._lock:
            self._documents[descriptor.digest] = document
            if descriptor.digest not in self._blobs:
                self._file(blob_path(descriptor.digest), document.raw)
                self._blobs.add(descriptor.digest)

    def add(self, document: Manifest | Index, references: Iterable[Reference] = (), tag: str = "") -> None:
        """List a top document, all of whose blobs are written, under its names."""
        self.put_manifest(document)
        with self._lock:
            written = self._written.setdefault(document.descriptor.digest, _Written(document))
            written.references += [each for each in references if each.tag and each not in written.references]
            written.tags += [tag] if tag and tag not in written.tags else []

    def commit(self) -> None:
        """Write the lists and the end, and give the archive its name. Raises SyscallError, Unsupported."""
        with self._lock:
            self._file("index.json", self._index())
            if images := self._images():
                self._file("manifest.json", json.dumps(images, separators=(",", ":")).encode())
            self._file("oci-layout", LAYOUT)
            if repositories := self._repositories(images):
                self._file("repositories", dump(repositories))
            self._write(bytes(2 * _BLOCK))
            self._write(bytes(-self._size % _RECORD))
            if self._new is not None:
                self._new.commit()

    def close(self) -> None:
        """Close the archive; without `commit` there is none. A second call does nothing."""
        self._closing.close()

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _blob(self, descriptor: Descriptor, chunks: Iterable[bytes]) -> None:
        start = self._start(blob_path(descriptor.digest), descriptor.size)
        try:
            write_chunks(chunks, self._fd, descriptor, self.name)
            self._end(descriptor.size)
        except BaseException:
            self._take_back(start)
            raise
        self._blobs.add(descriptor.digest)

    def _start(self, path: str, size_bytes: int) -> int:
        """Write the header of a file, and those of its folders, and give where the first of them lies."""
        if self._broken:
            raise PyrtError(f"{self.name}: what was written before broke off, and a pipe cannot be taken back")
        start = self._size
        folders = path.split("/")[:-1]
        for depth in range(len(folders)):
            folder = "/".join(folders[: depth + 1])
            if folder not in self._folders:
                self._folders.add(folder)
                self._write(_header(folder, 0, tarfile.DIRTYPE, 0o755))
        self._write(_header(path, size_bytes, tarfile.REGTYPE, 0o644))
        return start

    def _end(self, size_bytes: int) -> None:
        self._size += size_bytes
        self._write(bytes(-size_bytes % _BLOCK))

    def _take_back(self, start: int) -> None:
        """Forget a file that broke off."""
        if self._new is None:
            self._broken = True
            return
        with as_system_call("truncate", self.name):
            os.ftruncate(self._fd, start)
            os.lseek(self._fd, start, os.SEEK_SET)
        self._size = start
        self._folders.clear()

    def _file(self, path: str, content: bytes) -> None:
        self._start(path, len(content))
        write_all(self._fd, content, self.name)
        self._end(len(content))

    def _write(self, content: bytes) -> None:
        write_all(self._fd, content, self.name)
        self._size += len(content)

    def _index(self) -> bytes:
        entries = []
        for written in self._written.values():
            named = [{IMAGE_NAME: str(each), REF_NAME: each.tag or ""} for each in written.references]
            named += [{REF_NAME: tag} for tag in written.tags]
            entries += [index_entry(written.document, annotations) for annotations in named or [{}]]
        return dump({"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": entries})

    def _images(self) -> list[dict[str, Any]]:
        """Give manifest.json: of an index, the image for this machine."""
        images = []
        for written in self._written.values():
            manifest = self._loadable(written.document)
            if manifest is not None:
                names = [str(each) for each in written.references]  # in full, for podman has defaults of its own
                layers = [blob_path(layer.digest) for layer in manifest.layers]
                config = blob_path(manifest.config.digest)
                images.append({"Config": config, "RepoTags": names or None, "Layers": layers})
        return images

    def _repositories(self, images: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
        """Give what docker before 1.10 looked for: the last layer of each name."""
        found: dict[str, dict[str, str]] = {}
        for image in images:
            for name in map(Reference.parse, image["RepoTags"] or ()):
                if image["Layers"]:
                    found.setdefault(name.familiar_repository, {})[name.tag or ""] = image["Layers"][-1].split("/")[-1]
        return found

    def _loadable(self, document: Manifest | Index) -> Manifest | None:
        """Give the one image that older readers shall see, whose blobs are all here; None where there is none."""
        if isinstance(document, Manifest):
            blobs = (document.config, *document.layers)
            return document if document.is_image and all(map(self.has, blobs)) else None
        inner = [self._documents[each.digest] for each in _best_first(document) if each.digest in self._documents]
        return next(filter(None, map(self._loadable, inner)), None)

    def is_loadable(self, document: Manifest | Index) -> bool:
        """Say whether docker could load this."""
        return self._loadable(document) is not None


@dataclass(frozen=True, slots=True)
class ArchiveTarget:
    """One image of an archive as a Target. It is the writer's; where `is_alone`, its `finish` commits."""

    writer: ArchiveWriter
    references: tuple[Reference, ...] = ()
    tag: str = ""
    is_alone: bool = False
    is_docker: bool = False

    @property
    def name(self) -> str:
        """The archive's (see Medium)."""
        return self.writer.name

    @property
    def is_sequential(self) -> bool:
        """True: a tar is written from its beginning to its end."""
        return True

    def has(self, descriptor: Descriptor) -> bool:
        """Say whether a blob was written already (see Target)."""
        return self.writer.has(descriptor)

    def put(self, descriptor: Descriptor, open_blob: OpenBlob) -> str | None:
        """Write a blob (see Target)."""
        return self.writer.put(descriptor, open_blob)

    def put_manifest(self, document: Manifest | Index) -> None:
        """Write a document (see Target)."""
        self.writer.put_manifest(document)

    def finish(self, document: Manifest | Index) -> None:
        """List the top document (see Target). Raises Unsupported where docker is to load it and could not."""
        self.writer.put_manifest(document)
        if self.is_docker and not self.writer.is_loadable(document):
            reason = "docker loads images of files only, with all their layers; write an oci-archive:"
            raise Unsupported(self.name, reason)
        self.writer.add(document, self.references, self.tag)
        if self.is_alone:
            self.writer.commit()

    def close(self) -> None:
        """Close the archive, where this is its only image (see Medium)."""
        if self.is_alone:
            self.writer.close()


def _best_first(index: Index) -> list[Descriptor]:
    try:
        best = [index.choose(Platform.host())]
    except ImageNotFound:
        best = []
    return [*best, *index.manifests]


def _header(path: str, size_bytes: int, kind: bytes, mode: int) -> bytes:
    entry = tarfile.TarInfo(path)
    entry.size, entry.type, entry.mode = size_bytes, kind, mode
    return entry.tobuf(tarfile.GNU_FORMAT)  # its sizes above 8 GiB need no second header


def _opened(target: str | os.PathLike[str] | BinaryIO, stack: ExitStack) -> tuple[int, NewFile | None]:
    """Give the descriptor to write to, and the file that has no name yet, where it is one."""
    if not isinstance(target, str | os.PathLike):
        target.flush()
        return target.fileno(), None
    path = os.fspath(target)
    with as_system_call("open", path):
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):  # /dev/stdout, a fifo
            fd = os.open(path, os.O_WRONLY)
            stack.callback(os.close, fd)
            return fd, None
        path = os.path.realpath(path)  # a link stays what it is, and its file is replaced
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, directory)
    new = stack.enter_context(NewFile(directory, os.path.basename(path), path))
    return new.fd, new
