"""Blobs: bytes that are named by their digest.

Takes bytes as they come, a Digest and a size; gives them back, as a path, a file or bytes, once they are what their
name says. ContentStore is the contract, LocalStore the one on disk. Raises BlobNotFound, DigestMismatch, SizeMismatch,
ResourceBusy (a wait was cancelled) and SyscallError.
"""

from __future__ import annotations

from pyrt.content.ingest import Ingest
from pyrt.content.local import LocalStore
from pyrt.content.store import MAX_READ_BYTES, ContentStore

__all__ = ["MAX_READ_BYTES", "ContentStore", "Ingest", "LocalStore"]
