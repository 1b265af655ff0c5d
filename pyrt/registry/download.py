"""Blobs as streams: resumed where a connection breaks, and verified, so that nobody can forget it.

Takes a Descriptor and a function that opens a range of the blob, gives chunks in order. A stream never ends as if all
were well when it is not: it ends after the last byte of the right digest, or it raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from types import TracebackType

from pyrt.errors import DigestMismatch, SizeMismatch, Unavailable
from pyrt.oci.descriptor import Descriptor
from pyrt.registry.errors import broken
from pyrt.registry.exchange import Answer
from pyrt.registry.headers import content_range
from pyrt.registry.retry import Patience
from pyrt.registry.transport import Broken

__all__ = ["CHUNK_BYTES", "Blob", "NoRanges", "Stream"]

CHUNK_BYTES = 1 << 20
_PROGRESS_BYTES = 256 << 10  # what must arrive before a broken connection counts as the first again

OpenRange = Callable[[dict[str, str], Patience], Answer]  # headers → an answer of status 200 or 206


class NoRanges(Exception):
    """A server that was asked for a part has begun to send the whole."""


class Stream:
    """The bytes from `first` to before `end` of a blob, over as many connections as it takes."""

    def __init__(
        self,
        deed: str,
        open_range: OpenRange,
        patience: Patience,
        descriptor: Descriptor,
        first: int = 0,
        end: int | None = None,
        *,
        is_part: bool = False,
    ) -> None:
        self.offset_bytes = first
        self.end = descriptor.size if end is None else end
        self.accepts_ranges = False
        self.waited_seconds = 0.0
        self._deed = deed
        self._open_range = open_range
        self._patience = patience
        self._size = descriptor.size
        self._is_part = is_part
        self._etag = ""
        self._since = first
        self._answer: Answer | None = None

    def begin(self) -> None:
        """Send the first request; wait and send it again where it breaks."""
        while self._answer is None:
            try:
                self.open()
            except Broken as error:
                self._give_up_or_wait(error)

    def open(self) -> None:
        """Send the request. Raises NoRanges where this is a part and the server sends no parts."""
        headers = {}
        if self.offset_bytes or self._is_part:
            last = self.end - 1 if self._is_part else ""
            headers["Range"] = f"bytes={self.offset_bytes}-{last}"
            if self._etag:
                headers["If-Range"] = self._etag
        self._answer = answer = self._open_range(headers, self._patience)
        etag = answer.headers.get("ETag", "")
        self._etag = etag if etag.startswith('"') else ""  # a weak one is no good for ranges
        self.accepts_ranges = answer.status == 206 or answer.headers.get("Accept-Ranges", "").strip() == "bytes"
        try:
            self._check(answer)
        except BaseException:
            self.close()
            raise

    def _check(self, answer: Answer) -> None:
        """Compare what a server announces with what it was asked for."""
        if answer.status == 206:
            got = content_range(answer.headers.get("Content-Range", ""))
            if got is None or got.first != self.offset_bytes or got.total not in (None, self._size):
                raise broken(self._deed, answer.host, "answers with another range than it was asked for")
            return
        if answer.length_bytes not in (None, self._size):
            raise SizeMismatch(
                f"{self._deed}: {answer.host} has {answer.length_bytes} bytes, the descriptor says {self._size}"
            )
        if self._is_part:
            raise NoRanges
        self._skip(answer, self.offset_bytes)

    def _skip(self, answer: Answer, count: int) -> None:
        while count:
            self._patience.check(self._deed)
            chunk = answer.chunk(min(count, CHUNK_BYTES))
            if not chunk:
                raise Broken("has ended the answer early")
            count -= len(chunk)

    def chunks(self) -> Generator[bytes, None, None]:
        """Give the bytes up to `end`, which may be moved forward meanwhile."""
        while self.offset_bytes < self.end:
            self._patience.check(self._deed)
            try:
                if self._answer is None:
                    self.open()
                chunk = self._chunk()
            except Broken as error:
                self._give_up_or_wait(error)
                continue
            self.offset_bytes += len(chunk)
            yield chunk

    def _chunk(self) -> bytes:
        assert self._answer is not None
        began = time.perf_counter()
        chunk = self._answer.chunk(min(CHUNK_BYTES, self.end - self.offset_bytes))
        self.waited_seconds += time.perf_counter() - began
        if not chunk:
            raise Broken("has ended the answer early")
        return chunk

    def has_more(self) -> bool:
        """Say whether the server sends more than it should have; ends the connection, or gives it back."""
        answer, self._answer = self._answer, None
        if answer is None:
            return False
        try:
            return bool(answer.chunk(1))
        except Broken:
            return False
        finally:
            answer.close()

    def _give_up_or_wait(self, error: Broken) -> None:
        host = self._answer.host if self._answer else "the registry"
        self.close()
        if self.offset_bytes - self._since >= _PROGRESS_BYTES:
            self._patience.renew()
            self._since = self.offset_bytes
        if not self._patience.wait(self._deed):
            raise Unavailable(
                f"{self._deed}: {host} {error}, after {self.offset_bytes} of {self._size} bytes and several tries"
            ) from error

    def finish(self) -> None:
        """Give the connection back where it brought all that it should, else end it."""
        if self.offset_bytes == self.end:
            self.has_more()
        else:
            self.close()

    def close(self) -> None:
        """End the connection."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()


class Blob:
    """A blob under way: a context manager and an iterator of chunks of about 1 MiB.

    At its end it raises SizeMismatch, and where it is to verify DigestMismatch, instead of StopIteration.
    """

    def __init__(
        self, stream: Stream, arriving: Generator[bytes, None, None], descriptor: Descriptor, *, verify: bool
    ) -> None:
        self._stream = stream
        self._arriving = arriving
        self._descriptor = descriptor
        self._hasher = descriptor.digest.hasher() if verify else None
        self._chunks = self._verified()

    def __enter__(self) -> Blob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """End the connections; a second call does nothing."""
        self._chunks.close()
        self._arriving.close()
        self._stream.close()

    def _verified(self) -> Generator[bytes, None, None]:
        hasher, descriptor = self._hasher, self._descriptor
        for chunk in self._arriving:
            if hasher is not None:
                hasher.update(chunk)
            yield chunk
        if self._stream.has_more():
            raise SizeMismatch(f"{descriptor.digest}: more than the {descriptor.size} bytes of its descriptor arrive")
        if hasher is not None and hasher.hexdigest() != descriptor.digest.hex:
            found = f"{descriptor.digest.algorithm}:{hasher.hexdigest()}"
            raise DigestMismatch(f"{descriptor.digest}: what arrives has the digest {found}")
