"""What `docker save` writes, as Sources: images that manifest.json lists (Docker's image spec 1.1 and 1.2).

An archive of a modern docker is an image layout too; where that has the very image that manifest.json means, its own
manifest is given. Otherwise one is made: a layer that is a plain tar is named by its DiffID, so that nothing has to be
read before it is needed and the stream itself verifies it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pyrt.errors import BlobNotFound, ImageNotFound, InvalidSpec, NotFound, PyrtError, Unsupported
from pyrt.image.archive import ArchiveFiles, compression_of
from pyrt.image.blob import Piece, check_size, verified
from pyrt.image.files import MAX_DOCUMENT_BYTES, read_small
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.fields import string, strings
from pyrt.oci.image import ImageDocument
from pyrt.oci.manifest import Index, Manifest, make_manifest
from pyrt.oci.reference import Reference

__all__ = ["DockerArchiveSource", "Listed", "choose_listed", "read_list"]

_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_BLOB = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]+)")
_MAX_IMAGES = 4096


@dataclass(frozen=True, slots=True)
class Listed:
    """An image of manifest.json: the paths of its config and of its layers, the base first, and its names."""

    config: str
    layers: tuple[str, ...]
    names: tuple[Reference, ...]


class DockerArchiveSource:
    """One image of a docker-archive that is no image layout."""

    def __init__(self, files: ArchiveFiles, name: str, listed: Listed, *, is_owner: bool = True) -> None:
        """Read the config and the first bytes of the layers. Raises InvalidSpec, ImageNotFound."""
        self.name = name
        self._files = files
        self._is_owner = is_owner
        config, layers, self._paths = _describe(files, name, listed)
        self._manifest = make_manifest(config, layers, media_type=mediatype.DOCKER_MANIFEST)

    def resolve(self) -> Manifest | Index:
        """Give the manifest that was made for it (see Source)."""
        return self._manifest

    def manifest(self, descriptor: Descriptor) -> Manifest | Index:
        """Give that same manifest: there is no other (see Source)."""
        if descriptor.digest != self._manifest.descriptor.digest:
            raise ImageNotFound(f"{self.name}: there is no manifest {descriptor.digest}")
        return self._manifest

    @contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """Open a blob (see Source)."""
        with self.unverified(descriptor) as chunks:
            yield verified(chunks, descriptor, self.name)

    @contextmanager
    def unverified(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """Open a blob for who verifies it (see Unverified)."""
        path = self._paths.get(descriptor.digest)
        if path is None:
            raise BlobNotFound(f"{self.name}: there is no blob {descriptor.digest}")
        with self._files.open(path) as piece:
            check_size(piece, descriptor, self.name)
            yield piece.chunks()

    def close(self) -> None:
        """Close the archive, where it is this source's own (see Medium)."""
        if self._is_owner:
            self._files.close()


def read_list(files: ArchiveFiles) -> tuple[Listed, ...]:
    """Read manifest.json. Raises ImageNotFound where there is none, Unsupported for older archives, InvalidSpec."""
    try:
        raw = read_small(files, "manifest.json")
    except NotFound:
        with suppress(NotFound), files.open("repositories"):
            what = "it was written by a docker before 1.10, without digests; load and save it with a newer docker"
            raise Unsupported(files.name, what) from None
        raise ImageNotFound(f"{files.name}: there is no manifest.json in it: it is no docker-archive") from None
    try:
        images = json.loads(raw)
    except (ValueError, RecursionError) as e:
        raise InvalidSpec(f"{files.name}: manifest.json is no JSON: {e}") from None
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise InvalidSpec(f"{files.name}: manifest.json is no list of images")
    if len(images) > _MAX_IMAGES:
        raise InvalidSpec(f"{files.name}: {len(images)} images; the limit is {_MAX_IMAGES}")
    return tuple(_listed(files, image) for image in images)


