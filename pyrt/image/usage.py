"""What images take on disk."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from pyrt.errors import NotFound
from pyrt.image.record import StoredImage
from pyrt.image.store import ImageStore
from pyrt.oci.digest import Digest

__all__ = ["ImageUsage", "Usage", "usage"]


@dataclass(frozen=True, slots=True)
class ImageUsage:
    """The layers of one image: `shared_bytes` of them belong to other images too."""

    image: StoredImage
    size_bytes: int
    shared_bytes: int

    @property
    def unique_bytes(self) -> int:
        """What would go with this image."""
        return self.size_bytes - self.shared_bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """All images: unpacked layers, each counted once, and the blobs that they came as."""

    images: tuple[ImageUsage, ...]
    layer_bytes: int
    blob_bytes: int
    reclaimable_bytes: int  # of layers and blobs that no image with a tag needs


def usage(store: ImageStore) -> Usage:
    """Add everything up."""
    images = store.all()
    users = Counter(chain_id for image in images for chain_id in image.record.chain)
    sizes: dict[Digest, int] = {}
    for image in images:
        with suppress(NotFound):  # removed meanwhile
            if image.record.chain:
                sizes |= {layer.chain_id: layer.size_bytes for layer in store.layers.chain(image.record.chain[-1])}
    blobs = dict(store.content.walk())
    tagged = [image for image in images if image.tags]
    needed = {each for image in tagged for each in (*image.record.chain, *image.record.blobs)}
    spare = sum(size for each, size in (*sizes.items(), *blobs.items()) if each not in needed)
    return Usage(tuple(_of(image, users, sizes) for image in images), sum(sizes.values()), sum(blobs.values()), spare)


def _of(image: StoredImage, users: Counter[Digest], sizes: dict[Digest, int]) -> ImageUsage:
    chain = image.record.chain
    shared = sum(sizes.get(each, 0) for each in chain if users[each] > 1)
    return ImageUsage(image, sum(sizes.get(each, 0) for each in chain), shared)
