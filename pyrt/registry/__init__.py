"""Registries: the client side of the distribution specification.

Takes References, Descriptors and bytes; gives Descriptors, Manifests, Indexes and verified streams of bytes, through
RegistryClient and its Repositories. Raises Unauthorized, Forbidden, ImageNotFound, BlobNotFound, DigestMismatch,
SizeMismatch, RegistryError and Unavailable, InvalidOption and InvalidArgument for what the user has configured, and
Unsupported. Nothing here loads urllib3 before a client is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrt.registry.client import RegistryClient
    from pyrt.registry.credentials import Credentials
    from pyrt.registry.options import RegistryOptions
    from pyrt.registry.repository import Repository

__all__ = ["Credentials", "RegistryClient", "RegistryOptions", "Repository"]

_HOMES = {
    "Credentials": "credentials",
    "RegistryClient": "client",
    "RegistryOptions": "options",
    "Repository": "repository",
}


def __getattr__(name: str) -> object:
    """Load a name from its module when it is asked for (PEP 562): urllib3 takes 50 ms."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
