"""The simplest records: numbers by name."""

from __future__ import annotations

from pyrt.state import Database, Records

__all__ = ["items", "put", "records"]


def records(database: Database) -> Records[int]:
    return Records(database, "number", 1, lambda value: value, lambda document: document)


def put(database: Database, key: str, value: int) -> None:
    with database.write() as tx:
        records(database).put(tx, key, value)


def items(database: Database) -> dict[str, int]:
    with database.read() as tx:
        return dict(records(database).items(tx))
