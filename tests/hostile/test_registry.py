"""Registries that mean harm, or have gone mad: no byte of theirs is believed, no word of ours goes astray."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrt.errors import BlobNotFound, PyrtError, RegistryError, Unavailable
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.registry import RegistryClient, Repository, connection, endpoints, transport
from tests.registries import QUICK, TAR, Fault, ScriptedRegistry

LAYER = bytes(range(256)) * 2_000
VERBS: dict[str, Callable[[Repository], object]] = {
    "head": lambda repository: repository.head("latest"),
    "manifest": lambda repository: repository.manifest("latest"),
    "blob": lambda repository: read(repository, Descriptor.of(TAR, LAYER)),
    "has_blob": lambda repository: repository.has_blob(Digest.of(LAYER)),
    "upload": lambda repository: repository.upload(Descriptor.of(TAR, LAYER), lambda: [LAYER]),
    "put_manifest": lambda repository: repository.put_manifest(b"{}", "application/json", "latest"),
    "tags": lambda repository: list(repository.tags()),
    "referrers": lambda repository: repository.referrers(Digest.of(LAYER)),
    "delete": lambda repository: repository.delete("latest"),
}
READS = {name: VERBS[name] for name in ("head", "manifest", "blob", "tags", "referrers")}


def read(repository: Repository, descriptor: Descriptor) -> bytes:
    with repository.blob(descriptor) as chunks:
        return b"".join(chunks)


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.0.1 count as an address of the public internet, and nothing else of this machine."""
    real = endpoints.is_private
    for module in (transport, connection):
        monkeypatch.setattr(module, "is_private", lambda address: address != "127.0.0.1" and real(address))


@pytest.fixture
def inside() -> Iterator[ScriptedRegistry]:
    """A server that is none of a registry's business."""
    server = ScriptedRegistry("127.0.0.2")
    yield server
    server.close()


@pytest.mark.parametrize("verb", READS)
@pytest.mark.parametrize("form", ["http://{}/elsewhere", "http://127.2/", "http://[::1]/", "http://169.254.169.254/x",
                                  "http://[::ffff:127.0.0.2]/", "http://10.0.0.1/", "http://0.0.0.0/"])  # fmt: skip
def test_a_redirect_to_a_private_address_is_refused(
    client: RegistryClient, scripted: ScriptedRegistry, inside: ScriptedRegistry, public: None, verb: str, form: str
) -> None:
    scripted.faults.append(Fault(status=307, headers={"Location": form.format(inside.host)}, times=100))

    with pytest.raises(RegistryError, match="private address") as caught:
        READS[verb](client.repository(scripted.reference()))
    assert caught.value.code == "REDIRECT"
    assert inside.seen == []


def test_a_name_that_changes_its_address_leads_nowhere(
    client: RegistryClient, scripted: ScriptedRegistry, inside: ScriptedRegistry, public: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(transport, "leads_inside", lambda host: False)
    scripted.faults.append(Fault(status=302, headers={"Location": f"http://{inside.host}/x"}))

    with pytest.raises(RegistryError, match="private address"):
        client.repository(scripted.reference()).manifest("latest")
    assert inside.seen == []


@pytest.mark.parametrize("where", ["token", "foreign", "upload"])
def test_other_urls_of_a_registry_do_not_lead_inside_either(
    client: RegistryClient, scripted: ScriptedRegistry, inside: ScriptedRegistry, public: None, where: str
) -> None:
    repository = client.repository(scripted.reference())
    descriptor = Descriptor.of(TAR, LAYER)
    url = f"http://{inside.host}/elsewhere/x/blobs/{descriptor.digest}"
    challenge = {"WWW-Authenticate": f'Bearer realm="{url}"'}
    scripted.faults += {
        "token": [Fault(status=401, headers=challenge)],
        "foreign": [],
        "upload": [Fault(method="POST", status=202, headers={"Location": url})],
    }[where]

    with pytest.raises((RegistryError, BlobNotFound), match="private address"):
        if where == "token":
            repository.head("latest")
        elif where == "foreign":
            read(repository, replace(descriptor, urls=(url,)))
        else:
            repository.upload(descriptor, lambda: [LAYER])
    assert inside.seen == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://x/", "http://", "//", "http://[", "\x7f",
                                      "javascript:1", "http://h:port/", "unix:///run/docker.sock"])  # fmt: skip
def test_a_redirect_to_what_is_no_url_is_refused(
    client: RegistryClient, scripted: ScriptedRegistry, location: str
) -> None:
    scripted.faults.append(Fault(status=301, headers={"Location": location}, times=100))

    with pytest.raises(PyrtError):
        client.repository(scripted.reference()).manifest("latest")


