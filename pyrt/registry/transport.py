"""Connections: one request goes out, one answer comes back, or Broken says why not.

No redirects, no authentication, no retries here: see exchange. Addresses are checked before connecting, and once more
on the connected socket, so that a name whose address changes in between leads nowhere.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.response import BaseHTTPResponse

from pyrt.errors import Unavailable, Unsupported
from pyrt.registry.connection import Line, PrivateAddress, pool_classes
from pyrt.registry.endpoints import Endpoint, certificates, is_private, origin
from pyrt.registry.options import RegistryOptions

__all__ = ["Body", "Broken", "Transport"]

Body = bytes | Callable[[], Iterable[bytes | memoryview]] | None
_POOL_SIZE = 128
_SLOWER = 10  # times longer is waited for an answer that takes the registry some work


class Broken(Exception):
    """A request that got no answer. `is_tls`: there was no TLS to talk to; `is_unsent`: no connection was made."""

    def __init__(self, why: str, *, is_tls: bool = False, is_unsent: bool = False) -> None:
        super().__init__(why)
        self.is_tls = is_tls
        self.is_unsent = is_unsent


class Transport:
    """Pools of connections, one for each origin; thread-safe. `close` ends what is under way in other threads."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._pools: dict[tuple[Any, ...], urllib3.PoolManager] = {}
        self._now = threading.local()  # .check: whether the request that this thread has under way is still wanted
        self._lines: list[Line] = []
        self._pid = os.getpid()
        self.is_closed = False

    def send(
        self,
        method: str,
        url: str,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        body: Body = None,
        check: Callable[[], None] | None = None,
        is_slow: bool = False,
    ) -> BaseHTTPResponse:
        """Send one request; give the answer with its body unread.

        `check` is asked while the answer is waited for and read, and raises where it is no longer wanted. Raises
        Broken, PrivateAddress and Unavailable.
        """
        self._check_open()
        self._now.check = check
        options = self._options
        connect = options.connect_timeout_seconds if body is None else options.read_timeout_seconds
        timeout = urllib3.Timeout(connect=connect, read=options.read_timeout_seconds * (_SLOWER if is_slow else 1))
        try:
            response: BaseHTTPResponse = self._pool(url, endpoint).urlopen(
                method,
                url,
                headers=headers,
                body=body() if callable(body) else body,
                timeout=timeout,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _broken(error) from error
        return response

    def _check_open(self) -> None:
        if self.is_closed:
            raise Unavailable("the registry client is closed")

    def _check_of_now(self) -> Callable[[], None]:
        check = self._now.check

        def is_wanted() -> None:
            self._check_open()
            if check is not None:
                check()

        return is_wanted

    def close(self) -> None:
        """Close all connections; reads that are blocked in other threads end."""
        self.is_closed = True
        with self._lock:
            lines, self._lines, self._pools = self._lines, [], {}
        for pool in [pool for line in lines for pool in line.pools]:
            pool.close()

    def _pool(self, url: str, endpoint: Endpoint) -> urllib3.PoolManager:
        where = origin(url)
        is_own = any(where == origin(each) for each in endpoint.urls)
        is_insecure = is_own and endpoint.is_insecure
        is_guarded = not is_own and not leads_inside(urlsplit(endpoint.urls[0]).hostname or "")
        key = (*where, is_insecure, is_guarded)
        with self._lock:
            if self._pid != os.getpid():  # a forked child must not talk on its parent's connections
                self._pools, self._lines, self._pid = {}, [], os.getpid()
            if key not in self._pools:
                self._pools[key] = self._new_pool(where, is_insecure=is_insecure, is_guarded=is_guarded)
            pool = self._pools[key]
        if is_guarded and leads_inside(where[1]):
            raise PrivateAddress(where[1])
        return pool

    def _new_pool(self, where: tuple[str, str, int], *, is_insecure: bool, is_guarded: bool) -> urllib3.PoolManager:
        scheme, host, port = where
        settings: dict[str, Any] = {"num_pools": 2, "maxsize": _POOL_SIZE, "retries": False}
        if scheme == "https":
            name = host if port == 443 else f"{host}:{port}"
            settings["ssl_context"] = certificates(name, self._options, is_insecure=is_insecure)
        proxy = proxy_for(scheme, host, port)
        try:
            pool = (
                urllib3.ProxyManager(proxy, **settings, **_login(proxy)) if proxy else urllib3.PoolManager(**settings)
            )
        except urllib3.exceptions.ProxySchemeUnknown:
            reason = "its URL in the environment must begin with http:// or https://"
            raise Unsupported("a proxy for registries", reason) from None
        line = Line(self._check_of_now, is_guarded=is_guarded and proxy is None, is_verified=not is_insecure)
        self._lines.append(line)
        pool.pool_classes_by_scheme = pool_classes(line)
        return pool


def proxy_for(scheme: str, host: str, port: int) -> str | None:
    """Give the proxy that the environment names for a host; none for this machine itself."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(f"{host}:{port}", proxies) or proxy_bypass(host, proxies):
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None if host == "localhost" or host.endswith(".localhost") else _with_scheme(proxy)
    return None if address.is_loopback or _in_networks(address, proxies.get("no", "")) else _with_scheme(proxy)


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _in_networks(address: ipaddress.IPv4Address | ipaddress.IPv6Address, listed: str) -> bool:
    for text in listed.split(","):
        try:
            if "/" in text and address in ipaddress.ip_network(text.strip(), strict=False):
                return True
        except (ValueError, TypeError):
            continue
    return False


def _login(proxy: str) -> dict[str, Any]:
    user, at, _ = urlsplit(proxy).netloc.rpartition("@")
    return {"proxy_headers": urllib3.make_headers(proxy_basic_auth=unquote(user))} if at else {}


def leads_inside(host: str) -> bool:
    """Say whether any address of a host is private; a host that does not resolve has none."""
    try:
        return is_private(host)
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(is_private(str(entry[4][0])) for entry in found)


def _broken(error: Exception) -> Broken:
    """Say what befell a request, in words that hold no URL."""
    if isinstance(error, urllib3.exceptions.ProxyError):
        return Broken(f"is behind a proxy that fails: {_root(error)}", is_unsent=True)
    if isinstance(error, urllib3.exceptions.SSLError):
        return Broken(f"fails at TLS: {_root(error)}", is_tls=True, is_unsent=True)
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return Broken("does not resolve", is_unsent=True)
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return Broken(f"cannot be reached: {_root(error)}", is_unsent=True)
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return Broken("does not answer to connections", is_unsent=True)
    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        return Broken("has stalled")
    return Broken(f"has cut the connection: {_root(error)}")


def _root(error: BaseException) -> str:
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
