"""Docker's events: what has happened to the containers, images and so on of a root, in a journal that all share.

The journal is `<root>/events`, one JSON object a line, each appended by one write; whoever finds it too long renames it
to `events.1`, and that to `events.2`. A writer holds a shared lock on the file it writes to, and who renames it an
exclusive one, so that nothing is written to a file that was put aside.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from pyrt._native.flock import FileLock
from pyrt.errors import InvalidArgument, SyscallError
from pyrt.state.event_filters import EventFilters, event_chooser
from pyrt.state.following import Following
from pyrt.state.journal import LONGEST_LINE_BYTES, Journal
from pyrt.state.moment import Moment, parse_moment

__all__ = ["Event", "EventLog"]

LIMIT_BYTES = 4 << 20
KEPT = 2
_SECOND = 1_000_000_000
_BEGINNING = b'{"Type":"'
_WITH_STATUS = frozenset({"container", "image"})  # whose events have had names of fields before they had types
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that has happened: `type` "container", `action` "start", to what (`id`), and what else there is to say
    in `attributes`.
    """

    type: str
    action: str
    id: str
    attributes: Mapping[str, str]
    time_ns: int
    scope: str = "local"

    @property
    def attrs(self) -> dict[str, Any]:
        """The object of docker's `GET /events`."""
        older = {"status": self.action, "id": self.id} if self.type in _WITH_STATUS else {}
        if self.type == "container":
            older["from"] = self.attributes.get("image", "")
        return older | self._document()

    @property
    def line(self) -> bytes:
        """The same as a line of JSON."""
        return _line(self.attrs)

    def to_json(self) -> bytes:
        """Give the line that is kept, with its newline."""
        return _line(self._document())

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        """Read a line that was kept. Raises ValueError for what is none."""
        document = json.loads(line)
        try:
            actor = document["Actor"]
            attributes, time_ns = actor.get("Attributes") or {}, document["timeNano"]
            texts = document["Type"], document["Action"], actor["ID"], document.get("scope", "local")
        except (AttributeError, KeyError, TypeError) as e:
            raise ValueError("no event") from e
        if not isinstance(attributes, dict) or type(time_ns) is not int or time_ns < 0:
            raise ValueError("no event")
        if not all(isinstance(text, str) for text in (*texts, *attributes, *attributes.values())):
            raise ValueError("no event")
        kind, action, id, scope = texts
        return cls(kind, action, id, attributes, time_ns, scope)

    def _document(self) -> dict[str, Any]:
        return {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": dict(self.attributes)},
            "scope": self.scope,
            "time": self.time_ns // _SECOND,
            "timeNano": self.time_ns,
        }


class EventLog:
    """The events of a root, of all processes that use it. Thread-safe; holds nothing open."""

    def __init__(self, root: str | os.PathLike[str], *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = os.path.join(root, "events")
        self._limit_bytes = limit_bytes

    def append(self, type: str, action: str, id: str, attributes: Mapping[str, str] | None = None) -> Event:
        """Say that something has happened now; give the event. Raises SyscallError, as for a full disk."""
        event = Event(type, action, id, dict(attributes or {}), time.time_ns())
        line = event.to_json()
        if len(line) > LONGEST_LINE_BYTES:
            raise InvalidArgument(f"an event of {len(line)} bytes is longer than what readers take", argument=action)
        with FileLock(self._path, shared=True) as lock:
            try:
                fcntl.fcntl(lock.fileno(), fcntl.F_SETFL, os.O_APPEND)
                written = os.write(lock.fileno(), line)
                size = os.fstat(lock.fileno()).st_size
            except OSError as e:
                raise SyscallError(e.errno or errno.EIO, "write", self._path) from e
        if written < len(line):
            raise SyscallError(errno.ENOSPC, "write", self._path)
        if size >= self._limit_bytes:
            self._rotate()
        return event

    def read(
        self, since: Moment | None = None, until: Moment | None = None, filters: EventFilters | None = None
    ) -> Iterator[Event]:
        """Give the events there are, the oldest first.

        `filters` are container, image, label, network, scope, type, volume and event (or action), each with one value
        or several: see event_chooser. Raises InvalidOption.
        """
        parse = _parser(_moment(since, "since"), _moment(until, "until"), filters, lambda event: event)
        return self._read(parse)

    def follow(
        self, since: Moment | None = None, until: Moment | None = None, filters: EventFilters | None = None
    ) -> Following[Event]:
        """Give events as they come, until `until`, or until what this gives is closed, by any thread.

        With `since` or `until` those that have been before come first, as in docker. Raises InvalidOption.
        """
        return self.follow_as(lambda event: event, since, until, filters)

    def follow_as(
        self,
        give: Callable[[Event], T],
        since: Moment | None = None,
        until: Moment | None = None,
        filters: EventFilters | None = None,
    ) -> Following[T]:
        """Give what `give` makes of events as they come: see follow."""
        until_ns = _moment(until, "until")
        parse = _parser(_moment(since, "since"), until_ns, filters, give)

        def start(journal: Journal) -> None:
            if since is None and until is None:
                journal.skip_all()

        return Following(self._path, parse, start=start, until_ns=until_ns)

    def _read(self, parse: Callable[[bytes], Iterable[T]]) -> Iterator[T]:
        with Journal(self._path) as journal:
            for block in journal.present():
                yield from parse(block)

    def _rotate(self) -> None:
        lock = FileLock.attempt(self._path)
        if lock is None:
            return  # others are writing, and one of them will do it
        with lock:
            if os.fstat(lock.fileno()).st_size < self._limit_bytes:
                return
            for number in range(KEPT, 0, -1):
                with suppress(FileNotFoundError):
                    os.rename(f"{self._path}.{number - 1}" if number > 1 else self._path, f"{self._path}.{number}")


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _moment(value: Moment | None, argument: str) -> int | None:
    return None if value is None else parse_moment(value, argument)


def _parser(
    since_ns: int | None, until_ns: int | None, filters: EventFilters | None, give: Callable[[Event], T]
) -> Callable[[bytes], Iterable[T]]:
    """Give the function that gives what is wanted of a block of lines."""
    chooses = event_chooser(filters)

    def parse(block: bytes) -> Iterator[T]:
        for event in filter(None, map(_event, block.split(b"\n"))):
            is_late_enough = since_ns is None or event.time_ns >= since_ns
            if is_late_enough and (until_ns is None or event.time_ns <= until_ns) and chooses(event):
                yield give(event)

    return parse


def _event(line: bytes) -> Event | None:
    """Read a line; None where it is none. After a line that a full disk or a crash has cut off, another may begin."""
    at = 0 if line else -1
    while at >= 0:
        with suppress(ValueError, RecursionError):
            return Event.from_json(line[at:])
        at = line.find(_BEGINNING, at + 1)
    return None
