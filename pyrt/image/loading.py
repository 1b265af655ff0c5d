"""Archives of images, whichever form they have: one image as a Source, or all of them, which `load` takes over.

An archive of a modern docker has two lists of its images, manifest.json and index.json. Where both mean the same image,
config for config and layer for layer, the layout's own manifest is given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from pyrt.errors import ImageNotFound
from pyrt.image.archive import ArchiveFiles
from pyrt.image.docker_archive import DockerArchiveSource, Listed, choose_listed, read_list
from pyrt.image.files import Files
from pyrt.image.layout import LayoutSource, blob_path, full_name, is_layout, read_index, read_manifest
from pyrt.image.medium import Source
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.manifest import Index, Manifest
from pyrt.oci.platform import Platform
from pyrt.oci.reference import Reference

__all__ = ["Archive", "ArchivedImage", "open_docker_archive"]

_Key = tuple[str, tuple[str, ...]]
_MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image of an archive and its names there, which may be none. The source is good while the archive is open."""

    source: Source
    names: tuple[Reference, ...]


class Archive:
    """An archive of images, from `docker save`, `podman save`, skopeo or here. Close it."""

    def __init__(self, source: str | os.PathLike[str] | BinaryIO, name: str, *, spool_directory: str | None = None):
        """Open an archive. Raises what ArchiveFiles does."""
        self.name = name
        self._files = ArchiveFiles(source, name, spool_directory=spool_directory)

    def images(self) -> tuple[ArchivedImage, ...]:
        """Give all images, in order. Raises ImageNotFound for what is no archive of images, InvalidSpec."""
        files, name = self._files, self.name
        if not is_layout(files):
            return tuple(
                ArchivedImage(DockerArchiveSource(files, name, listed, is_owner=False), listed.names)
                for listed in read_list(files)
            )
        entries = [entry for entry in read_index(files).manifests if not _is_unknown(entry)]
        names: dict[Digest, list[Reference]] = {entry.digest: [] for entry in entries}
        for entry in entries:
            if full := full_name(entry):
                names[entry.digest].append(Reference.parse(full))
        known, only_listed = _known(files), []
        for listed in _listed(files):
            if entry_and_top := known.get(_key_of_listed(listed)):
                names[entry_and_top[1].digest].extend(listed.names)
            else:
                only_listed.append(listed)
        tops = {entry.digest: entry for entry in entries}
        return (
            *(
                ArchivedImage(LayoutSource(files, name, top, is_owner=False), tuple(dict.fromkeys(names[digest])))
                for digest, top in tops.items()
            ),
            *(
                ArchivedImage(DockerArchiveSource(files, name, listed, is_owner=False), listed.names)
                for listed in only_listed
            ),
        )

    def close(self) -> None:
        """Close the archive. A second call does nothing."""
        self._files.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_docker_archive(files: ArchiveFiles, name: str, wanted: str = "") -> Source:
    """Choose an image of a docker-archive, which is the source's from here on. Raises ImageNotFound, InvalidSpec."""
    try:
        listed = choose_listed(read_list(files), files, name, wanted)
        known = _known(files).get(_key_of_listed(listed)) if is_layout(files) else None
        if known is None:
            return DockerArchiveSource(files, name, listed)
        return LayoutSource(files, name, _widest(files, *known))
    except BaseException:
        files.close()
        raise


def _is_unknown(entry: Descriptor) -> bool:
    """Say whether this is an attestation: BuildKit says that its platform is unknown."""
    return entry.platform is not None and entry.platform.os == "unknown"


def _listed(files: ArchiveFiles) -> tuple[Listed, ...]:
    try:
        return read_list(files)
    except ImageNotFound:
        return ()


def _widest(files: Files, entry: Descriptor, top: Descriptor) -> Descriptor:
    """Give the index above an image, where that means the same image to this machine; else the image's own entry."""
    document = read_manifest(files, top, files.name)
    with suppress(ImageNotFound):
        if isinstance(document, Index) and document.choose(Platform.host()).digest == entry.digest:
            return top
    return entry


def _key_of_listed(listed: Listed) -> _Key:
    return listed.config, listed.layers


def _known(files: Files) -> dict[_Key, tuple[Descriptor, Descriptor]]:
    """Give, by the paths of config and layers, the entry of each image of a layout, and the one of index.json above."""
    found: dict[_Key, tuple[Descriptor, Descriptor]] = {}
    for top in read_index(files).manifests:
        for entry, manifest in _manifests(files, top, _MAX_DEPTH):
            key = blob_path(manifest.config.digest), tuple(blob_path(layer.digest) for layer in manifest.layers)
            found.setdefault(key, (entry, top))
    return found


def _manifests(files: Files, entry: Descriptor, depth: int) -> Iterator[tuple[Descriptor, Manifest]]:
    with suppress(ImageNotFound):  # of other platforms, left out when it was saved
        document = read_manifest(files, entry, files.name)
        if isinstance(document, Manifest):
            yield entry, document
        elif depth:
            for inner in document.manifests:
                yield from _manifests(files, inner, depth - 1)
