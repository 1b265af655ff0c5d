"""The client of registries: one for an engine, with its connections and what it has learnt of each registry."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import TracebackType

from pyrt.oci.reference import Reference
from pyrt.registry import listing
from pyrt.registry.endpoints import endpoints
from pyrt.registry.exchange import Exchange, Request
from pyrt.registry.options import RegistryOptions
from pyrt.registry.repository import Repository
from pyrt.registry.retry import Cancelled

__all__ = ["RegistryClient"]


class RegistryClient:
    """Connections to registries; thread-safe. Nothing is sent before a verb of a Repository is called."""

    def __init__(self, options: RegistryOptions | None = None) -> None:
        self.options = RegistryOptions() if options is None else options
        self._exchange = Exchange(self.options)

    def repository(self, reference: Reference, *, cancelled: Cancelled | None = None) -> Repository:
        """Give the repository of a reference; its verbs end with Unavailable when `cancelled` returns True."""
        return Repository(self._exchange, reference, cancelled)

    def catalog(self, registry: str, *, cancelled: Cancelled | None = None) -> Iterator[str]:
        """Give the names of all repositories of a registry, where it lets us know them."""
        own = endpoints(registry, self.options, mirrors=False)
        scopes = frozenset({"registry:catalog:*"})
        request = Request(f"list the repositories of {registry}", "GET", "/v2/_catalog", scopes)
        return listing.names(self._exchange, own, request, "repositories", cancelled)

    def close(self) -> None:
        """Close the connections; what other threads have under way fails with Unavailable. May be called twice."""
        self._exchange.transport.close()

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        exchange = getattr(self, "_exchange", None)
        if exchange is not None and not exchange.transport.is_closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()
