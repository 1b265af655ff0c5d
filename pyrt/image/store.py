"""The images of a root: which there are, what they are called, and what nobody needs any more.

Takes the rooms below (blobs by digest, layers by ChainID, records); gives StoredImages. An image is its config's
digest, as for Docker; a name points to one image, and moves. What an image needs is there before its record is, and is
collected only when no record and no lease of a living process names it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pyrt.content import ContentStore
from pyrt.errors import (
    ImageNotFound,
    IntegrityError,
    InvalidArgument,
    InvalidReference,
    InvalidSpec,
    NotFound,
    PyrtError,
    SyscallError,
    Unsupported,
)
from pyrt.image.record import VERSION, ImageName, ImageRecord, StoredImage
from pyrt.oci.digest import Digest
from pyrt.oci.image import ImageDocument
from pyrt.oci.manifest import Manifest, parse
from pyrt.oci.reference import Reference
from pyrt.snapshot import Layers
from pyrt.state import Database, Lease, Leases, Records, Transaction

__all__ = ["ImageStore", "is_there"]

_ID = re.compile(r"(?:sha256:|sha512:)?([0-9a-f]{1,128})")


@dataclass(frozen=True, slots=True)
class ImageStore:
    """The images of one root; `pinned` names what is needed besides. Any number of processes may use it at once."""

    database: Database
    content: ContentStore
    layers: Layers
    leases: Leases
    pinned: Callable[[Transaction], Iterable[Digest]] = lambda tx: ()

    @property
    def _images(self) -> Records[ImageRecord]:
        return Records(self.database, "image", VERSION, ImageRecord.to_record, ImageRecord.from_record)

    @property
    def _names(self) -> Records[ImageName]:
        return Records(self.database, "name", VERSION, ImageName.to_record, ImageName.from_record)

    def find(self, text: str) -> StoredImage:
        """Give the image of a name, an id, or the beginning of an id that only one has.

        A name without tag and digest is of the tag latest, as with Docker. Raises ImageNotFound, InvalidReference.
        """
        with self.database.read() as tx:
            name = self._named(tx, text)
            if name is not None:
                return self._with_names(tx, self._images.get(tx, str(name.id)))
            match = _ID.fullmatch(text)
            found = [] if match is None else self._by_prefix(tx, match[1])
        if len(found) > 1:
            raise InvalidReference(f"{text}: {len(found)} images have an id that begins so", argument="image")
        if not found:
            raise ImageNotFound(f"no such image: {text}; `pull` it, or see `images`")
        return found[0]

    def all(self) -> tuple[StoredImage, ...]:
        """Give all images, those that were added last first."""
        with self.database.read() as tx:
            names: dict[Digest, list[ImageName]] = {}
            for _, name in self._names.items(tx):
                names.setdefault(name.id, []).append(name)
            records = [record for _, record in self._images.items(tx)]
        records.sort(key=lambda record: (-record.added_ns, record.id))
        return tuple(StoredImage(record, tuple(names.get(record.id, ()))) for record in records)

    def name_of(self, reference: Reference) -> ImageName:
        """Give what a name points to. Raises ImageNotFound."""
        with self.database.read() as tx:
            try:
                return self._names.get(tx, str(reference))
            except KeyError:
                raise ImageNotFound(f"{reference.familiar}: this store has no image of this name") from None

    def manifest(self, image: StoredImage) -> Manifest:
        """Read an image's manifest. Raises BlobNotFound, DigestMismatch."""
        descriptor = image.record.manifest
        manifest = parse(self.content.read(descriptor.digest), descriptor.media_type)
        assert isinstance(manifest, Manifest)
        return manifest

    def document(self, image: StoredImage) -> ImageDocument:
        """Read an image's config. Raises BlobNotFound, DigestMismatch."""
        return ImageDocument.parse(self.content.read(image.record.config.digest))

    def lease(self) -> Lease:
        """Keep what is named to it from being collected; name things before looking whether they are there."""
        return self.leases.hold()

    @contextmanager
    def receiving(self) -> Iterator[Lease]:
        """Hold a lease for what comes in; where it is bad, or has no room, nothing of it stays.

        After other failures what is whole stays for the next attempt, until a collection.
        """
        try:
            with self.lease() as lease:
                yield lease
        except (IntegrityError, InvalidSpec, SyscallError, Unsupported):
            with suppress(PyrtError):  # the failure is the news, and another collection will come
                self.collect()
            raise

    def keep(self, lease: Lease, image: StoredImage) -> None:
        """Keep all that an image needs as long as the lease lives. Raises ImageNotFound where it has gone already."""
        lease.add(*(str(each) for each in (*image.record.blobs, *image.record.chain)))
        if not is_there(self, image.record):
            raise ImageNotFound(f"{image.id.short}: the image was removed meanwhile, or is damaged: pull it again")

    def add(self, manifest: Manifest, document: ImageDocument, names: Iterable[ImageName] = ()) -> StoredImage:
        """Record an image all of whose blobs and layers are there, under a lease, and point names to it."""
        chain = document.chain_ids
        size = sum(layer.size_bytes for layer in self.layers.chain(chain[-1])) if chain else 0
        record = ImageRecord.of(manifest, document, size_bytes=size, added_ns=time.time_ns())
        with self.database.write() as tx:
            self._images.put(tx, str(record.id), record)
            for name in names:
                self._names.put(tx, str(name.reference), name)
            return self._with_names(tx, record)

    def point(self, image: StoredImage, names: Iterable[ImageName]) -> StoredImage:
        """Let names point to an image, and give it as it is then. Raises ImageNotFound where it has gone meanwhile."""
        with self.database.write() as tx:
            if not self._images.has(tx, str(image.id)):
                raise ImageNotFound(f"{image.id.short}: the image was removed meanwhile")
            for name in names:
                self._names.put(tx, str(name.reference), name)
            return self._with_names(tx, image.record)

    def forget(self, image: StoredImage, names: Iterable[Reference]) -> bool:
        """Remove names that still mean this image, and its record where none is left; say whether that has gone.

        Frees nothing: see `collect`.
        """
        with self.database.write() as tx:
            for reference in names:
                with suppress(KeyError):
                    if self._names.get(tx, str(reference)).id == image.id:  # else it has moved meanwhile
                        self._names.delete(tx, str(reference))
            if any(name.id == image.id for _, name in self._names.items(tx)):
                return False
            with suppress(KeyError):
                self._images.delete(tx, str(image.id))
            return True

    def collect(self) -> int:
        """Free what no image, no lease of a living process and no container needs; give the bytes.

        It is decided inside of one write transaction, which every lease passes too: nothing that another process has
        named, or is naming, is taken.
        """
        with self.database.write() as tx:
            live = {*self.pinned(tx), *(Digest.parse(name) for name in self.leases.live(tx))}
            for _, record in self._images.items(tx):
                live.update(record.blobs, record.chain)
            freed = self.content.collect(live) + self.layers.condemn(tx, live)
        self.layers.clean()
        return freed

    def clean(self) -> None:
        """Remove what killed processes have left; cheap where there is nothing."""
        self.content.clean()
        self.layers.clean()
        if self.leases.has_any:
            with self.database.write() as tx:
                self.leases.live(tx)

    def _named(self, tx: Transaction, text: str) -> ImageName | None:
        try:
            reference = Reference.parse(text)
        except InvalidArgument:
            return None
        if reference.digest is not None:
            reference = reference.with_digest(reference.digest)
        try:
            return self._names.get(tx, str(reference))
        except KeyError:
            return None

    def _by_prefix(self, tx: Transaction, digits: str) -> list[StoredImage]:
        return [
            self._with_names(tx, record)
            for key, record in self._images.items(tx)
            if key.partition(":")[2].startswith(digits)
        ]

    def _with_names(self, tx: Transaction, record: ImageRecord) -> StoredImage:
        return StoredImage(record, tuple(name for _, name in self._names.items(tx) if name.id == record.id))


def is_there(store: ImageStore, record: ImageRecord) -> bool:
    """Say whether all that an image needs is still there."""
    try:
        if record.chain:
            store.layers.chain(record.chain[-1])
    except NotFound:
        return False
    return all(store.content.has(digest) for digest in record.blobs)
