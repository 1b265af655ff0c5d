"""Descriptors: what a piece of content is, how large, and under which digest (image-spec descriptor.md)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrt.errors import InvalidSpec
from pyrt.oci.digest import Digest
from pyrt.oci.fields import integer, optional, string, string_map, strings
from pyrt.oci.platform import Platform

__all__ = ["Descriptor"]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content; `size` is in bytes, `data` the content itself where it is embedded."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    data: bytes = b""

    @classmethod
    def of(cls, media_type: str, content: bytes) -> Descriptor:
        """Describe some bytes."""
        return cls(media_type, Digest.of(content), len(content))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Descriptor:
        """Read a descriptor; what it says besides is kept by the document that holds it. Raises InvalidSpec."""
        platform = optional(document, "platform", dict, {})
        try:
            data = base64.b64decode(optional(document, "data", str, ""), validate=True)
        except binascii.Error as error:
            raise InvalidSpec(f"is no base64: {error}", argument="data") from error
        return cls(
            string(document, "mediaType"),
            Digest.parse(string(document, "digest")),
            integer(document, "size"),
            Platform.from_json(platform) if platform.get("os") and platform.get("architecture") else None,
            strings(document, "urls"),
            string_map(document, "annotations"),
            optional(document, "artifactType", str, ""),
            data,
        )

    def to_json(self) -> dict[str, Any]:
        """Give the object that stands for this descriptor in a document."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        given = {
            "platform": self.platform.to_json() if self.platform else None,
            "urls": list(self.urls),
            "annotations": dict(self.annotations),
            "artifactType": self.artifact_type,
            "data": base64.b64encode(self.data).decode(),
        }
        return document | {name: value for name, value in given.items() if value}
