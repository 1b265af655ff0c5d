"""The tables of the database, as the steps that lead to them.

A step is never changed once it has been released: another one is added. PRAGMA user_version counts those a file has.
"""

from __future__ import annotations

__all__ = ["STEPS"]

STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL,"
        " PRIMARY KEY (kind, key))",
        "CREATE TABLE leases (owner TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (owner, name)) WITHOUT ROWID",
    ),
)
