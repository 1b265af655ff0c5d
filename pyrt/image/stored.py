"""Images of the store as views that containers start from."""

from __future__ import annotations

from dataclasses import dataclass

from pyrt.errors import BlobNotFound, CommandError, ImageNotFound, NotFound
from pyrt.image.record import StoredImage
from pyrt.image.store import ImageStore
from pyrt.oci.config import ImageConfig
from pyrt.oci.digest import Digest
from pyrt.oci.image import ImageDocument
from pyrt.oci.platform import Platform, rank
from pyrt.runtime.bundle import Rootfs
from pyrt.snapshot import Hold, Snapshotter

__all__ = ["StoredView"]


@dataclass(frozen=True, slots=True)
class StoredView:
    """The view of one image of the store. Its layers are held until it is closed: nobody collects them meanwhile."""

    name: str
    document: ImageDocument
    directories: tuple[str, ...]
    hold: Hold

    @classmethod
    def open(cls, store: ImageStore, image: StoredImage, name: str, *, platform: Platform | None = None) -> StoredView:
        """Open an image under the name that it was asked for by.

        Raises ImageNotFound where it has been removed meanwhile, or is for another platform than is wanted, and
        CommandError for an image of nothing.
        """
        if not image.record.chain:
            raise CommandError(f"{name} has no files, so there is no program in it", exit_code=127)
        try:
            hold = store.layers.hold(image.record.chain[-1])
        except NotFound:
            raise _gone(image) from None
        try:
            document = store.document(image)
            if platform is not None and not rank(platform, [document.platform]):
                raise ImageNotFound(f"{name}: the image in this store is for {document.platform}, not for {platform}")
            chain = store.layers.chain(image.record.chain[-1])
        except BaseException as error:
            hold.close()
            if isinstance(error, BlobNotFound):
                raise _gone(image) from None
            raise
        return cls(name, document, tuple(layer.directory for layer in chain), hold)

    @property
    def config(self) -> ImageConfig:
        """How the image asks to be run (see ImageView)."""
        return self.document.config

    @property
    def is_host(self) -> bool:
        """False (see ImageView)."""
        return False

    @property
    def image_id(self) -> Digest:
        """The image's id (see ImageView)."""
        return self.document.digest

    @property
    def chain(self) -> tuple[Digest, ...]:
        """The ChainIDs of its layers (see ImageView)."""
        return self.document.chain_ids

    def lowers(self, *, user_namespace: bool) -> tuple[str, ...]:
        """Give the directories of the layers, the topmost first (see ImageView)."""
        return self.directories

    def rootfs(self, snapshotter: Snapshotter, key: str) -> Rootfs:
        """Prepare the one snapshot of all layers (see ImageView)."""
        return Rootfs((snapshotter.prepare(key, self.directories),))

    def close(self) -> None:
        """Let the layers go. A second call does nothing."""
        self.hold.close()


def _gone(image: StoredImage) -> ImageNotFound:
    return ImageNotFound(f"{image.id.short}: the image was removed meanwhile")
