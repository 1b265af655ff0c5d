"""Requests as the verbs mean them: authenticated when asked, redirected with care, retried with patience.

Takes a Request and the endpoints that may answer it, gives an Answer of an accepted status; everything else becomes an
exception. Redirects are followed by hand: never from HTTPS to HTTP, never from the public internet to a private
address, and nobody but the registry itself gets an Authorization.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import urljoin, urlsplit

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from pyrt.errors import Forbidden, NotFound, PyrtError, RegistryError, Unauthorized, Unavailable
from pyrt.registry import credentials as filed
from pyrt.registry.auth import Authorizer
from pyrt.registry.connection import PrivateAddress
from pyrt.registry.endpoints import Endpoint, origin
from pyrt.registry.errors import PASSING, broken, is_passing, refusal, shown_url
from pyrt.registry.headers import challenges, retry_after
from pyrt.registry.options import RegistryOptions
from pyrt.registry.retry import Cancelled, Patience
from pyrt.registry.transport import Body, Broken, Transport

__all__ = ["Answer", "Exchange", "Request"]

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_ERROR_BYTES = 64 << 10
_MAX_TOKEN_BYTES = 1 << 20
Check = Callable[[], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a registry. `deed` says in messages what it is for; `path` may also be a full URL."""

    deed: str
    method: str
    path: str
    scopes: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = None
    accepted: frozenset[int] = frozenset({200})
    missing: type[NotFound] = NotFound  # what a 404 means
    is_repeatable: bool = True
    is_slow: bool = False  # the registry has much to do before it answers
    is_public: bool = False  # a URL of somebody else: never authenticated


