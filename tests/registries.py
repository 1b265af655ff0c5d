"""A scripted registry for tests, on loopback, with faults at will. (tests/docker_registry.py has a real one.)"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.manifest import Manifest, make_manifest
from pyrt.oci.reference import Reference
from pyrt.registry import RegistryClient, RegistryOptions

__all__ = ["QUICK", "TAR", "Fault", "ScriptedRegistry", "Seen", "client", "image_of", "scripted"]

TAR = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
QUICK = RegistryOptions(retries=3, longest_wait_seconds=0.05, read_timeout_seconds=1, certificate_directories=())


@pytest.fixture
def scripted() -> Iterator[ScriptedRegistry]:
    """A registry that does as it is told."""
    registry = ScriptedRegistry()
    yield registry
    registry.close()


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    """A client that loses patience soon, and knows no credentials but those it is given."""
    with RegistryClient(QUICK) as client:
        yield client


def image_of(*layers: bytes) -> tuple[Manifest, dict[Descriptor, bytes]]:
    """Make the manifest of an image without sense, and give its blobs."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "n": [len(layer) for layer in layers]}).encode()
    described = [(Descriptor.of(CONFIG, config), config), *((Descriptor.of(TAR, layer), layer) for layer in layers)]
    return make_manifest(described[0][0], [each for each, _ in described[1:]]), dict(described)


