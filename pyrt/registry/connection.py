"""Connections that look whom they have reached, and that can be called off while they wait for an answer.

urllib3's own, with two things added. A guarded one closes where its peer has a private address, before a word is said:
the name may have meant another address when it was looked up. And a read wakes up ten times a second to ask whether it
is still wanted; a peer that sends next to nothing for the whole of the read timeout counts as stalled.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from pyrt.registry.endpoints import is_private

__all__ = ["Line", "PrivateAddress", "pool_classes"]

_TICK_SECONDS = 0.1
_LEAST_BYTES = 1024  # in one read timeout


class PrivateAddress(Exception):
    """A connection that a registry has sent us to and that leads into a private network."""


@dataclass(frozen=True, slots=True)
class Line:
    """How connections of one pool behave. `check` gives what raises where the request under way is not wanted."""

    check: Callable[[], Callable[[], None]]
    is_guarded: bool
    is_verified: bool
    pools: list[urllib3.HTTPConnectionPool] = field(default_factory=list)  # those made so far


class _Patient(io.RawIOBase):
    """The bytes that come from a socket."""

    def __init__(self, connected: socket.socket, check: Callable[[], None]) -> None:
        self._held = connected.makefile("rb", buffering=0)  # keeps the socket open as long as this is
        self._socket = connected
        self._check = check
        self._limit_seconds = connected.gettimeout() or 0.0
        self._waited_seconds = 0.0
        self._arrived = 0
        connected.settimeout(min(_TICK_SECONDS, self._limit_seconds))  # the next request sets its own

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            self._check()
            began = time.monotonic()
            try:
                count = self._socket.recv_into(buffer)
            except TimeoutError:
                count = -1
            self._waited_seconds += time.monotonic() - began
            self._arrived += max(count, 0)
            if self._arrived >= _LEAST_BYTES or count == 0:
                self._waited_seconds, self._arrived = 0.0, 0
            elif self._waited_seconds >= self._limit_seconds:
                raise TimeoutError("timed out")
            if count >= 0:
                return count

    def close(self) -> None:
        if not self.closed:
            self._held.close()
            super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, connected: socket.socket, *args: Any, check: Callable[[], None], **given: Any) -> None:
        super().__init__(connected, *args, **given)
        plain, self.fp = self.fp, io.BufferedReader(_Patient(connected, check))
        plain.close()

    def begin(self) -> None:
        super().begin()
        lengths = ",".join(self.headers.get_all("Content-Length", [])).split(",")
        if len({each.strip() for each in lengths}) > 1:  # urllib3 says so too, but lets go of the connection open
            raise http.client.HTTPException("Content-Length is given twice")


class _Connection(HTTPConnection):
    """urllib3's, watched. The one for TLS adds itself between this and its own base."""

    def __init__(self, line: Line, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._line = line

    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        peer = str(connected.getpeername()[0])
        if self._line.is_guarded and is_private(peer):
            connected.close()
            raise PrivateAddress(peer)
        return connected

    def getresponse(self) -> Any:
        self.response_class: Any = partial(_Response, check=self._line.check())
        return super().getresponse()


class _TLSConnection(_Connection, HTTPSConnection):
    """The same over TLS: its super() is urllib3's HTTPSConnection."""


class _TLSPool(urllib3.HTTPSConnectionPool):
    def __init__(self, line: Line, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._line = line
        line.pools.append(self)
        self.ConnectionCls = cast(Any, partial(_TLSConnection, line))

    def _validate_conn(self, conn: Any) -> None:
        if self._line.is_verified:
            super()._validate_conn(conn)
        elif conn.is_closed:  # the user has named this registry insecure: urllib3 would warn at each connection
            conn.connect()


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, line: Line, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        line.pools.append(self)
        self.ConnectionCls = cast(Any, partial(_Connection, line))


def pool_classes(line: Line) -> dict[str, Any]:
    """Give what urllib3.PoolManager.pool_classes_by_scheme takes."""
    return {"http": partial(_Pool, line), "https": partial(_TLSPool, line)}
