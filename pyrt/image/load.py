"""Load: the images of an archive into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

from pyrt.image.loading import Archive
from pyrt.image.progress import OnProgress, silent
from pyrt.image.receive import receive, select
from pyrt.image.record import ImageName, StoredImage
from pyrt.image.store import ImageStore
from pyrt.layer import Trees
from pyrt.oci.digest import Digest
from pyrt.oci.reference import Reference

__all__ = ["load"]


def load(
    store: ImageStore,
    trees: Trees,
    source: str | BinaryIO,
    *,
    scratch: str,
    name: str = "the archive",
    on_progress: OnProgress = silent,
) -> list[StoredImage]:
    """Take all images of an archive, in its order; names that they bring are theirs from now on.

    `scratch` is a directory for what cannot be read where it is. Raises ImageNotFound for what is no archive of images,
    InvalidSpec, IntegrityError.
    """
    with Archive(source, name, spool_directory=scratch) as archive:
        return [
            receive(
                store,
                trees,
                each.source,
                select(each.source, each.source.resolve()),
                names=_named(each.names),
                on_progress=on_progress,
            )
            for each in archive.images()
        ]


def _named(names: Iterable[Reference]) -> Callable[[Digest], list[ImageName]]:
    return lambda id: [ImageName(name, id) for name in names]
