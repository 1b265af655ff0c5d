"""Manifests and indexes: parsed, with their bytes kept as they came, for a digest is taken of nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrt.errors import ImageNotFound, InvalidSpec
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.fields import dump, objects, optional, read_object, string_map
from pyrt.oci.platform import Platform, rank

__all__ = ["MAX_MANIFEST_BYTES", "Index", "Manifest", "make_index", "make_manifest", "parse"]

MAX_MANIFEST_BYTES = 4 << 20  # what registries accept (distribution-spec, "Pushing Manifests")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image, or any artifact: a config and layers, the base first. `document` is all of it, parsed."""

    raw: bytes = field(repr=False)
    media_type: str
    document: Mapping[str, Any] = field(repr=False, hash=False, compare=False)
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""

    @property
    def descriptor(self) -> Descriptor:
        """What refers to this manifest."""
        return Descriptor.of(self.media_type, self.raw)

    @property
    def annotations(self) -> Mapping[str, str]:
        """What is noted on it."""
        return string_map(self.document, "annotations")

    @property
    def is_image(self) -> bool:
        """Whether its config is an image's, so that it can be run."""
        return self.config.media_type in (mediatype.OCI_CONFIG, mediatype.DOCKER_CONFIG)


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests, one for each platform; also of whatever else belongs to them."""

    raw: bytes = field(repr=False)
    media_type: str
    document: Mapping[str, Any] = field(repr=False, hash=False, compare=False)
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None = None

    @property
    def descriptor(self) -> Descriptor:
        """What refers to this index."""
        return Descriptor.of(self.media_type, self.raw)

    @property
    def annotations(self) -> Mapping[str, str]:
        """What is noted on it."""
        return string_map(self.document, "annotations")

    def choose(self, platform: Platform) -> Descriptor:
        """Give the entry that fits a platform best. Raises ImageNotFound, which lists what there is."""
        known = [each for each in self.manifests if not _is_unknown(each)]
        order = rank(platform, [each.platform for each in known])
        if not order:
            there = ", ".join(sorted({str(each.platform) for each in known if each.platform})) or "none"
            raise ImageNotFound(f"no image for {platform} in this index; it has {there}")
        return known[order[0]]


def _is_unknown(descriptor: Descriptor) -> bool:
    """Say whether this is an attestation, which BuildKit lists as of platform unknown/unknown."""
    return descriptor.platform is not None and descriptor.platform.os == "unknown"


def parse(raw: bytes, media_type: str | None = None) -> Manifest | Index:
    """Read a manifest or an index; `media_type` is what was said of it (a header, a descriptor), if anything.

    A document that says its own type must agree, for else one reader would see an image and another an index
    (CVE-2021-41190). Raises InvalidSpec.
    """
    if len(raw) > MAX_MANIFEST_BYTES:
        raise InvalidSpec(f"a manifest of {len(raw)} bytes; the limit is {MAX_MANIFEST_BYTES}")
    document = read_object(raw, "the manifest")
    own = optional(document, "mediaType", str, "")
    if own and media_type and own != media_type and media_type in mediatype.MANIFESTS | mediatype.INDEXES:
        raise InvalidSpec(f"the manifest calls itself {own}, but was called {media_type}")
    kind = own or media_type or _guess(document)
    if optional(document, "schemaVersion", int, 2) != 2 or kind.startswith(mediatype.DOCKER_MANIFEST_V1[:-5]):
        raise InvalidSpec("the manifest is of Docker's schema 1, which has no digests; push the image anew")
    if "manifests" in document and ("layers" in document or "config" in document):
        raise InvalidSpec("the manifest has both layers and manifests: it is ambiguous")
    subject = optional(document, "subject", dict, {})
    about = Descriptor.from_json(subject) if subject else None
    if mediatype.is_index(kind):
        manifests = tuple(Descriptor.from_json(each) for each in objects(document, "manifests"))
        return Index(raw, kind, document, manifests, about)
    if not mediatype.is_manifest(kind):
        raise InvalidSpec(f"{kind or 'something without a media type'} is neither a manifest nor an index")
    config = document.get("config")
    if not isinstance(config, dict):
        raise InvalidSpec("a manifest has a config", argument="config")
    layers = tuple(Descriptor.from_json(each) for each in objects(document, "layers"))
    artifact_type = optional(document, "artifactType", str, "")
    return Manifest(raw, kind, document, Descriptor.from_json(config), layers, about, artifact_type)


def _guess(document: Mapping[str, Any]) -> str:
    """Give the type of a document that nobody named: the OCI's field is optional."""
    return mediatype.OCI_INDEX if "manifests" in document else mediatype.OCI_MANIFEST if "layers" in document else ""


def make_manifest(
    config: Descriptor,
    layers: Iterable[Descriptor],
    *,
    media_type: str = mediatype.OCI_MANIFEST,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Write the manifest of an image."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    made = parse(dump(document | ({"annotations": dict(annotations)} if annotations else {})))
    assert isinstance(made, Manifest)
    return made


def make_index(manifests: Iterable[Descriptor], *, media_type: str = mediatype.OCI_INDEX) -> Index:
    """Write an index."""
    entries = [manifest.to_json() for manifest in manifests]
    made = parse(dump({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}))
    assert isinstance(made, Index)
    return made
