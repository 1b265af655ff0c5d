"""What has to survive: records in one SQLite database, leases on what is in use, locks; lines in files that rotate.

Takes a path; gives Database (transactions of any number of processes at once), Records (values by kind and key, as
msgpack with a version), Leases (names that a collector leaves alone while their holder lives), FileLock, Journal and
Following (lines that others append to a file and rotate, and those that come), and EventLog (docker's events). Raises
ResourceBusy (others took too long), IntegrityError (a damaged file), Unsupported (written by a newer pyrt), KeyError
(no such record), InvalidOption (a time or filter that is none) and SyscallError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrt._native.flock import FileLock
from pyrt.state.root import default_root, open_root

if TYPE_CHECKING:
    from pyrt.state.database import Database, Transaction
    from pyrt.state.event_filters import EventFilters
    from pyrt.state.events import Event, EventLog
    from pyrt.state.following import Following
    from pyrt.state.journal import Journal, JournalFile
    from pyrt.state.leases import Lease, Leases
    from pyrt.state.moment import Moment, parse_moment, stamp
    from pyrt.state.records import Records

__all__ = [
    "Database",
    "Event",
    "EventFilters",
    "EventLog",
    "FileLock",
    "Following",
    "Journal",
    "JournalFile",
    "Lease",
    "Leases",
    "Moment",
    "Records",
    "Transaction",
    "default_root",
    "open_root",
    "parse_moment",
    "stamp",
]

_HOMES = {
    "Database": "database",
    "Transaction": "database",
    "Event": "events",
    "EventFilters": "event_filters",
    "EventLog": "events",
    "Following": "following",
    "Journal": "journal",
    "JournalFile": "journal",
    "Lease": "leases",
    "Leases": "leases",
    "Moment": "moment",
    "parse_moment": "moment",
    "stamp": "moment",
    "Records": "records",
}


def __getattr__(name: str) -> object:
    """Load SQLite and msgpack when something that needs them is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"pyrt.state.{_HOMES[name]}"), name)