class Answer:
    """What came back, its body unread. Close it; one that was read to its end gives its connection back."""

    def __init__(self, response: BaseHTTPResponse, url: str, endpoint: Endpoint, deed: str) -> None:
        self._response = response
        self._deed = deed
        self.url = url
        self.endpoint = endpoint
        self.status = response.status
        self._kept: bytes | None = None
        self.headers = response.headers

    @property
    def host(self) -> str:
        """Who has answered."""
        return urlsplit(self.url).netloc

    @property
    def length_bytes(self) -> int | None:
        """The Content-Length, where there is one that is a number."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None

    def read(self, limit_bytes: int) -> bytes:
        """Read the whole body. Raises RegistryError beyond `limit_bytes`, Broken where it is cut."""
        if self._kept is not None:
            return self._kept
        body = bytearray()
        try:
            while chunk := self.chunk(limit_bytes + 1 - len(body)):
                body += chunk
                if len(body) > limit_bytes:
                    raise broken(self._deed, self.host, f"answers with more than {limit_bytes} bytes")
        finally:
            self.close()
        return bytes(body)

    def keep(self, body: bytes) -> None:
        """Put a body that has been read back, for who reads it next."""
        self._kept = body

    def chunk(self, limit_bytes: int) -> bytes:
        """Read the next bytes, none at the end. Raises Broken where the connection is cut or stalls."""
        try:
            return self._response.read(limit_bytes)
        except (HTTPError, OSError, ValueError) as error:
            stalled = "stalled" if "timed out" in str(error) else "cut"
            raise Broken(f"has {stalled} the connection within the answer") from error

    def close(self) -> None:
        """End it; the connection is used again only where nothing is left on it."""
        if self._response.closed:
            self._response.release_conn()
        else:
            self._response.close()


class Exchange:
    """All requests of one client: what it knows of registries between two requests is here."""

    def __init__(self, options: RegistryOptions) -> None:
        self.options = options
        self.transport = Transport(options)
        self._authorizer = Authorizer(self._credentials, self._fetch)
        self._settled: dict[Endpoint, str] = {}
        self._lock = threading.Lock()

    def send(self, request: Request, endpoints: Sequence[Endpoint], patience: Patience | None = None) -> Answer:
        """Give the answer of the first endpoint that has one; mirrors are asked once each.

        Raises what `refusal` makes of the last endpoint's answer; Unavailable where there is none.
        """
        patience = patience or self.patience()
        for endpoint in endpoints[:-1]:
            try:
                return self._patiently(request, endpoint, self.patience(retries=0))
            except (NotFound, Unavailable, Unauthorized, Forbidden) as error:
                patience.check(request.deed)
                _log.info("mirror passed over: %s", error)
        return self._patiently(request, endpoints[-1], patience)

    def read(
        self, request: Request, endpoints: Sequence[Endpoint], limit_bytes: int, patience: Patience | None = None
    ) -> tuple[Answer, bytes]:
        """Give an answer with its body. Raises as `send` does."""
        patience = patience or self.patience()
        while True:
            answer = self.send(request, endpoints, patience)
            try:
                return answer, answer.read(limit_bytes)
            except Broken as error:
                if not request.is_repeatable or not patience.wait(request.deed):
                    raise Unavailable(f"{request.deed}: {answer.host} {error}") from error

    def patience(self, cancelled: Cancelled | None = None, *, retries: int | None = None) -> Patience:
        """Give a fresh budget of retries."""
        tries = self.options.retries if retries is None else retries
        return Patience(tries, longest_wait_seconds=self.options.longest_wait_seconds, cancelled=cancelled)

    def _patiently(self, request: Request, endpoint: Endpoint, patience: Patience) -> Answer:
        while True:
            patience.check(request.deed)
            asked_seconds = None
            try:
                answer = self._authenticated(request, endpoint, partial(patience.check, request.deed))
            except Broken as error:
                failure: PyrtError = Unavailable(f"{request.deed}: {endpoint.host} {error}")
                failure.__cause__ = error
                may_repeat = request.is_repeatable or error.is_unsent
            else:
                if answer.status in request.accepted:
                    return answer
                asked_seconds = retry_after(answer.headers.get("Retry-After", ""))
                failure = self._refused(answer, request, endpoint)
                may_repeat = is_passing(failure) and (request.is_repeatable or answer.status == 429)
            if not may_repeat or not patience.wait(request.deed, asked_seconds):
                raise failure

    def _authenticated(self, request: Request, endpoint: Endpoint, check: Check) -> Answer:
        """Send a request; where the registry wants to know who asks, tell it and send it once more."""
        header = None if request.is_public else self._authorizer.header(endpoint, request.scopes)
        answer = self._settle(request, endpoint, header, check)
        if answer.status != 401 or request.is_public or not _is_own(answer.url, endpoint):
            return answer
        offered = challenges(answer.headers.getlist("WWW-Authenticate"))
        answer.keep(self.discard(answer))
        better = self._authorizer.answer(endpoint, offered, request.scopes, header) if offered else None
        if better is None:
            return answer
        return self._settle(request, endpoint, better, check)

    def _settle(self, request: Request, endpoint: Endpoint, header: str | None, check: Check) -> Answer:
        """Send a request to the base URL that is known to answer, or find out which one does."""
        with self._lock:
            settled = self._settled.get(endpoint)
        bases = (settled,) if settled else endpoint.urls
        if "://" in request.path:
            return self._follow(request, endpoint, request.path, header, check)
        for number, base in enumerate(bases, 1):
            try:
                answer = self._follow(request, endpoint, base + request.path, header, check)
            except Broken as error:
                if number < len(bases) and error.is_unsent:
                    continue
                raise
            with self._lock:
                self._settled.setdefault(endpoint, base)
            return answer
        raise AssertionError("an endpoint has a URL")

    def _follow(self, request: Request, endpoint: Endpoint, url: str, header: str | None, check: Check) -> Answer:
        for _ in range(MAX_REDIRECTS):
            headers = {"User-Agent": self.options.user_agent, "Accept-Encoding": "identity", **request.headers}
            if header and _is_own(url, endpoint):
                headers["Authorization"] = header
            try:
                response = self.transport.send(
                    request.method, url, endpoint, headers, request.body, check, request.is_slow
                )
            except PrivateAddress as error:
                why = f"sends us to {shown_url(url)}, which is at the private address {error}: refused"
                raise broken(request.deed, endpoint.host, why, code="REDIRECT") from None
            answer = Answer(response, url, endpoint, request.deed)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or response.status in request.accepted or not location:
                return answer
            self.discard(answer)
            url = self._redirected(request, endpoint, url, location)
        raise broken(request.deed, endpoint.host, f"redirects more than {MAX_REDIRECTS} times", code="REDIRECT")

    def _redirected(self, request: Request, endpoint: Endpoint, url: str, location: str) -> str:
        if request.method not in ("GET", "HEAD"):
            raise broken(request.deed, endpoint.host, "redirects what is being written", code="REDIRECT")
        return resolve(location, url, endpoint, request.deed)

    def discard(self, answer: Answer) -> bytes:
        """Read what little an answer holds, so that its connection can be used again; never fails."""
        try:
            return answer.read(_MAX_ERROR_BYTES)
        except (Broken, RegistryError):
            return b""

    def _refused(self, answer: Answer, request: Request, endpoint: Endpoint) -> PyrtError:
        body = self.discard(answer)
        header = self._authorizer.known(endpoint, request.scopes)
        secrets = header.split()[1:] if header else []
        if header and header.startswith("Basic "):
            secrets.append(base64.b64decode(secrets[0]).decode().partition(":")[2])
        return refusal(request.deed, answer.host, answer.status, body, missing=request.missing, secrets=secrets)

    def _credentials(self, registry: str, repository: str) -> filed.Credentials | None:
        return filed.find(registry, repository, explicit=self.options.credentials)

    def _fetch(
        self, endpoint: Endpoint, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        """Ask a token server: redirects are not followed, for credentials go along."""
        deed = f"get a token for {endpoint.registry}"
        every = frozenset(range(200, 500)) - PASSING
        request = Request(deed, method, url, headers=headers, body=body, accepted=every, is_public=True)
        answer, answered = self.read(request, [replace(endpoint, is_mirror=False)], _MAX_TOKEN_BYTES)
        return answer.status, answered


def _is_own(url: str, endpoint: Endpoint) -> bool:
    where = origin(url)
    return any(where == origin(base) for base in endpoint.urls)


def resolve(location: str, url: str, endpoint: Endpoint, deed: str) -> str:
    """Give the URL that a Location header means. Raises RegistryError for one that must not be followed."""
    try:
        target = urljoin(url, location)
        scheme = origin(target)[0]
        plain = target.isascii() and target.isprintable() and " " not in target
    except ValueError:
        plain = False
    if not plain:
        raise broken(deed, endpoint.host, "redirects to what is no http(s) URL", code="REDIRECT")
    if scheme == "http" and origin(url)[0] == "https":
        why = f"redirects from HTTPS to {shown_url(target)}, which is not encrypted: refused"
        raise broken(deed, endpoint.host, why, code="REDIRECT")
    return target
