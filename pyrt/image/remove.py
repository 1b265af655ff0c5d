"""Remove and prune: names first, then images, then what nothing needs any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyrt.errors import Conflict, NotFound
from pyrt.image.record import StoredImage
from pyrt.image.store import ImageStore
from pyrt.oci.digest import Digest
from pyrt.oci.reference import Reference

__all__ = ["Removed", "prune", "remove"]

Note = Callable[[str, Digest], object]
"""Called with "untag" for each name that went, and with "delete" for each image."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal did: names that were taken away, ids of images and layers that went, bytes freed."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    freed_bytes: int = 0


def remove(
    store: ImageStore,
    text: str,
    *,
    force: bool = False,
    keep_unused: bool = False,
    users: Callable[[Digest], Iterable[str]] = lambda id: (),
    note: Note = lambda action, id: None,
) -> Removed:
    """Remove a name, and the image with its last name. `text` may be an id, which stands for all names.

    `users` gives the containers that are made of an image; without `force` they protect it. `keep_unused` leaves what
    has become unused to the next collection. Raises ImageNotFound, Conflict.
    """
    image = store.find(text)
    name = _asked(image, text)
    if name is None and not force and _has_several(image):
        names = ", ".join(each.reference.familiar for each in image.names)
        raise Conflict(f"unable to delete {image.id.short} (must be forced): it has several names: {names}")
    going = _going(image, name)
    if len(going) < len(image.names):
        store.forget(image, going)
        _untagged(note, image, len(going))
        return Removed(tuple(each.familiar for each in going))
    for container in users(image.id):
        if not force:
            raise Conflict(f"unable to remove {text} (must force): container {container} is made of {image.id.short}")
    return _delete(store, [image], going, keep_unused, note)


def _asked(image: StoredImage, text: str) -> Reference | None:
    """Give the name that a text is, None where it is an id."""
    return next((name.reference for name in image.names if name.is_called(text)), None)


def _has_several(image: StoredImage) -> bool:
    """Say whether an id stands for more than one tag with the digests of its repository."""
    return len(image.tags) > 1 or len({each.reference.name for each in image.names}) > 1


def _going(image: StoredImage, name: Reference | None) -> tuple[Reference, ...]:
    """Give the names that go with one: with the last tag of a repository also the image's digests there."""
    if name is None:
        return tuple(each.reference for each in image.names)
    if name.digest is not None or any(each.name == name.name and each != name for each in image.tags):
        return (name,)
    return (name, *(each for each in image.digests if each.name == name.name))


def prune(
    store: ImageStore,
    *,
    all: bool = False,
    wanted: Callable[[StoredImage], bool] = lambda image: True,
    users: Callable[[Digest], Iterable[str]] = lambda id: (),
    note: Note = lambda action, id: None,
) -> Removed:
    """Remove the images without a tag, or with `all` every image that no container is made of, and free the space.

    `wanted` chooses among them.
    """
    going = [
        image
        for image in store.all()
        if (all or not image.tags) and wanted(image) and not any(True for _ in users(image.id))
    ]
    names = [name.reference for image in going for name in image.names]
    return _delete(store, going, names, False, note)


def _delete(
    store: ImageStore, images: list[StoredImage], names: Iterable[Reference], keep_unused: bool, note: Note
) -> Removed:
    before = {layer for each in images for layer in each.record.chain}
    went = [image for image in images if store.forget(image, [name.reference for name in image.names])]
    for image in went:
        _untagged(note, image, len(image.names))
        note("delete", image.id)
    freed = 0 if keep_unused else store.collect()
    gone = [layer for layer in before if not _has(store, layer)]
    ids = (*(str(image.id) for image in went), *map(str, sorted(gone)))
    return Removed(tuple(each.familiar for each in names), ids, freed)


def _untagged(note: Note, image: StoredImage, count: int) -> None:
    for _ in range(count):
        note("untag", image.id)


def _has(store: ImageStore, chain_id: Digest) -> bool:
    try:
        store.layers.find(chain_id)
    except NotFound:
        return False
    return True
