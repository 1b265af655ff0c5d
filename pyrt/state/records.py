"""Values by kind and key, as msgpack documents that know their version.

Takes a value and the functions that turn it into a document and back; gives it again, also to later versions of pyrt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import msgpack

from pyrt.errors import Unsupported
from pyrt.state.database import Database, Transaction
from pyrt.state.failure import damaged

__all__ = ["Records"]

T = TypeVar("T")
Document = Any  # what msgpack holds: None, bool, int (64 bits), float, str, bytes, and lists and dicts of these


class Records(Generic[T]):
    """The records of one `kind`.

    `encode` gives the document of a value, `decode` the value of a document of this `version`; tuples come back as
    lists. A document of an older version n goes through `upgrades[n]`, which gives that of version n + 1, and so on,
    when it is read; a newer one is refused: Unsupported. What does not decode raises IntegrityError.
    """

    def __init__(
        self,
        database: Database,
        kind: str,
        version: int,
        encode: Callable[[T], Document],
        decode: Callable[[Document], T],
        *,
        upgrades: Mapping[int, Callable[[Document], Document]] | None = None,
    ) -> None:
        self._path = database.path
        self._kind = kind
        self._version = version
        self._encode = encode
        self._decode = decode
        self._upgrades = upgrades or {}

    def get(self, tx: Transaction, key: str) -> T:
        """Give the value of a key. Raises KeyError where it has none."""
        rows = tx.execute("SELECT version, value FROM records WHERE kind = ? AND key = ?", self._kind, key)
        if not rows:
            raise KeyError(key)
        return self._read(key, *rows[0])

    def has(self, tx: Transaction, key: str) -> bool:
        """Whether a key has a value."""
        return bool(tx.execute("SELECT 1 FROM records WHERE kind = ? AND key = ?", self._kind, key))

    def keys(self, tx: Transaction) -> frozenset[str]:
        """Give all keys, without reading a value."""
        return frozenset(key for (key,) in tx.execute("SELECT key FROM records WHERE kind = ?", self._kind))

    def put(self, tx: Transaction, key: str, value: T) -> None:
        """Set the value of a key, in a write transaction."""
        tx.require_write()
        packed = msgpack.packb(self._encode(value), use_bin_type=True, unicode_errors="surrogateescape")
        statement = "INSERT OR REPLACE INTO records (kind, key, version, value) VALUES (?, ?, ?, ?)"
        tx.execute(statement, self._kind, key, self._version, packed)

    def delete(self, tx: Transaction, key: str) -> None:
        """Remove a key with its value, in a write transaction; one that is not there is no error."""
        tx.require_write()
        tx.execute("DELETE FROM records WHERE kind = ? AND key = ?", self._kind, key)

    def items(self, tx: Transaction, prefix: str = "") -> Iterator[tuple[str, T]]:
        """Give all keys that begin with `prefix`, in the order of their UTF-8, with their values."""
        statement = "SELECT key, version, value FROM records WHERE kind = ? AND key >= ? ORDER BY key"
        for key, version, value in tx.execute(statement, self._kind, prefix):
            if not key.startswith(prefix):
                return
            yield key, self._read(key, version, value)

    def _read(self, key: str, version: int, packed: bytes) -> T:
        if version > self._version:
            what = f"the {self._kind} {key} of {self._path}"
            raise Unsupported(
                what, f"a newer pyrt wrote it (version {version}, this one knows {self._version}): upgrade"
            )
        try:
            document = msgpack.unpackb(packed, raw=False, strict_map_key=False, unicode_errors="surrogateescape")
            for step in range(version, self._version):
                document = self._upgrades[step](document)
            return self._decode(document)
        except Exception as e:
            raise damaged(self._path, f"{self._kind} {key}: {type(e).__name__}: {e}") from e
