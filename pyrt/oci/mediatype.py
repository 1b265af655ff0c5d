"""Media types of manifests, configs and layers: the OCI's, Docker's, and what they stand for."""

from __future__ import annotations

__all__ = [
    "DOCKER_CONFIG",
    "DOCKER_FOREIGN_LAYER",
    "DOCKER_INDEX",
    "DOCKER_LAYER",
    "DOCKER_MANIFEST",
    "DOCKER_MANIFEST_V1",
    "EMPTY",
    "INDEXES",
    "LAYERS",
    "MANIFESTS",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_LAYER",
    "OCI_LAYER_GZIP",
    "OCI_LAYER_ZSTD",
    "OCI_MANIFEST",
    "compression_of",
    "is_foreign",
    "is_index",
    "is_layer",
    "is_manifest",
]

_OCI = "application/vnd.oci.image"
_DOCKER = "application/vnd.docker"
OCI_INDEX = f"{_OCI}.index.v1+json"
OCI_MANIFEST = f"{_OCI}.manifest.v1+json"
OCI_CONFIG = f"{_OCI}.config.v1+json"
OCI_LAYER = f"{_OCI}.layer.v1.tar"
OCI_LAYER_GZIP = f"{OCI_LAYER}+gzip"
OCI_LAYER_ZSTD = f"{OCI_LAYER}+zstd"
DOCKER_INDEX = f"{_DOCKER}.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = f"{_DOCKER}.distribution.manifest.v2+json"
DOCKER_MANIFEST_V1 = f"{_DOCKER}.distribution.manifest.v1+json"
DOCKER_CONFIG = f"{_DOCKER}.container.image.v1+json"
DOCKER_LAYER = f"{_DOCKER}.image.rootfs.diff.tar.gzip"
DOCKER_FOREIGN_LAYER = f"{_DOCKER}.image.rootfs.foreign.diff.tar.gzip"
EMPTY = "application/vnd.oci.empty.v1+json"

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
_FOREIGN = frozenset(
    {DOCKER_FOREIGN_LAYER, *(f"{_OCI}.layer.nondistributable.v1.tar{form}" for form in ("", "+gzip", "+zstd"))}
)
LAYERS = _FOREIGN | {
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    DOCKER_LAYER,
    f"{_DOCKER}.image.rootfs.diff.tar",
    f"{_DOCKER}.image.rootfs.diff.tar.zstd",
}


def is_index(media_type: str) -> bool:
    """Say whether this names a list of manifests."""
    return media_type in INDEXES


def is_manifest(media_type: str) -> bool:
    """Say whether this names the manifest of one image."""
    return media_type in MANIFESTS


def is_layer(media_type: str) -> bool:
    """Say whether this names a tar of files that belongs into a root file system."""
    return media_type in LAYERS


def is_foreign(media_type: str) -> bool:
    """Say whether this names a layer that may not be pushed, and may have to be fetched from its own URLs."""
    return media_type in _FOREIGN


def compression_of(media_type: str) -> str:
    """Give what the name of a layer says of its compression: "gzip", "zstd" or "none"; its bytes may disagree."""
    for kind in ("gzip", "zstd"):
        if media_type.endswith((f"+{kind}", f".{kind}")):
            return kind
    return "none"
