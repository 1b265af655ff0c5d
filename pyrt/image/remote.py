"""A repository of a registry as a Source and as a Target."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from pyrt.errors import ImageNotFound, InvalidReference, SizeMismatch
from pyrt.image.medium import OpenBlob
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.manifest import Index, Manifest, parse
from pyrt.oci.reference import DEFAULT_TAG, Reference

if TYPE_CHECKING:
    from pyrt.registry import RegistryClient

__all__ = ["RemoteSource", "RemoteTarget"]


class _SourceFailed(Exception):
    """The source of an upload failed: no registry is to be blamed for it, nor asked again."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class RemoteSource:
    """The image or index that a registry has under a reference; of tag and digest the digest counts."""

    def __init__(self, client: RegistryClient, reference: Reference) -> None:
        self.reference = reference
        self._interrupted = threading.Event()
        self._repository = client.repository(reference, cancelled=self._interrupted.is_set)

    @property
    def name(self) -> str:
        """The name as people write it (see Medium)."""
        return self.reference.familiar

    def head(self) -> Descriptor:
        """Ask what the reference stands for, in one round trip. Raises ImageNotFound."""
        return self._repository.head(_which(self.reference))

    def resolve(self) -> Manifest | Index:
        """Fetch what the reference stands for (see Source)."""
        return self._repository.manifest(_which(self.reference))

    def manifest(self, descriptor: Descriptor) -> Manifest | Index:
        """Fetch a document (see Source)."""
        document = self._repository.manifest(descriptor.digest)
        if len(document.raw) != descriptor.size:
            sizes = f"{len(document.raw)} bytes, and not the {descriptor.size} of its descriptor"
            raise SizeMismatch(f"{self.name}: manifest {descriptor.digest} has {sizes}")
        return parse(document.raw, descriptor.media_type)

    def blob(self, descriptor: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """Open a blob (see Source)."""
        return self._repository.blob(descriptor)

    def unverified(self, descriptor: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """Open a blob for who verifies it (see Unverified)."""
        return self._repository.blob(descriptor, verify=False)

    def interrupt(self) -> None:
        """Let what waits for the registry fail (see Interruptible)."""
        self._interrupted.set()

    def close(self) -> None:
        """Let what waits for the registry fail; the client stays open (see Medium)."""
        self._interrupted.set()


class RemoteTarget:
    """A reference of a registry to be written. What one of `mount_from` has there need not be sent.

    A foreign layer is never sent: it may not be distributed, and its manifest says where it comes from.
    """

    def __init__(self, client: RegistryClient, reference: Reference, *, mount_from: Iterable[Reference] = ()) -> None:
        self.reference = reference
        self._interrupted = threading.Event()
        self._repository = client.repository(reference, cancelled=self._interrupted.is_set)
        neighbours = [each.repository for each in mount_from if each.registry == reference.registry]
        self._neighbour = next((each for each in neighbours if each != reference.repository), None)

    @property
    def name(self) -> str:
        """The name as people write it (see Medium)."""
        return self.reference.familiar

    def has(self, descriptor: Descriptor) -> bool:
        """Ask the registry for a blob or a document (see Target)."""
        if not (mediatype.is_manifest(descriptor.media_type) or mediatype.is_index(descriptor.media_type)):
            return self._repository.has_blob(descriptor.digest)
        try:
            return self._repository.head(descriptor.digest).digest == descriptor.digest
        except ImageNotFound:
            return False

    def put(self, descriptor: Descriptor, open_blob: OpenBlob) -> str | None:
        """Send a blob, unless the registry has it, here or at a neighbour's (see Target)."""
        if mediatype.is_foreign(descriptor.media_type):
            return "Skipped foreign layer"

        def chunks() -> Iterator[bytes]:
            try:
                with open_blob() as opened:
                    yield from opened
            except Exception as e:
                raise _SourceFailed(e) from e

        try:
            how = self._repository.upload(descriptor, chunks, mount_from=self._neighbour)
        except _SourceFailed as e:
            raise e.error from None
        instead = {"exists": "Layer already exists", "mounted": f"Mounted from {self._neighbour}"}
        return instead.get(how)

    def put_manifest(self, document: Manifest | Index) -> None:
        """Send a document under its digest (see Target)."""
        self._repository.put_manifest(document.raw, document.media_type, document.descriptor.digest)

    def finish(self, document: Manifest | Index) -> None:
        """Send the top document under the reference (see Target). Raises InvalidReference for another's digest."""
        wanted, digest = self.reference.digest, document.descriptor.digest
        if wanted is not None and wanted != digest:
            raise InvalidReference(f"{self.name}: what is to be written there has the digest {digest}")
        self._repository.put_manifest(document.raw, document.media_type, self.reference.tag or digest)

    def interrupt(self) -> None:
        """Let what waits for the registry fail (see Interruptible)."""
        self._interrupted.set()

    def close(self) -> None:
        """Let what waits for the registry fail; the client stays open (see Medium)."""
        self._interrupted.set()


def _which(reference: Reference) -> str | Digest:
    return reference.digest or reference.tag or DEFAULT_TAG
