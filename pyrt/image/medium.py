"""The contracts of the media that hold images: where they come from and where they go to.

A medium is a registry's repository, an OCI layout (a directory or an archive) or a docker-archive; each is a Source, a
Target, or both, and `copy` works between any two. Documents come parsed, with their bytes kept as they were; blobs come
as chunks of bytes and are verified by the stream itself: it raises DigestMismatch or SizeMismatch before it ends where
they are not what their Descriptor says. Media hold descriptors and connections: close them.

A Target is given blobs before the documents that refer to them, documents before the indexes that refer to those, and
the top document last, by `finish`, which gives it its name; what was put before that can be seen by nobody.

Both may be used by several threads at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from pyrt.oci.descriptor import Descriptor
from pyrt.oci.manifest import Index, Manifest

__all__ = ["Interruptible", "Medium", "OpenBlob", "Source", "Target", "Unverified"]

OpenBlob = Callable[[], AbstractContextManager[Iterable[bytes]]]


class Medium(Protocol):
    """What sources and targets have in common."""

    @property
    def name(self) -> str:
        """What messages call it: the name that the user gave, transport included."""

    def close(self) -> None:
        """Free what it holds. A second call does nothing."""


@runtime_checkable
class Interruptible(Protocol):
    """A medium that may wait for others, and can be told not to."""

    def interrupt(self) -> None:
        """Let all that is under way and all that is asked for later fail soon. Any thread may call this."""


@runtime_checkable
class Unverified(Protocol):
    """A source that can leave it to its reader to verify what comes, where the reader does so anyway."""

    def unverified(self, descriptor: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """Open a blob whose bytes nobody has verified, otherwise as Source.blob."""


class Source(Medium, Protocol):
    """One image, or an index of several, to be read."""

    def resolve(self) -> Manifest | Index:
        """Give the document that the name stands for. Raises ImageNotFound."""

    def manifest(self, descriptor: Descriptor) -> Manifest | Index:
        """Give a document that another one refers to. Raises ImageNotFound, DigestMismatch."""

    def blob(self, descriptor: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """Open a blob: its chunks, verified as they come. Raises BlobNotFound."""


class Target(Medium, Protocol):
    """A place that an image can be written to."""

    def has(self, descriptor: Descriptor) -> bool:
        """Say whether this blob or document is there already."""

    def put(self, descriptor: Descriptor, open_blob: OpenBlob) -> str | None:
        """Write a blob that is not there yet, and give None, or what was done instead, in Docker's words.

        `open_blob` may be called again where writing has to begin anew.
        """

    def put_manifest(self, document: Manifest | Index) -> None:
        """Write a document that the top one refers to."""

    def finish(self, document: Manifest | Index) -> None:
        """Write the top document under the target's name; from here on it can be seen."""
