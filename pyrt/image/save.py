"""Save: images of the store as one archive."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from typing import BinaryIO

from pyrt.image.archive_writer import ArchiveWriter
from pyrt.image.copy import copy
from pyrt.image.progress import OnProgress, silent
from pyrt.image.record import StoredImage
from pyrt.image.store import ImageStore
from pyrt.image.store_source import StoreSource
from pyrt.oci.reference import Reference

__all__ = ["save"]


def save(
    store: ImageStore,
    images: Sequence[tuple[StoredImage, Sequence[Reference]]],
    target: str | os.PathLike[str] | BinaryIO,
    *,
    on_progress: OnProgress = silent,
) -> None:
    """Write images, each under its names, to a path or an open file; what they share is written once.

    docker, podman, skopeo and whoever reads OCI layouts read it. Layers are written as they came, compressed. Raises
    ImageNotFound where one has been removed meanwhile, SyscallError.
    """
    with store.lease() as lease, closing(ArchiveWriter(target, "the archive")) as archive:
        for image, _ in images:
            store.keep(lease, image)
        for image, names in images:
            name = names[0].familiar if names else image.id.short
            copy(StoreSource(store.content, image, name), archive.image(*names), on_progress=on_progress)
        archive.commit()
