"""Answers to WWW-Authenticate: bearer tokens from a token server, or basic (distribution, "Token Authentication").

Takes the challenges of a registry and the scopes that a request needs, gives the value of an Authorization header. A
registry that does not ask is never told who we are, and is not asked whether it asks. What one has asked is remembered,
so that its next request carries a token from the start.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from pyrt.errors import PyrtError, Unauthorized
from pyrt.registry.credentials import Credentials
from pyrt.registry.endpoints import Endpoint, origin
from pyrt.registry.errors import broken, refusal, shown_url
from pyrt.registry.headers import Challenge

__all__ = ["Authorizer", "Fetch"]

_DEFAULT_SECONDS = 60  # how long a token lasts whose server does not say
_MARGIN_SECONDS = 10
_LONGEST_SECONDS = 24 * 3600
_MAX_TOKEN = 64 << 10
_CLIENT = "pyrt"

FindCredentials = Callable[[str, str], Credentials | None]
Key = tuple[str, frozenset[str]]


class Fetch(Protocol):
    """Send one request to a token server, with retries; give status and body."""

    def __call__(
        self, endpoint: Endpoint, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]: ...


@dataclass(slots=True)
class _Known:
    """What is known of one registry: how it wants to be answered, and what it has given."""

    challenge: Challenge | None = None
    tokens: dict[frozenset[str], tuple[str, float]] = field(default_factory=dict)  # header value, end (monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Authorizer:
    """The authorizations of one client, by registry and scope; thread-safe."""

    def __init__(self, find: FindCredentials, fetch: Fetch) -> None:
        self._find = find
        self._fetch = fetch
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def header(self, endpoint: Endpoint, scopes: frozenset[str]) -> str | None:
        """Give the Authorization for a request, None where the registry has not asked for one."""
        known = self._of(endpoint)
        with known.lock:
            if known.challenge is None:
                return None
            return self._current(known, scopes) or self._obtain(known, endpoint, known.challenge, scopes)

    def known(self, endpoint: Endpoint, scopes: frozenset[str]) -> str | None:
        """Give the Authorization that such a request has had, if any; nothing is fetched."""
        return self._of(endpoint).tokens.get(scopes, (None, 0.0))[0]

    def answer(
        self, endpoint: Endpoint, challenges: Iterable[Challenge], scopes: frozenset[str], refused: str | None
    ) -> str | None:
        """Give the Authorization that meets a 401; None where there is nothing better than `refused`.

        Raises Unauthorized where the token server refuses, Unavailable where it is not there.
        """
        known = self._of(endpoint)
        offered = {challenge.scheme: challenge for challenge in challenges}
        challenge = offered.get("bearer") or offered.get("basic")
        if challenge is None:
            raise Unauthorized(f"{endpoint.host} offers only {', '.join(offered) or 'no way'} to authenticate")
        with known.lock:
            known.challenge = challenge
            current = self._current(known, scopes)
            if current is not None and current != refused:  # another thread has been here
                return current
            known.tokens.pop(scopes, None)
            wanted = scopes | frozenset(challenge.parameters.get("scope", "").split())
            fresh = self._obtain(known, endpoint, challenge, scopes, wanted)
            return None if fresh == refused else fresh

    def _of(self, endpoint: Endpoint) -> _Known:
        with self._lock:
            return self._known.setdefault(endpoint.registry, _Known())

    @staticmethod
    def _current(known: _Known, scopes: frozenset[str]) -> str | None:
        value, end = known.tokens.get(scopes, (None, 0.0))
        return value if time.monotonic() < end else None

    def _obtain(
        self,
        known: _Known,
        endpoint: Endpoint,
        challenge: Challenge,
        scopes: frozenset[str],
        wanted: frozenset[str] | None = None,
    ) -> str | None:
        credentials = self._find(endpoint.registry, _repository(scopes))
        if challenge.scheme == "basic":
            value = credentials.basic if credentials and credentials.username else None
            seconds = float(_LONGEST_SECONDS)
        else:
            token, seconds = self._token(endpoint, challenge, wanted or scopes, credentials)
            value = f"Bearer {token}"
        if value is not None:
            known.tokens[scopes] = (value, time.monotonic() + max(seconds - _MARGIN_SECONDS, seconds / 2))
        return value

    def _token(
        self, endpoint: Endpoint, challenge: Challenge, scopes: frozenset[str], credentials: Credentials | None
    ) -> tuple[str, float]:
        realm = challenge.parameters.get("realm", "")
        deed = f"get a token for {endpoint.registry}"
        _check_realm(realm, endpoint, deed)
        service = challenge.parameters.get("service", "")
        asked = [("service", service)] * bool(service)
        headers: dict[str, str] = {}
        secrets: tuple[str, ...] = ()
        if credentials and credentials.identity_token:
            form = [("grant_type", "refresh_token"), ("refresh_token", credentials.identity_token)]
            form += [("client_id", _CLIENT), ("scope", " ".join(sorted(scopes))), *asked]
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            secrets = (credentials.identity_token,)
            status, body = self._fetch(endpoint, "POST", realm, headers, urlencode(form).encode())
        else:
            asked += [("scope", scope) for scope in sorted(scopes)]
            if credentials:
                asked.append(("account", credentials.username))
                headers["Authorization"] = credentials.basic
                secrets = (credentials.password, credentials.basic.removeprefix("Basic "))
            url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(asked)}" if asked else realm
            status, body = self._fetch(endpoint, "GET", url, headers, None)
        if status != 200:
            raise _refused(deed, realm, status, body, secrets)
        return _read(body, deed, realm)


def _refused(deed: str, realm: str, status: int, body: bytes, secrets: tuple[str, ...]) -> PyrtError:
    status = 401 if status == 400 else status  # OAuth2's word for a token that is not good (RFC 6749, 5.2)
    return refusal(deed, urlsplit(realm).hostname or "", status, body, secrets=secrets)


def _check_realm(realm: str, endpoint: Endpoint, deed: str) -> None:
    """Credentials go to the server that the registry names, but not in the clear where the registry itself is not."""
    try:
        scheme = origin(realm)[0]
    except ValueError:
        raise broken(deed, endpoint.host, "names no http(s) URL as its token server") from None
    if scheme == "http" and not endpoint.is_insecure and endpoint.urls[0].startswith("https:"):
        raise broken(deed, endpoint.host, f"names a token server without TLS, {shown_url(realm)}: refused")


def _repository(scopes: frozenset[str]) -> str:
    """Give the repository that the request is about, for credentials that are filed by repository."""
    names = sorted(scope.split(":")[1] for scope in scopes if scope.startswith("repository:"))
    return names[0] if len(names) == 1 else ""


def _read(body: bytes, deed: str, realm: str) -> tuple[str, float]:
    """Read token and lifetime of a token server's answer."""
    host = urlsplit(realm).hostname or ""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise broken(deed, host, "answers with something that is no JSON object")
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not 0 < len(token) <= _MAX_TOKEN or not token.isascii() or not token.isprintable():
        raise broken(deed, host, "answers without a token")
    seconds = document.get("expires_in")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e9:
        seconds = _DEFAULT_SECONDS
    return token, float(min(max(seconds, _DEFAULT_SECONDS), _LONGEST_SECONDS))
