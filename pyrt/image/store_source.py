"""An image of the store, to be pushed, saved or copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyrt.content import ContentStore
from pyrt.image.record import StoredImage
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.manifest import Index, Manifest, parse

__all__ = ["StoreSource"]

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StoreSource:
    """An image of the store as a medium to copy from."""

    content: ContentStore
    image: StoredImage
    name: str

    def resolve(self) -> Manifest | Index:
        """Give the image's manifest (see Source)."""
        return self.manifest(self.image.record.manifest)

    def manifest(self, descriptor: Descriptor) -> Manifest | Index:
        """Give a document (see Source)."""
        return parse(self.content.read(descriptor.digest), descriptor.media_type)

    @contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """Open a blob. It was verified when it came in, and has not been written since (see Source)."""
        with self.content.open(descriptor.digest) as file:
            yield iter(lambda: file.read(_READ_BYTES), b"")

    def path_of(self, descriptor: Descriptor) -> str:
        """Give the file that a blob is. Raises BlobNotFound."""
        return self.content.path(descriptor.digest)

    def close(self) -> None:
        """Nothing is held."""
