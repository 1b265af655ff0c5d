"""Load: the images of an archive into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

from pyrt.image.loading import Archive
from pyrt.image.progress import OnProgress, Progress, silent
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
    InvalidSpec, IntegrityError. What each image is called in the archive is reported as progress, without an id.
    """
    loaded = []
    with Archive(source, name, spool_directory=scratch) as archive:
        for each in archive.images():
            manifest, named = select(each.source, each.source.resolve()), tuple(each.names)
            image = receive(store, trees, each.source, manifest, names=_named(named), on_progress=on_progress)
            loaded.append(image)
            for familiar in [reference.familiar for reference in named]:
                on_progress(Progress("", f"Loaded image: {familiar}", reference=familiar))
            if not named:
                on_progress(Progress("", f"Loaded image ID: {image.id}"))
    return loaded


def _named(names: Iterable[Reference]) -> Callable[[Digest], list[ImageName]]:
    return lambda id: [ImageName(name, id) for name in names]
