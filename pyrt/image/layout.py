"""An OCI image layout as a Source (image-spec image-layout.md): a directory, or an archive of one.

What index.json lists are the images; one is chosen by its name in it (the annotation org.opencontainers.image.ref.name,
or the full name that containerd and docker note), by `@digest`, or because it is the only one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from pyrt.errors import (
    BlobNotFound,
    ImageNotFound,
    InvalidDigest,
    InvalidReference,
    InvalidSpec,
    NotFound,
    Unsupported,
)
from pyrt.image.blob import Piece, check_size, verified
from pyrt.image.files import Files, read_small
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.fields import read_object
from pyrt.oci.manifest import Index, Manifest, parse
from pyrt.oci.reference import Reference

__all__ = [
    "IMAGE_NAME",
    "LAYOUT",
    "REF_NAME",
    "LayoutSource",
    "blob_path",
    "choose",
    "full_name",
    "is_layout",
    "read_index",
]

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'
_MAX_NESTED = 256
_SHOWN_NAMES = 20


class LayoutSource:
    """One image of a layout, or an index of several; `top` is its entry in index.json."""

    def __init__(self, files: Files, name: str, top: Descriptor, *, is_owner: bool = True) -> None:
        self.name = name
        self.top = top
        self._files = files
        self._is_owner = is_owner

    @classmethod
    def open(cls, files: Files, name: str, wanted: str = "") -> LayoutSource:
        """Choose an image of a layout, which is the source's from here on. Raises ImageNotFound, InvalidSpec."""
        try:
            return cls(files, name, choose(files, read_index(files), name, wanted))
        except BaseException:
            files.close()
            raise

    def resolve(self) -> Manifest | Index:
        """Give the chosen document (see Source)."""
        return self.manifest(self.top)

    def manifest(self, descriptor: Descriptor) -> Manifest | Index:
        """Give a document (see Source)."""
        return read_manifest(self._files, descriptor, self.name)

    @contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """Open a blob (see Source)."""
        with open_blob(self._files, descriptor, self.name) as piece:
            yield verified(piece.chunks(), descriptor, self.name)

    @contextmanager
    def unverified(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """Open a blob for who verifies it (see Unverified)."""
        with open_blob(self._files, descriptor, self.name) as piece:
            yield piece.chunks()

    def close(self) -> None:
        """Close the files, where they are this source's own (see Medium)."""
        if self._is_owner:
            self._files.close()


@contextmanager
def open_blob(files: Files, descriptor: Descriptor, name: str) -> Iterator[Piece]:
    """Open the file of a blob. Raises BlobNotFound, SizeMismatch."""
    with ExitStack() as stack:
        try:
            piece = stack.enter_context(files.open(blob_path(descriptor.digest)))
        except NotFound as e:
            raise BlobNotFound(f"{name}: {e}") from None
        check_size(piece, descriptor, name)
        yield piece


def blob_path(digest: Digest) -> str:
    """Give the path of a blob in a layout."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def is_layout(files: Files) -> bool:
    """Say whether there is a layout in these files."""
    try:
        with files.open("oci-layout"), files.open("index.json"):
            return True
    except NotFound:
        return False


def read_index(files: Files) -> Index:
    """Read the list of the images of a layout. Raises ImageNotFound, InvalidSpec, Unsupported."""
    try:
        layout = read_object(read_small(files, "oci-layout"), f"{files.name}: oci-layout")
        raw = read_small(files, "index.json")
    except NotFound as e:
        raise ImageNotFound(f"{files.name}: this is no OCI image layout: {e}") from None
    version = layout.get("imageLayoutVersion")
    if version != "1.0.0":
        raise Unsupported(files.name, f"it is an image layout of version {version!r}, and 1.0.0 is understood here")
    index = parse(raw, mediatype.OCI_INDEX)
    if not isinstance(index, Index):
        raise InvalidSpec(f"{files.name}: index.json is no index")
    return index


def read_manifest(files: Files, descriptor: Descriptor, name: str) -> Manifest | Index:
    """Read a document of a layout. Raises ImageNotFound, SizeMismatch, DigestMismatch, InvalidSpec."""
    raw = descriptor.data
    if not raw:
        try:
            raw = read_small(files, blob_path(descriptor.digest))
        except NotFound as e:
            raise ImageNotFound(f"{name}: {e}") from None
    check_content(raw, descriptor, name)
    return parse(raw, descriptor.media_type)


def check_content(raw: bytes, descriptor: Descriptor, where: str) -> None:
    """Raise SizeMismatch or DigestMismatch where bytes are not what was described."""
    for _ in verified([raw], descriptor, where):
        continue


def full_name(entry: Descriptor) -> str:
    """Give the full name that an entry of index.json has: docker's and containerd's, or "" where it is a tag alone."""
    named = entry.annotations.get(IMAGE_NAME) or entry.annotations.get(REF_NAME, "")
    if not any(mark in named for mark in "/:") and IMAGE_NAME not in entry.annotations:
        return ""
    with suppress(InvalidReference, InvalidDigest):
        return str(Reference.parse(named))
    return ""


def choose(files: Files, index: Index, name: str, wanted: str = "") -> Descriptor:
    """Give the entry that `wanted` names: a tag, a full name, `@digest`, or "" for the only one.

    Entries of nested indexes can be named too. Raises ImageNotFound, which lists the names that there are.
    """
    if not wanted:
        only = {entry.digest: entry for entry in reversed(index.manifests)}
        if len(only) == 1:
            return next(iter(only.values()))
        what = f"it holds {len(only)} images: add the name of one" if only else "it holds no image"
        raise ImageNotFound(f"{name}: {what}{_listed(index)}")
    for level in range(2):
        entries = tuple(_nested(files, index, name)) if level else index.manifests
        for matches in _matchers(wanted):
            found = {entry.digest: entry for entry in entries if matches(entry)}
            if len(found) == 1:
                return next(iter(found.values()))
            if found:
                digests = ", ".join(f"@{digest}" for digest in found)
                raise ImageNotFound(f"{name}: {len(found)} images have this name: choose one by {digests}")
    raise ImageNotFound(f"{name}: there is no image of this name{_listed(index)}")


def _matchers(wanted: str) -> Iterator[Callable[[Descriptor], bool]]:
    """Give what to look for, the closest first."""
    if wanted.startswith("@"):
        digest = Digest.parse(wanted[1:])
        yield lambda entry: entry.digest == digest
        return
    yield lambda entry: entry.annotations.get(REF_NAME) == wanted
    with suppress(InvalidReference, InvalidDigest):
        reference = str(Reference.parse(wanted))
        yield lambda entry: full_name(entry) == reference


def _nested(files: Files, index: Index, name: str) -> Iterator[Descriptor]:
    """Give the entries of all indexes in an index, each index read once."""
    waiting = [entry for entry in index.manifests if mediatype.is_index(entry.media_type)]
    seen = {entry.digest for entry in waiting}
    while waiting:
        inner = read_manifest(files, waiting.pop(0), name)
        if not isinstance(inner, Index):
            continue
        yield from inner.manifests
        fresh = [each for each in inner.manifests if mediatype.is_index(each.media_type) and each.digest not in seen]
        seen.update(each.digest for each in fresh)
        waiting += fresh
        if len(seen) > _MAX_NESTED:
            raise InvalidSpec(f"{name}: more than {_MAX_NESTED} indexes within each other")


def _listed(index: Index) -> str:
    names = dict.fromkeys(each.annotations.get(REF_NAME, "") or f"@{each.digest}" for each in index.manifests)
    shown = ", ".join(list(names)[:_SHOWN_NAMES]) + (", …" if len(names) > _SHOWN_NAMES else "")
    return f"; there is {shown}" if names else ""
