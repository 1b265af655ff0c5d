"""The media that names stand for, opened: a plain name is a registry's repository here, and not the store's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pyrt.errors import InvalidReference, Unsupported
from pyrt.image.archive import ArchiveFiles
from pyrt.image.archive_writer import ArchiveTarget, ArchiveWriter
from pyrt.image.files import DirectoryFiles
from pyrt.image.layout import LayoutSource
from pyrt.image.layout_target import LayoutTarget
from pyrt.image.loading import open_docker_archive
from pyrt.image.medium import Source, Target
from pyrt.image.names import StoredName, Transport, parse_name
from pyrt.oci.reference import Reference

if TYPE_CHECKING:
    from pyrt.registry import RegistryClient

__all__ = ["open_source", "open_target"]


def open_source(name: str, client: RegistryClient, *, spool_directory: str | None = None) -> Source:
    """Open what an image can be read from; archives that are compressed are inflated in `spool_directory`.

    Raises InvalidReference, ImageNotFound, InvalidSpec, and Unsupported for `host:`.
    """
    parsed = parse_name(name)
    if isinstance(parsed, StoredName):
        from pyrt.image.remote import RemoteSource

        return RemoteSource(client, _reference(parsed))
    if parsed.kind == "oci":
        return LayoutSource.open(DirectoryFiles(parsed.path, name), name, parsed.rest)
    if parsed.kind == "oci-archive":
        return LayoutSource.open(ArchiveFiles(parsed.path, name, spool_directory=spool_directory), name, parsed.rest)
    if parsed.kind == "docker-archive":
        files = ArchiveFiles(parsed.path, name, spool_directory=spool_directory)
        return open_docker_archive(files, name, parsed.rest)
    if parsed.kind == "rootfs":
        from pyrt.image.tree_source import TreeSource

        return TreeSource(parsed.path, spool_directory=spool_directory)
    raise Unsupported(f"{name} as something to copy", "it is the whole machine; rootfs:DIR takes a directory of it")


def open_target(name: str, client: RegistryClient, *, mount_from: Iterable[Reference] = ()) -> Target:
    """Open what an image can be written to; `mount_from` are names of the same registry that may have its layers.

    Raises InvalidReference, InvalidSpec for a directory that holds something else, Unsupported for `rootfs:`, `host:`.
    """
    parsed = parse_name(name)
    if isinstance(parsed, StoredName):
        from pyrt.image.remote import RemoteTarget

        return RemoteTarget(client, _reference(parsed), mount_from=mount_from)
    if parsed.kind in ("host", "rootfs"):
        raise Unsupported(f"{name} as a target", "an image is not written over a directory")
    if parsed.rest.startswith("@"):
        raise InvalidReference(f"{name!r}: the digest of what is written is not for you to choose", argument="image")
    if parsed.kind == "oci":
        return LayoutTarget(parsed.path, name, parsed.rest)
    return _archive(parsed, name)


def _archive(parsed: Transport, name: str) -> ArchiveTarget:
    writer = ArchiveWriter(parsed.path, name)
    if parsed.kind == "oci-archive":
        return ArchiveTarget(writer, tag=parsed.rest, is_alone=True)
    references = (Reference.parse(parsed.rest),) if parsed.rest else ()
    return ArchiveTarget(writer, references, is_alone=True, is_docker=True)


def _reference(name: StoredName) -> Reference:
    if name.reference is None:
        raise InvalidReference(f"{name}: registries know names, and no ids", argument="image")
    return name.reference
