"""What the store knows of an image: frozen values, and how they are written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyrt.errors import InvalidArgument
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.image import ImageDocument
from pyrt.oci.manifest import Manifest
from pyrt.oci.reference import Reference

__all__ = ["VERSION", "ImageName", "ImageRecord", "StoredImage"]

VERSION = 1


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image of the store. `id` is the digest of its config; layers and chain are of equal length, the base first."""

    id: Digest
    manifest: Descriptor
    config: Descriptor
    layers: tuple[Descriptor, ...]
    chain: tuple[Digest, ...]
    size_bytes: int
    added_ns: int

    @classmethod
    def of(cls, manifest: Manifest, document: ImageDocument, *, size_bytes: int, added_ns: int) -> ImageRecord:
        """Describe an image whose layers are `size_bytes` large when they are unpacked."""
        return cls(
            manifest.config.digest,
            manifest.descriptor,
            manifest.config,
            manifest.layers,
            document.chain_ids,
            size_bytes,
            added_ns,
        )

    @property
    def blobs(self) -> tuple[Digest, ...]:
        """What it needs of the content store."""
        return (self.manifest.digest, self.config.digest, *(layer.digest for layer in self.layers))

    def to_record(self) -> dict[str, Any]:
        """Give the form that is kept."""
        return {
            "manifest": self.manifest.to_json(),
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
            "chain": [str(each) for each in self.chain],
            "size": self.size_bytes,
            "added": self.added_ns,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ImageRecord:
        """Read the form that is kept."""
        config = Descriptor.from_json(record["config"])
        return cls(
            config.digest,
            Descriptor.from_json(record["manifest"]),
            config,
            tuple(Descriptor.from_json(each) for each in record["layers"]),
            tuple(Digest.parse(each) for each in record["chain"]),
            record["size"],
            record["added"],
        )


@dataclass(frozen=True, slots=True)
class ImageName:
    """A name of an image; `source` is the digest that a registry had under this name, of an index or a manifest."""

    reference: Reference
    id: Digest
    source: Digest | None = None

    def is_called(self, text: str) -> bool:
        """Say whether a text, however short it is written, is this name; with tag and digest the digest counts."""
        try:
            asked = Reference.parse(text)
        except InvalidArgument:
            return False
        return self.reference == (asked if asked.digest is None else asked.with_digest(asked.digest))

    def to_record(self) -> dict[str, Any]:
        """Give the form that is kept."""
        return {"name": str(self.reference), "id": str(self.id), "source": str(self.source or "")}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ImageName:
        """Read the form that is kept."""
        source = record["source"]
        reference = Reference.parse(record["name"])
        return cls(reference, Digest.parse(record["id"]), Digest.parse(source) if source else None)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image with the names that it has at this moment, in order."""

    record: ImageRecord
    names: tuple[ImageName, ...] = ()

    @property
    def id(self) -> Digest:
        """The digest of its config."""
        return self.record.id

    @property
    def tags(self) -> tuple[Reference, ...]:
        """Its names that have a tag."""
        return tuple(name.reference for name in self.names if name.reference.digest is None)

    @property
    def digests(self) -> tuple[Reference, ...]:
        """Its names by the digest that a registry has it under."""
        return tuple(name.reference for name in self.names if name.reference.digest is not None)
