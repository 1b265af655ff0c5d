"""Pull: a registry's image into the store; push: the other way.

What the store has under a name is compared with what the registry has by one HEAD request; nothing more is asked where
they agree.
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass

from pyrt.errors import ImageNotFound
from pyrt.image.copy import copy
from pyrt.image.progress import PUSHING, OnProgress, silent
from pyrt.image.receive import JOBS, receive, select
from pyrt.image.record import ImageName, StoredImage
from pyrt.image.remote import RemoteSource, RemoteTarget
from pyrt.image.store import ImageStore, is_there
from pyrt.image.store_source import StoreSource
from pyrt.layer import Trees
from pyrt.oci.digest import Digest
from pyrt.oci.platform import Platform, rank
from pyrt.oci.reference import Reference
from pyrt.registry import RegistryClient

__all__ = ["Pulled", "pull", "push"]


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull came to: `source` is the digest that the registry has under the name."""

    image: StoredImage
    source: Digest
    is_new: bool


def pull(
    store: ImageStore,
    trees: Trees,
    client: RegistryClient,
    reference: Reference,
    *,
    platform: Platform | None = None,
    on_progress: OnProgress = silent,
    jobs: int = JOBS,
) -> Pulled:
    """Bring an image of a registry into the store under its name, and under its digest there.

    Raises ImageNotFound, Unauthorized, Forbidden, Unavailable and IntegrityError.
    """
    source = RemoteSource(client, reference)
    try:
        digest = source.head().digest
        known = _known(store, reference, digest, platform)
        if known is not None:
            return Pulled(known, digest, is_new=False)
        top = source.resolve()
        digest = top.descriptor.digest
        named = [reference.with_digest(digest)]
        if reference.tag is not None:
            named.append(Reference(reference.registry, reference.repository, reference.tag))
        image = receive(
            store,
            trees,
            source,
            select(source, top, platform),
            names=lambda id: [ImageName(name, id, digest) for name in named],
            on_progress=on_progress,
            jobs=jobs,
        )
        return Pulled(image, digest, is_new=True)
    finally:
        source.close()


def _known(store: ImageStore, reference: Reference, digest: Digest, platform: Platform | None) -> StoredImage | None:
    """Give the image that is stored under this name, if the registry has the same and it is whole."""
    try:
        name = store.name_of(reference)
        image = store.find(str(name.id))
    except ImageNotFound:
        return None
    if name.source != digest or not is_there(store, image.record):
        return None
    if platform is None and image.record.manifest.digest == digest:  # there is no other
        return image
    return image if rank(platform or Platform.host(), [store.document(image).platform]) else None


def push(
    store: ImageStore,
    client: RegistryClient,
    reference: Reference,
    *,
    on_progress: OnProgress = silent,
    jobs: int = JOBS,
) -> Digest:
    """Send the image that has this name to its registry, and give the digest that it has there.

    Raises ImageNotFound where the store has no such name, Unauthorized, Forbidden, Unavailable.
    """
    image = store.find(str(reference))
    source = StoreSource(store.content, image, reference.familiar)
    mounts = [
        each.reference
        for each in image.names
        if each.reference.registry == reference.registry and each.reference.repository != reference.repository
    ]
    with store.lease() as lease, closing(RemoteTarget(client, reference, mount_from=mounts)) as target:
        store.keep(lease, image)
        digest = copy(source, target, jobs=jobs, on_progress=on_progress, words=PUSHING).descriptor.digest
    with suppress(ImageNotFound):  # it was sent all the same
        store.point(image, [ImageName(reference.with_digest(digest), image.id, digest)])
    return digest