def choose_listed(images: tuple[Listed, ...], files: ArchiveFiles, name: str, wanted: str = "") -> Listed:
    """Give the image that has a name, or the digest of whose config is `@digest`, or the only one.

    Raises ImageNotFound, which lists the names that there are.
    """
    if not wanted:
        if len(images) == 1:
            return images[0]
        what = f"it holds {len(images)} images: add the name of one" if images else "it holds no image"
        raise ImageNotFound(f"{name}: {what}{_shown(images)}")
    for image in images:
        if wanted.startswith("@"):
            if str(Digest.of(_read(files, image.config))) == wanted[1:]:
                return image
        elif Reference.parse(wanted) in image.names:
            return image
    raise ImageNotFound(f"{name}: there is no image of this name{_shown(images)}")


def _shown(images: tuple[Listed, ...]) -> str:
    names = [name.familiar for image in images for name in image.names]
    return f"; there is {', '.join(names[:20])}" if names else ""


def _listed(files: ArchiveFiles, image: dict[str, Any]) -> Listed:
    names = []
    for name in strings(image, "RepoTags"):
        try:
            names.append(Reference.parse(name))
        except PyrtError as e:
            raise InvalidSpec(f"{files.name}: manifest.json: {e}") from None
    return Listed(string(image, "Config"), strings(image, "Layers"), tuple(names))


def _read(files: ArchiveFiles, path: str) -> bytes:
    try:
        return read_small(files, path, MAX_DOCUMENT_BYTES)
    except NotFound as e:
        raise ImageNotFound(f"{files.name}: manifest.json names a file that is missing: {e}") from None


def _describe(files: ArchiveFiles, name: str, listed: Listed) -> tuple[Descriptor, list[Descriptor], dict[Digest, str]]:
    """Give the descriptors of config and layers, and where each of these blobs lies."""
    raw = _read(files, listed.config)
    document = ImageDocument.parse(raw)
    if len(document.diff_ids) != len(listed.layers):
        counts = f"{len(listed.layers)} layers in manifest.json, {len(document.diff_ids)} DiffIDs in the config"
        raise InvalidSpec(f"{name}: {counts}")
    config = Descriptor.of(mediatype.DOCKER_CONFIG, raw)
    paths = {config.digest: listed.config}
    layers: list[Descriptor] = []
    hashed: dict[tuple[int, int], Digest] = {}  # one place may be listed under any number of names
    for path, diff_id in zip(listed.layers, document.diff_ids, strict=True):
        try:
            with files.open(path) as piece:
                layer = _layer(piece, path, diff_id, hashed)
        except NotFound as e:
            raise ImageNotFound(f"{name}: manifest.json names a layer that is missing: {e}") from None
        layers.append(layer)
        paths.setdefault(layer.digest, path)
    return config, layers, paths


def _layer(piece: Piece, path: str, diff_id: Digest, hashed: dict[tuple[int, int], Digest]) -> Descriptor:
    kind = compression_of(piece)
    if not kind:
        return Descriptor(_LAYER, diff_id, piece.size_bytes)
    if kind not in ("gzip", "zstd"):
        raise Unsupported(f"{piece.path} as a layer", f"it is compressed by {kind}, which registries know no layers of")
    named = _BLOB.fullmatch(path)
    if named:
        return Descriptor(f"{_LAYER}.{kind}", Digest.parse(f"{named[1]}:{named[2]}"), piece.size_bytes)
    place = piece.offset_bytes, piece.size_bytes
    if place not in hashed:
        hashed[place] = _hashed(piece)
    return Descriptor(f"{_LAYER}.{kind}", hashed[place], piece.size_bytes)


def _hashed(piece: Piece) -> Digest:
    """Hash a compressed layer, which nothing in the archive names."""
    hasher = hashlib.sha256()
    for chunk in piece.chunks():
        hasher.update(chunk)
    return Digest("sha256", hasher.hexdigest())