@dataclass(slots=True)
class Fault:
    """What befalls the next `times` requests whose method and path match: an answer of its own, or a broken one."""

    method: str = ""
    path: str = ""  # searched as a regular expression in the path with its query
    times: int = 1
    after: int = 0  # requests that pass first
    status: int = 0  # answer this instead, with `headers` and `body`
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None  # bytes of the body, then the connection is reset
    stall_after: int | None = None  # bytes of the body, then nothing until the end
    read_only: int | None = None  # bytes of the request's body, then the connection is reset
    without: tuple[str, ...] = ()  # headers that are left out
    raw: bytes | None = None  # send this, be it HTTP or not


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that has arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64
    registry: ScriptedRegistry

    def get_request(self) -> tuple[socket.socket, Any]:
        connected, address = super().get_request()
        self.registry.connections.add(connected)
        return connected, address

    def shutdown_request(self, request: Any) -> None:
        self.registry.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections are cut on purpose here."""


class ScriptedRegistry:
    """A registry in memory; what it does wrong is in `faults`, what it was asked in `seen`."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.connections: set[socket.socket] = set()
        self.user: tuple[str, str] | None = None  # who may come in
        self.scheme = "bearer"  # how, if there is a user
        self.gives_tokens_to_all = False
        self.identity_token = ""
        self.token_seconds = 300
        self.has_ranges = True
        self.has_referrers = True
        self.page = 0  # names on one page; 0: all
        self.least_chunk_bytes = 0
        self.answers_after_seconds = 0.0  # the last word on an upload
        self.rewrite = ""  # what a proxy's client puts before the path
        self.bytes_per_second = 0.0  # of one connection; 0: as fast as it goes
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self._server = _Server((address, 0), _Handler)
        self._server.registry = self
        self.host = f"{address}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        for connected in list(self.connections):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def add(self, content: bytes, media_type: str = TAR) -> Descriptor:
        """Hold a blob."""
        descriptor = Descriptor.of(media_type, content)
        self.blobs[str(descriptor.digest)] = content
        return descriptor

    def add_image(self, name: str, tag: str, *layers: bytes) -> Manifest:
        manifest, blobs = image_of(*layers)
        self.blobs |= {str(descriptor.digest): content for descriptor, content in blobs.items()}
        self.add_manifest(name, tag, manifest.media_type, manifest.raw)
        return manifest

    def add_manifest(self, name: str, tag: str, media_type: str, raw: bytes) -> None:
        self.manifests[name, tag] = self.manifests[name, str(Digest.of(raw))] = (media_type, raw)

    def reference(self, name: str = "some/image", tag: str = "latest") -> Reference:
        return Reference.parse(f"{self.host}/{name}:{tag}")

    def asked(self, method: str = "", path: str = "") -> list[Seen]:
        """Give the requests that match."""
        return [each for each in self.seen if method in ("", each.method) and re.search(path, each.path)]

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method in ("", method) and re.search(fault.path, path):
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        registry = self.server.registry
        self.path = self.path.removeprefix(registry.rewrite)
        self.fault = registry.fault_for(self.command, self.path) or Fault()
        length = int(self.headers.get("Content-Length") or 0)
        if self.fault.read_only is not None:
            body = self.rfile.read(min(length, self.fault.read_only))
            self._upload_part(body)
            self._reset()
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self._upload_part(body)
            return
        with registry.lock:
            registry.seen.append(Seen(self.command, self.path, dict(self.headers.items()), body))
        if self.fault.raw is not None:
            self.wfile.write(self.fault.raw)
            self._reset()
        elif self.fault.status:
            self.answer(self.fault.status, self.fault.body)
        else:
            self._serve(body)

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

    def _serve(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/token":
            self._token(parse_qs(parts.query), body)
        elif self._is_let_in():
            self._route(parts.path, parse_qs(parts.query), body)

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        given = {"Content-Length": str(len(body)), **(headers or {}), **self.fault.headers}
        self.send_response(status)
        for name, value in given.items():
            if name not in self.fault.without:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if "Content-Length" not in given or "Content-Length" in self.fault.without:
            self.close_connection = True
        if self.fault.cut_after is not None:
            self.wfile.write(body[: self.fault.cut_after])
            self._reset()
        elif self.fault.stall_after is not None:
            self.wfile.write(body[: self.fault.stall_after])
            self.server.registry.stopping.wait(60)
            self.close_connection = True
        else:
            self._write(body)

    def _write(self, body: bytes) -> None:
        rate = self.server.registry.bytes_per_second
        if not rate:
            self.wfile.write(body)
            return
        step = max(int(rate / 100), 1)
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            if self.server.registry.stopping.wait(step / rate):
                return

    def _reset(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        document = {"errors": [{"code": code, "message": code.lower().replace("_", " "), "detail": {"by": "script"}}]}
        self.answer(status, json.dumps(document).encode(), headers)

    def _is_let_in(self) -> bool:
        registry = self.server.registry
        if registry.user is None:
            return True
        given = self.headers.get("Authorization", "")
        if registry.scheme == "basic":
            wanted, challenge = (
                "Basic " + base64.b64encode(":".join(registry.user).encode()).decode(),
                'Basic realm="r"',
            )
        else:
            name = urlsplit(self.path).path.removeprefix("/v2/")
            scope = "repository:" + re.split(r"/(?:manifests|blobs|tags|referrers)/", name)[0]
            scope += ":pull" if self.command in ("GET", "HEAD") else ":pull,push"
            challenge = f'Bearer realm="http://{registry.host}/token",service="scripted",scope="{scope}"'
            wanted = "Bearer good"
        if given == wanted:
            return True
        self.error(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
        return False

    def _token(self, query: dict[str, list[str]], body: bytes) -> None:
        registry = self.server.registry
        wanted = "Basic " + base64.b64encode(":".join(registry.user or ("", "")).encode()).decode()
        form = parse_qs(body.decode())
        is_known = registry.gives_tokens_to_all or self.headers.get("Authorization") == wanted
        if registry.identity_token:
            is_known = form.get("refresh_token") == [registry.identity_token]
        if is_known:
            answer = {"token": "good", "expires_in": registry.token_seconds}
            self.answer(200, json.dumps(answer).encode())
        else:
            self.error(401, "UNAUTHORIZED")

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        routes: tuple[tuple[str, Callable[..., None]], ...] = (
            (r"/v2/_catalog", self._catalog),
            (r"/v2/(.+)/tags/list", self._tags),
            (r"/v2/(.+)/manifests/([^/]+)", self._manifest),
            (r"/v2/(.+)/referrers/([^/]+)", self._referrers),
            (r"/v2/(.+)/blobs/uploads/([^/]*)", self._upload),
            (r"/(?:v2|elsewhere)/(.+)/blobs/([^/]+)", self._blob),
        )
        for pattern, verb in routes:
            if match := re.fullmatch(pattern, path):
                verb(*match.groups(), query=query, body=body)
                return
        self.error(404, "NOT_FOUND")

    def _page(self, field: str, names: list[str], query: dict[str, list[str]]) -> None:
        last, size = query.get("last", [""])[0], self.server.registry.page or len(names) + 1
        left = [name for name in sorted(names) if name > last]
        path = urlsplit(self.path).path
        headers = {"Link": f'<{path}?last={left[size - 1]}&n={size}>; rel="next"'} if len(left) > size else {}
        self.answer(200, json.dumps({field: left[:size]}).encode(), headers)

    def _catalog(self, **given: Any) -> None:
        self._page("repositories", list({name for name, _ in self.server.registry.manifests}), given["query"])

    def _tags(self, name: str, **given: Any) -> None:
        tags = [tag for repository, tag in self.server.registry.manifests if repository == name and ":" not in tag]
        self._page("tags", tags, given["query"]) if tags else self.error(404, "NAME_UNKNOWN")

    def _manifest(self, name: str, which: str, body: bytes, **_: Any) -> None:
        registry = self.server.registry
        if self.command == "PUT":
            registry.add_manifest(name, which, self.headers["Content-Type"], body)
            self.answer(201, b"", {"Docker-Content-Digest": str(Digest.of(body))})
        elif (name, which) not in registry.manifests:
            self.error(404, "MANIFEST_UNKNOWN")
        elif self.command == "DELETE":
            del registry.manifests[name, which]
            self.answer(202)
        else:
            media_type, raw = registry.manifests[name, which]
            headers = {"Content-Type": media_type, "Docker-Content-Digest": str(Digest.of(raw))}
            self.answer(200, raw, headers)

    def _referrers(self, name: str, which: str, **_: Any) -> None:
        registry = self.server.registry
        if not registry.has_referrers:
            self.error(404, "NOT_FOUND")
            return
        found = [(mt, raw) for (n, tag), (mt, raw) in registry.manifests.items() if n == name and which in raw.decode()]
        entries = [Descriptor.of(media_type, raw).to_json() for media_type, raw in dict.fromkeys(found)]
        media_type = "application/vnd.oci.image.index.v1+json"
        index = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
        self.answer(200, json.dumps(index).encode(), {"Content-Type": media_type})

    def _blob(self, name: str, which: str, **_: Any) -> None:
        registry = self.server.registry
        content = registry.blobs.get(which)
        if content is None:
            self.error(404, "BLOB_UNKNOWN")
            return
        if self.command == "DELETE":
            del registry.blobs[which]
            self.answer(202)
            return
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{which}"'} if registry.has_ranges else {}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None or not registry.has_ranges:
            self.answer(200, content, headers)
            return
        first, end = int(wanted[1]), int(wanted[2] or len(content) - 1) + 1
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
        self.answer(206, content[first:end], headers)

    def _upload_part(self, body: bytes) -> None:
        if match := re.search(r"/uploads/(\w+)", self.path):
            self.server.registry.uploads[match[1]] += body

    def _upload(self, name: str, key: str, query: dict[str, list[str]], body: bytes) -> None:
        registry = self.server.registry
        if self.command == "POST":
            if query.get("from") and query["mount"][0] in registry.blobs:
                self.answer(201, b"", {"Location": f"/v2/{name}/blobs/{query['mount'][0]}"})
                return
            key = f"u{len(registry.uploads)}"
            registry.uploads[key] = b""
        elif key not in registry.uploads:
            self.error(404, "BLOB_UPLOAD_UNKNOWN")
            return
        begun = re.match(r"(\d+)-", self.headers.get("Content-Range", ""))
        if begun and int(begun[1]) != len(registry.uploads[key]):
            self.error(416, "RANGE_INVALID")
            return
        content = registry.uploads[key] = registry.uploads[key] + body
        headers = {"Location": f"/v2/{name}/blobs/uploads/{key}?state=x", "Range": f"0-{max(len(content) - 1, 0)}"}
        if registry.least_chunk_bytes:
            headers["OCI-Chunk-Min-Length"] = str(registry.least_chunk_bytes)
        if self.command != "PUT":
            self.answer(204 if self.command == "GET" else 202, b"", headers)
        elif registry.stopping.wait(registry.answers_after_seconds):
            self.close_connection = True
        elif str(Digest.of(content)) != query["digest"][0]:
            self.error(400, "DIGEST_INVALID")
        else:
            registry.blobs[str(Digest.of(content))] = content
            self.answer(201, b"", {"Docker-Content-Digest": query["digest"][0]})