def test_a_circle_of_redirects_ends(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    scripted.faults.append(Fault(status=302, headers={"Location": "/v2/again"}, times=1000))

    with pytest.raises(RegistryError, match="redirects more than 10 times"):
        client.repository(scripted.reference()).manifest("latest")


def test_what_is_written_is_not_redirected(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    scripted.faults.append(Fault(method="POST", status=307, headers={"Location": "/elsewhere"}))

    with pytest.raises(RegistryError, match="redirects what is being written"):
        VERBS["upload"](client.repository(scripted.reference()))


@pytest.mark.parametrize("link", ['<http://127.0.0.2:9/v2/x>; rel="next"', '<//evil.example/v2/x>; rel=next',
                                  '</v2/some/image/tags/list>; rel=next', "<http://[>; rel=next"])  # fmt: skip
def test_a_list_that_leads_astray_is_refused(client: RegistryClient, scripted: ScriptedRegistry, link: str) -> None:
    scripted.faults.append(Fault(status=200, body=b'{"tags":["a"]}', headers={"Link": link}, times=1000))

    with pytest.raises(RegistryError):
        list(client.repository(scripted.reference()).tags())
    assert len(scripted.seen) < 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["errors", "code", "message", "detail", "tags", "repositories", "manifests", "token", "config"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    verb=st.sampled_from(sorted(VERBS)),
    status=st.sampled_from([200, 201, 202, 204, 206, 301, 400, 401, 403, 404, 405, 416, 418, 500, 599]),
    body=st.binary(max_size=50) | JSON.map(lambda value: __import__("json").dumps(value).encode()),
    headers=st.dictionaries(
        st.sampled_from(["Location", "Link", "Docker-Content-Digest", "Content-Type", "Content-Range", "Range",
                         "Retry-After", "WWW-Authenticate", "ETag", "OCI-Chunk-Min-Length", "Content-Encoding"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
        max_size=3,
    ),
)  # fmt: skip
def test_any_answer_at_all_is_an_answer_or_an_error_of_ours(
    scripted: ScriptedRegistry, verb: str, status: int, body: bytes, headers: dict[str, str]
) -> None:
    body = b"" if status == 204 else body
    scripted.faults = [Fault(status=status, body=body, headers=headers, times=1000)]

    with RegistryClient(replace(QUICK, retries=1, longest_wait_seconds=0.001)) as client:
        try:
            VERBS[verb](client.repository(scripted.reference()))
        except PyrtError as error:
            assert str(error).isprintable() and len(str(error)) < 2000


@pytest.mark.parametrize("verb", READS)
@pytest.mark.parametrize("raw", [b"", b"\0" * 1000, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
                                 b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", b"HTTP/1.1 999999 ?\r\n\r\n",
                                 b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx",
                                 b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nx",
                                 b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])  # fmt: skip
def test_what_is_no_http_is_an_error(verb: str, raw: bytes) -> None:
    registry = ScriptedRegistry()
    registry.faults.append(Fault(raw=raw, times=1000))
    try:
        with (
            RegistryClient(replace(QUICK, retries=1, longest_wait_seconds=0.001, read_timeout_seconds=0.3)) as client,
            pytest.raises(PyrtError),
        ):
            READS[verb](client.repository(registry.reference()))
    finally:
        registry.close()


@pytest.mark.parametrize("verb", VERBS)
def test_a_registry_that_stalls_is_given_up(scripted: ScriptedRegistry, verb: str) -> None:
    scripted.faults.append(Fault(stall_after=0, status=200, body=b"{}", headers={"Content-Length": "9"}, times=1000))

    with RegistryClient(replace(QUICK, retries=0, read_timeout_seconds=0.2)) as client, pytest.raises(PyrtError):
        if VERBS[verb](client.repository(scripted.reference())) in (True, "exists"):  # a HEAD has no body to wait for
            raise Unavailable("none")


def test_a_registry_that_drips_counts_as_stalled(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LAYER)
    scripted.bytes_per_second = 100.0

    with (
        RegistryClient(replace(QUICK, retries=0, read_timeout_seconds=0.3)) as impatient,
        pytest.raises(Unavailable, match="stalled"),
    ):
        read(impatient.repository(scripted.reference()), descriptor)


def test_a_body_without_end_is_left(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    scripted.faults.append(Fault(status=200, body=b"x" * (9 << 20), without=("Content-Length",)))

    with pytest.raises(RegistryError, match="more than"):
        list(client.repository(scripted.reference()).tags())


def test_many_threads_share_one_client(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    descriptors = [scripted.add(LAYER + bytes([number])) for number in range(8)]
    scripted.faults += [Fault(path="/blobs/", cut_after=300_000, after=number) for number in range(8)]
    repository = client.repository(scripted.reference())
    contents: list[bytes] = []

    threads = [threading.Thread(target=lambda d=each: contents.append(read(repository, d))) for each in descriptors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {content[-1] for content in contents} == set(range(8)) and len(contents) == 8
