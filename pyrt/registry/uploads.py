"""Blobs on their way up: looked for first, mounted where a neighbour has them, resumed where a connection breaks.

A small blob goes up in one PUT. A large one goes up by PATCH, in one piece or in pieces of the size that is wished or
that the registry demands, for what of a PATCH has arrived stays: after a break the registry is asked how far it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from pyrt.errors import BlobNotFound, DigestMismatch, NotFound, PyrtError, RegistryError, SizeMismatch, Unavailable
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.registry.endpoints import Endpoint
from pyrt.registry.errors import broken, is_passing
from pyrt.registry.exchange import Answer, Exchange, Request, resolve
from pyrt.registry.headers import upload_end
from pyrt.registry.retry import Patience

__all__ = ["Upload", "Uploaded"]

Uploaded = Literal["exists", "mounted", "pushed"]
_SMALL_BYTES = 16 << 20  # sent anew rather than resumed
_MAX_ANSWER_BYTES = 64 << 10


class _Lost(Exception):
    """The registry no longer knows this upload: begin another."""


class Upload:
    """One blob of one repository. `opened` gives its bytes from the start, each time it is called."""

    def __init__(
        self,
        exchange: Exchange,
        endpoint: Endpoint,
        repository: str,
        descriptor: Descriptor,
        opened: Callable[[], Iterable[bytes]],
        patience: Patience,
    ) -> None:
        self._exchange = exchange
        self._endpoint = endpoint
        self._repository = repository
        self._descriptor = descriptor
        self._source = _Source(opened, descriptor)
        self._patience = patience
        self._scopes = frozenset({f"repository:{repository}:pull,push"})
        self._deed = f"push {descriptor.digest} to {endpoint.registry}/{repository}"

    def run(self, mount_from: str | None = None) -> Uploaded:
        """Bring the blob there; say how. Raises SizeMismatch where the source is not as long as its descriptor says."""
        if self._exists():
            return "exists"
        while True:
            location, least_bytes = self._start(mount_from)
            if location is None:
                return "mounted"
            try:
                self._fill(location, least_bytes)
                return "pushed"
            except (_Lost, Unavailable) as error:
                if isinstance(error, Unavailable) and not is_passing(error):
                    raise
                if self._exists():  # the break was after the last word
                    return "pushed"
                if not self._patience.wait(self._deed):
                    raise error if isinstance(error, PyrtError) else self._forgetful() from error

    def _forgetful(self) -> RegistryError:
        return broken(self._deed, self._endpoint.host, "forgets the upload again and again", code="BLOB_UPLOAD_UNKNOWN")

    def _send(self, method: str, path: str, accepted: Sequence[int], **given: Any) -> Answer:
        request = Request(self._deed, method, path, self._scopes, accepted=frozenset(accepted), **given)
        return self._exchange.read(request, [self._endpoint], _MAX_ANSWER_BYTES, self._patience)[0]

    def _exists(self) -> bool:
        path = f"/v2/{self._repository}/blobs/{self._descriptor.digest}"
        return self._send("HEAD", path, (200, 404)).status == 200

    def _start(self, mount_from: str | None) -> tuple[str | None, int]:
        """Begin an upload, or mount; give its URL (None: mounted) and the least size of a chunk."""
        path = f"/v2/{self._repository}/blobs/uploads/"
        scopes = self._scopes
        if mount_from:
            path += "?" + urlencode({"mount": str(self._descriptor.digest), "from": mount_from})
            scopes |= {f"repository:{mount_from}:pull"}
        headers = {"Content-Length": "0"}
        request = Request(self._deed, "POST", path, scopes, headers, accepted=frozenset({201, 202}))
        answer, _ = self._exchange.read(request, [self._endpoint], _MAX_ANSWER_BYTES, self._patience)
        if answer.status == 201 and mount_from:
            return None, 0
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        return self._location(answer), int(least) if least.isascii() and least.isdecimal() and len(least) < 12 else 0

    def _location(self, answer: Answer, usual: str | None = None) -> str:
        location = answer.headers.get("Location") or usual
        if not location:
            raise broken(self._deed, answer.host, "does not say where the upload goes")
        return resolve(location, answer.url, answer.endpoint, self._deed)

    def _fill(self, location: str, least_bytes: int) -> None:
        size = self._descriptor.size
        chosen = self._exchange.options.upload_chunk_bytes
        step = max(chosen, least_bytes) or size
        if size <= min(step, _SMALL_BYTES):
            self._finish(location, 0)
            return
        offset = 0
        while offset < size:
            location, offset = self._patch(location, offset, min(step, size - offset))
        self._finish(location, size)

    def _patch(self, location: str, offset: int, length: int) -> tuple[str, int]:
        """Send bytes from `offset` on; give the next URL and offset."""
        end = offset + length
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        if (offset, end) != (0, self._descriptor.size):
            headers["Content-Range"] = f"{offset}-{end - 1}"
        body = self._source.piece(offset, length)
        try:
            answer = self._send("PATCH", location, (202, 204), headers=headers, body=body, is_repeatable=False)
        except NotFound as error:
            raise _Lost from error
        except Unavailable as error:
            if not is_passing(error) and not (isinstance(error, RegistryError) and error.status == 416):
                raise
            return self._resumed(location, offset, error)
        self._patience.renew()
        return self._location(answer, location), end

    def _resumed(self, location: str, offset: int, error: Unavailable) -> tuple[str, int]:
        """Ask how far the registry has come."""
        if not self._patience.wait(self._deed):
            raise error
        try:
            answer = self._send("GET", location, (204, 202, 200))
        except NotFound as lost:
            raise _Lost from lost
        come = upload_end(answer.headers.get("Range", ""))
        if not come or come > self._descriptor.size:  # nothing, or one byte: "0-0" stands for both
            raise _Lost
        if come > offset:
            self._patience.renew()
        return self._location(answer, location), come

    def _finish(self, location: str, offset: int) -> None:
        """Send what is left from `offset` on and give the upload its name."""
        digest = self._descriptor.digest
        url = f"{location}{'&' if urlsplit(location).query else '?'}{urlencode({'digest': str(digest)})}"
        left = self._descriptor.size - offset
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(left)}
        body = self._source.piece(offset, left) if left else None
        try:
            answer = self._send("PUT", url, (201, 204), headers=headers, body=body, is_repeatable=False, is_slow=True)
        except NotFound as error:
            raise _Lost from error
        check_digest(answer, digest, self._deed)


def check_digest(answer: Answer, digest: Digest, deed: str) -> None:
    """Compare the digest that a registry says it has stored. Raises DigestMismatch."""
    said = answer.headers.get("Docker-Content-Digest")
    if said and said != str(digest) and said.partition(":")[0] == digest.algorithm:
        raise DigestMismatch(f"{deed}: {answer.host} has stored something else")


class _Source:
    """The bytes of a blob, read once from start to end where nothing breaks."""

    def __init__(self, opened: Callable[[], Iterable[bytes]], descriptor: Descriptor) -> None:
        self._opened = opened
        self._descriptor = descriptor
        self._chunks: Iterator[bytes] | None = None
        self._rest = memoryview(b"")
        self._at = 0

    def piece(self, offset: int, length: int) -> Callable[[], Iterator[memoryview]]:
        """Give what gives the bytes from `offset` on."""
        return lambda: self._take(offset, length)

    def _take(self, offset: int, length: int) -> Iterator[memoryview]:
        if self._chunks is None or offset < self._at:
            self._chunks, self._rest, self._at = iter(self._opened()), memoryview(b""), 0
        while self._at < offset:
            self._next(offset - self._at)
        end = offset + length
        while self._at < end:
            yield self._next(end - self._at)
        if end == self._descriptor.size and (self._rest or next(self._chunks, b"")):
            raise SizeMismatch(f"{self._descriptor.digest}: the source has more than {self._descriptor.size} bytes")

    def _next(self, limit: int) -> memoryview:
        assert self._chunks is not None
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise SizeMismatch(
                    f"{self._descriptor.digest}: the source ends after {self._at} of {self._descriptor.size} bytes"
                )
            self._rest = memoryview(chunk)
        piece, self._rest = self._rest[:limit], self._rest[limit:]
        self._at += len(piece)
        return piece


def missing_blob(digest: Digest, registry: str) -> BlobNotFound:
    """Give the exception for a blob that is not there."""
    return BlobNotFound(f"{registry} has no blob {digest}")
