"""Where the bytes of a blob come from: its descriptor, a mirror, the registry, or for a foreign layer its own URLs."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from pyrt.errors import BlobNotFound, DigestMismatch, PyrtError, SizeMismatch, Unavailable
from pyrt.oci.descriptor import Descriptor
from pyrt.registry.download import Blob, Stream
from pyrt.registry.endpoints import Endpoint, origin
from pyrt.registry.errors import shown_url
from pyrt.registry.exchange import Answer, Exchange, Request
from pyrt.registry.parallel import adaptive
from pyrt.registry.retry import Cancelled, Patience
from pyrt.registry.transport import Broken

__all__ = ["open_blob"]

_ACCEPTED = frozenset({200, 206})


def open_blob(
    exchange: Exchange,
    endpoints: Sequence[Endpoint],
    repository: str,
    descriptor: Descriptor,
    cancelled: Cancelled | None,
    *,
    verify: bool,
    connections: int | None,
) -> AbstractContextManager[Iterator[bytes]]:
    """Open a blob; the first request is answered when this returns. Raises BlobNotFound."""
    if descriptor.data:
        return _embedded(descriptor)
    source = _Source(exchange, endpoints, repository, descriptor)
    deed = f"fetch {descriptor.digest} of {endpoints[-1].registry}/{repository}"

    def part(first: int, end: int, stopped: Cancelled) -> Stream:
        patience = exchange.patience(lambda: stopped() or (cancelled is not None and cancelled()))
        return Stream(deed, source.open, patience, descriptor, first, end, is_part=True)

    stream = Stream(deed, source.open, exchange.patience(cancelled), descriptor)
    stream.begin()
    options = exchange.options
    arriving = adaptive(stream, part, connections or options.parallel, options)
    return Blob(stream, arriving, descriptor, verify=verify)


@contextmanager
def _embedded(descriptor: Descriptor) -> Generator[Iterator[bytes], None, None]:
    """Give the content that a descriptor brings along (image-spec descriptor.md, "Embedded Content")."""
    if len(descriptor.data) != descriptor.size:
        raise SizeMismatch(f"{descriptor.digest}: the content in the descriptor is not of the size that it says")
    hasher = descriptor.digest.hasher()
    hasher.update(descriptor.data)
    if hasher.hexdigest() != descriptor.digest.hex:
        raise DigestMismatch(f"{descriptor.digest}: the content in the descriptor has another digest")
    yield iter((descriptor.data,))


class _Source:
    """The first of several places that has a blob; it stays the place."""

    def __init__(
        self, exchange: Exchange, endpoints: Sequence[Endpoint], repository: str, descriptor: Descriptor
    ) -> None:
        self._exchange = exchange
        self._endpoints = endpoints
        self._repository = repository
        self._descriptor = descriptor
        self._foreign: str | None = None

    def open(self, headers: dict[str, str], patience: Patience) -> Answer:
        """Send a request for the blob or a range of it."""
        if self._foreign:
            return self._fetch(self._foreign, headers, patience)
        digest = self._descriptor.digest
        scopes = frozenset({f"repository:{self._repository}:pull"})
        path = f"/v2/{self._repository}/blobs/{digest}"
        deed = f"fetch {digest} of {self._endpoints[-1].registry}/{self._repository}"
        request = Request(deed, "GET", path, scopes, headers, accepted=_ACCEPTED, missing=BlobNotFound)
        try:
            return self._exchange.send(request, self._endpoints, patience)
        except BlobNotFound as error:
            if not self._descriptor.urls:
                raise
            return self._elsewhere(headers, patience, error)

    def _elsewhere(self, headers: dict[str, str], patience: Patience, missing: BlobNotFound) -> Answer:
        """Try the URLs of a foreign layer, which registries need not have."""
        failures: list[PyrtError] = []
        for url in self._descriptor.urls:
            try:
                answer = self._fetch(url, headers, patience)
            except (PyrtError, Broken) as error:
                failures.append(error if isinstance(error, PyrtError) else Unavailable(str(error)))
                continue
            self._foreign = url
            return answer
        tried = "; ".join(map(str, failures))
        raise BlobNotFound(f"{missing}; nor do the layer's own URLs give it: {tried}") from missing

    def _fetch(self, url: str, headers: dict[str, str], patience: Patience) -> Answer:
        deed = f"fetch {self._descriptor.digest} from {shown_url(url)}"
        try:
            origin(url)
        except ValueError:
            raise BlobNotFound(f"{deed}: this is no http(s) URL") from None
        request = Request(deed, "GET", url, headers=headers, accepted=_ACCEPTED, missing=BlobNotFound, is_public=True)
        return self._exchange.send(request, self._endpoints[-1:], patience)
