"""An OCI image layout in a directory as a Target: others see the old index.json or the new one, and whole blobs only.

Writers of one directory keep each other's entries: index.json is changed under a lock (flock(2)) on the directory. What
a killed writer leaves are blobs that no index names, and nothing half-written.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyrt._native.path import mkdirs_in_root, open_in_root
from pyrt.errors import InvalidSpec, NotFound
from pyrt.image.blob import as_system_call, write_all, write_chunks
from pyrt.image.files import DirectoryFiles
from pyrt.image.layout import LAYOUT, REF_NAME, blob_path, read_index
from pyrt.image.medium import OpenBlob
from pyrt.image.new_file import NewFile
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.fields import dump
from pyrt.oci.manifest import Index, Manifest

__all__ = ["LayoutTarget", "index_entry"]

_RESOLVE_NO_SYMLINKS = 4  # openat2(2)
_NEW = ".index.json.new"  # written under the lock only, so that what a kill left is overwritten


class LayoutTarget:
    """A directory, made where it is missing, in which the image gets the name `tag`, or none."""

    def __init__(self, directory: str, name: str, tag: str = "") -> None:
        self.name = name
        self._directory = directory
        self._tag = tag
        self._lock = threading.Lock()
        self._files: DirectoryFiles | None = None
        if os.path.lexists(directory):  # else it is made by the first write, that a failure before it leaves nothing
            self._layout()

    def has(self, descriptor: Descriptor) -> bool:
        """Say whether a blob of this size is there (see Target)."""
        if self._files is None:
            return False
        try:
            with self._files.open(blob_path(descriptor.digest)) as piece:
                return piece.size_bytes == descriptor.size
        except NotFound:
            return False

    def put(self, descriptor: Descriptor, open_blob: OpenBlob) -> str | None:
        """Write a blob (see Target)."""
        if self.has(descriptor):
            return "Already exists"
        with self._new_blob(descriptor) as file, open_blob() as chunks:
            write_chunks(chunks, file.fd, descriptor, file.path)
        return None

    def put_manifest(self, document: Manifest | Index) -> None:
        """Write a document (see Target)."""
        descriptor = document.descriptor
        if not self.has(descriptor):
            with self._new_blob(descriptor) as file:
                write_all(file.fd, document.raw, file.path)

    def finish(self, document: Manifest | Index) -> None:
        """Write the top document and name it in index.json (see Target)."""
        self.put_manifest(document)
        files = self._layout()
        entry = index_entry(document, {REF_NAME: self._tag} if self._tag else {})
        with _locked(self._directory):
            _write_index(files, _with_entry(dict(read_index(files).document), entry))

    def close(self) -> None:
        """Close the directory (see Medium)."""
        if self._files is not None:
            self._files.close()

    def _layout(self) -> DirectoryFiles:
        """Open the directory, and make a layout of it where it is missing or empty."""
        with self._lock:
            if self._files is None:
                with as_system_call("mkdir", self._directory):
                    os.makedirs(self._directory, exist_ok=True)
                files = DirectoryFiles(self._directory, self.name)
                try:
                    _prepare(files, self._directory)
                except BaseException:
                    files.close()
                    raise
                self._files = files
            return self._files

    @contextmanager
    def _new_blob(self, descriptor: Descriptor) -> Iterator[NewFile]:
        """Give a new file to write to, which has its name when the block is over, unless that raises."""
        top = self._layout().fileno()
        folder, _, name = blob_path(descriptor.digest).rpartition("/")
        shown = f"{self._directory}/{folder}/{name}"
        os.close(mkdirs_in_root(top, folder))
        below = open_in_root(top, folder, os.O_RDONLY | os.O_DIRECTORY, resolve=_RESOLVE_NO_SYMLINKS)
        try:
            with NewFile(below, name, shown) as file:
                yield file
                file.commit()
        finally:
            os.close(below)


def _prepare(files: DirectoryFiles, directory: str) -> None:
    """Make a layout of an empty directory; see that what is there already is one."""
    with _locked(directory):
        try:
            with files.open("oci-layout"):
                pass
        except NotFound:
            if set(os.listdir(files.fileno())) - {"blobs", "index.json", _NEW}:
                what = "there are files, but no oci-layout; name an empty directory or a new one"
                raise InvalidSpec(f"{files.name}: this is no OCI image layout: {what}") from None
            _write_index(files, {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": []})
            _replace(files, "oci-layout", LAYOUT)
        read_index(files)


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Hold the lock on a directory; on a descriptor of its own, for threads would share another's lock."""
    with as_system_call("lock", directory):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with as_system_call("lock", directory):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _write_index(files: DirectoryFiles, document: dict[str, Any]) -> None:
    _replace(files, "index.json", dump(document))


def _replace(files: DirectoryFiles, path: str, content: bytes) -> None:
    """Write a file under the lock, so that it is there as a whole or not at all."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    top, shown = files.fileno(), f"{files.name}: {path}"
    with as_system_call("write", shown):
        fd = os.open(_NEW, flags, 0o644, dir_fd=top)
        try:
            write_all(fd, content, shown)
        finally:
            os.close(fd)
        os.rename(_NEW, path, src_dir_fd=top, dst_dir_fd=top)


def index_entry(document: Manifest | Index, annotations: dict[str, str]) -> dict[str, Any]:
    """Give what index.json says of a top document."""
    descriptor = document.descriptor
    artifact_type = document.artifact_type if isinstance(document, Manifest) else ""
    named = Descriptor(
        descriptor.media_type,
        descriptor.digest,
        descriptor.size,
        annotations=annotations,
        artifact_type=artifact_type,
    )
    return named.to_json()


def _with_entry(document: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Add an entry: under a tag it takes the place of the one that has it, without it is there once."""
    tag = entry.get("annotations", {}).get(REF_NAME)

    def gives_way(other: dict[str, Any]) -> bool:
        named = (other.get("annotations") or {}).get(REF_NAME)
        return named == tag and (tag is not None or other["digest"] == entry["digest"])

    kept = [other for other in document["manifests"] if not gives_way(other)]
    return document | {"manifests": [*kept, entry]}
