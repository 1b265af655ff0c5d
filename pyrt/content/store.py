"""The contract of a content store.

A blob is a sequence of bytes, and its digest is its only name. It comes to be at once and complete, when an ingest
commits it: its size and its digest have been verified by then, and there is no other way in. It is never written
again. What is not complete has no name, and is gone when its ingest ends, or at the next `clean` when its process was
killed.

An ingest takes the bytes of one blob. Of several ingests of one digest, by threads or processes, one goes on
and the others wait; who waited finds that the blob `is_complete`, or has its turn where the first one failed.

A store knows nothing of who needs a blob. `collect` deletes all that are not in the set it is given, so the caller must
know the whole of it, and that nobody adds to it meanwhile: it runs inside a write transaction of the state, where the
names of blobs that are to come were leased before their ingest began. Who has a blob open keeps its bytes.

Any number of threads and processes may use one store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import BinaryIO, Protocol

from pyrt.content.ingest import Ingest
from pyrt.oci.digest import Digest

__all__ = ["MAX_READ_BYTES", "ContentStore"]

MAX_READ_BYTES = 8 << 20  # registries limit manifests to 4 MiB; configs are far smaller


class ContentStore(Protocol):
    """Keeps blobs by their digests."""

    def size(self, digest: Digest) -> int:
        """Give the size of a blob in bytes. Raises BlobNotFound."""

    def has(self, digest: Digest) -> bool:
        """Whether there is such a blob."""

    def path(self, digest: Digest) -> str:
        """Give where a blob lies, for reading. Raises BlobNotFound."""

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading; its bytes are those that were verified when it came. Raises BlobNotFound."""

    def read(self, digest: Digest, limit_bytes: int = MAX_READ_BYTES) -> bytes:
        """Give the bytes of a small blob, verified again.

        Raises BlobNotFound, SizeMismatch where there are more than `limit_bytes`, and DigestMismatch where the disk
        no longer has what was written.
        """

    def ingest(
        self, digest: Digest | None, size_bytes: int | None = None, *, cancelled: Callable[[], bool] | None = None
    ) -> Ingest:
        """Begin to take a blob; use it as a context manager. A `digest` of None is found out: sha256.

        Waits while another ingest of the digest is under way; `cancelled` ends the wait with ResourceBusy. Raises
        SyscallError.
        """

    def add(self, raw: bytes) -> Digest:
        """Keep some bytes; give their digest. Raises SyscallError."""

    def delete(self, digest: Digest) -> None:
        """Remove a blob; one that is not there is no error. Raises SyscallError."""

    def walk(self) -> Iterator[tuple[Digest, int]]:
        """Give the digest and the size in bytes of each blob, in no order."""

    def collect(self, live: Set[Digest]) -> int:
        """Delete all blobs but the `live` ones; give how many bytes that freed. Raises SyscallError."""

    def clean(self) -> int:
        """Remove what killed processes left behind of their ingests; give how many bytes that freed."""
