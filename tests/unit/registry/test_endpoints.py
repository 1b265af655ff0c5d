"""Where registries are: URLs, loopback and insecure ones, mirrors, proxies, certificates, and the options for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pyrt.errors import ImageNotFound, InvalidOption, Unsupported
from pyrt.registry import RegistryClient, RegistryOptions
from pyrt.registry.endpoints import certificates, endpoints, is_private
from pyrt.registry.transport import proxy_for
from tests.registries import QUICK, Fault, ScriptedRegistry

NONE = RegistryOptions(certificate_directories=())


@pytest.mark.parametrize(
    ("registry", "urls"),
    [
        ("docker.io", ("https://registry-1.docker.io",)),
        ("quay.example", ("https://quay.example",)),
        ("quay.example:5000", ("https://quay.example:5000",)),
        ("127.0.0.1:5000", ("https://127.0.0.1:5000", "http://127.0.0.1:5000")),
        ("127.9.9.9", ("https://127.9.9.9", "http://127.9.9.9")),
        ("[::1]:5000", ("https://[::1]:5000", "http://[::1]:5000")),
        ("localhost:5000", ("https://localhost:5000", "http://localhost:5000")),
        ("x.localhost", ("https://x.localhost", "http://x.localhost")),
        ("10.0.0.1:5000", ("https://10.0.0.1:5000",)),
        ("localhost.example", ("https://localhost.example",)),
        ("plain.example:80", ("https://plain.example:80", "http://plain.example:80")),
    ],
)
def test_a_registry_has_urls(registry: str, urls: tuple[str, ...]) -> None:
    options = replace(NONE, insecure=frozenset({"plain.example:80"}))

    assert [each.urls for each in endpoints(registry, options, mirrors=True)] == [urls]


def test_mirrors_come_first() -> None:
    options = replace(NONE, mirrors={"docker.io": ("http://m.example:5000/", "127.0.0.1:5")})

    found = endpoints("docker.io", options, mirrors=True)

    assert [(each.registry, each.is_mirror) for each in found] == [
        ("m.example:5000", True), ("127.0.0.1:5", True), ("docker.io", False)]  # fmt: skip
    assert found[0].urls == ("http://m.example:5000",)
    assert endpoints("docker.io", options, mirrors=False) == found[2:]


@pytest.mark.parametrize("mirror", ["", "ftp://x", "user:secret@host", "https://", "a b", "x?y"])
def test_a_mirror_that_is_none_is_refused(mirror: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        endpoints("docker.io", replace(NONE, mirrors={"docker.io": (mirror,)}), mirrors=True)
    assert "is no registry" in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254",
                                     "0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::",
                                     "fe80::1%eth0", "fc00::1",
                                     "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1"])  # fmt: skip
def test_an_address_is_private(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_is_public(address: str) -> None:
    assert not is_private(address)


@pytest.fixture
def mirror() -> Iterator[ScriptedRegistry]:
    registry = ScriptedRegistry()
    yield registry
    registry.close()


def mirrored(scripted: ScriptedRegistry, *mirrors: ScriptedRegistry) -> RegistryClient:
    return RegistryClient(replace(QUICK, mirrors={scripted.host: tuple(each.host for each in mirrors)}))


def test_a_pull_asks_the_mirror_alone_where_it_has_it(scripted: ScriptedRegistry, mirror: ScriptedRegistry) -> None:
    manifest = mirror.add_image("some/image", "latest", b"layer")

    with mirrored(scripted, mirror) as client:
        repository = client.repository(scripted.reference())
        assert repository.head("latest") == repository.manifest("latest").descriptor
        with repository.blob(manifest.layers[0]) as chunks:
            assert b"".join(chunks) == b"layer"

    assert scripted.seen == []


@pytest.mark.parametrize("status", [0, 401, 403, 404, 500, 503])
def test_a_mirror_that_fails_is_passed_over_at_once(
    scripted: ScriptedRegistry, mirror: ScriptedRegistry, status: int
) -> None:
    manifest = scripted.add_image("some/image", "latest", b"layer")
    mirror.faults.append(Fault(status=status, times=100) if status else Fault(raw=b"", times=100))

    with mirrored(scripted, mirror) as client:
        repository = client.repository(scripted.reference())
        assert repository.head("latest") == manifest.descriptor
        with repository.blob(manifest.layers[0]) as chunks:
            assert b"".join(chunks) == b"layer"
        with pytest.raises(ImageNotFound):
            repository.manifest("other")

    assert len(mirror.seen) == 3


def test_a_blob_that_a_mirror_cuts_comes_from_the_registry(
    scripted: ScriptedRegistry, mirror: ScriptedRegistry
) -> None:
    content = bytes(3_000_000)
    descriptor = scripted.add(content)
    mirror.add(content)
    mirror.faults += [Fault(cut_after=1 << 20), Fault(status=404, times=100)]

    with mirrored(scripted, mirror) as client, client.repository(scripted.reference()).blob(descriptor) as chunks:
        assert b"".join(chunks) == content


def test_a_push_never_asks_a_mirror(scripted: ScriptedRegistry, mirror: ScriptedRegistry) -> None:
    descriptor = mirror.add(b"layer")

    with mirrored(scripted, mirror) as client:
        repository = client.repository(scripted.reference())
        assert not repository.has_blob(descriptor.digest)
        assert repository.upload(descriptor, lambda: [b"layer"]) == "pushed"
        repository.delete_blob(descriptor.digest)

    assert mirror.seen == []


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://user:pw@plain.example:3128")
    monkeypatch.setenv("NO_PROXY", "direct.example,.inner.example,10.0.0.0/8,other.example:5000")

    assert proxy_for("https", "registry.example", 443) == "http://proxy.example:3128"
    assert proxy_for("http", "registry.example", 80) == "http://user:pw@plain.example:3128"
    for host in ("direct.example", "x.inner.example", "10.3.4.5", "localhost", "127.0.0.1", "::1"):
        assert proxy_for("https", host, 443) is None, host
    assert proxy_for("https", "other.example", 5000) is None
    assert proxy_for("https", "other.example", 443) is not None
    assert proxy_for("https", "11.3.4.5", 443) is not None


def test_requests_go_through_the_proxy(
    client: RegistryClient, scripted: ScriptedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = scripted.add_image("some/image", "latest", b"layer")
    monkeypatch.setenv("http_proxy", f"http://me:pw@{scripted.host}")
    monkeypatch.setenv("no_proxy", "")
    reference = scripted.reference()

    with RegistryClient(replace(QUICK, mirrors={scripted.host: ("http://registry.invalid",)})) as through:
        scripted.rewrite = "http://registry.invalid"
        assert through.repository(reference).head("latest") == manifest.descriptor

    assert scripted.seen[0].headers["Host"] == "registry.invalid"
    assert any(name.lower() == "proxy-authorization" for name in scripted.seen[0].headers)


def test_a_proxy_of_another_kind_is_not_supported(client: RegistryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyrt.oci.reference import Reference

    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")

    with pytest.raises(Unsupported, match="proxy"):
        client.repository(Reference.parse("registry.invalid/x")).head("latest")


def test_certificates_that_do_not_load_are_named(tmp_path: Path) -> None:
    directory = tmp_path / "host.example:5000"
    directory.mkdir()
    options = replace(NONE, certificate_directories=(str(tmp_path),))

    (directory / "client.cert").write_text("no certificate")
    with pytest.raises(InvalidOption, match=r"client\.cert has no client\.key beside it"):
        certificates("host.example:5000", options, is_insecure=False)
    (directory / "client.key").write_text("no key")
    with pytest.raises(InvalidOption, match=r"client\.cert does not load"):
        certificates("host.example:5000", options, is_insecure=False)
    with pytest.raises(InvalidOption, match="no-such-file"):
        certificates("x", replace(NONE, ca_file=str(tmp_path / "no-such-file")), is_insecure=False)


def test_options_are_read(tmp_path: Path) -> None:
    path = tmp_path / "registries.toml"
    path.write_text(
        'retries = 2\nread_timeout_seconds = 7\nuser_agent = "me"\nca_file = "/ca"\n'
        '[registries."docker.io"]\nmirrors = ["a", "b:1"]\n'
        '[registries."r:5000"]\ninsecure = true\nca_file = "/r"\n[registries."s"]\ninsecure = false\n'
    )

    found = RegistryOptions.read(environ={"PYRT_REGISTRIES": str(path)})

    assert (found.retries, found.read_timeout_seconds, found.user_agent, found.ca_file) == (2, 7, "me", "/ca")
    assert found.mirrors == {"docker.io": ("a", "b:1")}
    assert found.insecure == frozenset({"r:5000"})
    assert found.ca_files == {"r:5000": "/r"}
    assert RegistryOptions.read(str(path)) == found


def test_options_of_the_home_directory(tmp_path: Path) -> None:
    (tmp_path / ".config/pyrt").mkdir(parents=True)
    (tmp_path / ".config/pyrt/registries.toml").write_text("retries = 9")

    assert RegistryOptions.read(environ={"HOME": str(tmp_path)}).retries == 9
    assert RegistryOptions.read(environ={"HOME": str(tmp_path / "no")}) == RegistryOptions()


@pytest.mark.parametrize(
    "text",
    ["x", "no_such = 1", "retries = '1'", "retries = true", "retries = -1", "read_timeout_seconds = 0",
     "registries = 1", "[registries.a]\nmirrors = 'x'",
     "[registries.a]\nmirrors = [1]", "[registries.a]\ninsecure = 'no'",
     "[registries.a]\nother = 1", "registries.a = 1", 'user_agent = "a\\nb"'],
)  # fmt: skip
def test_options_that_are_wrong_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.toml").write_text(text)

    with pytest.raises(InvalidOption):
        RegistryOptions.read(str(tmp_path / "file.toml"))


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="does not exist"):
        RegistryOptions.read(environ={"PYRT_REGISTRIES": str(tmp_path / "none")})


def test_the_room_loads_no_urllib3_until_there_is_a_client() -> None:
    program = "import sys, pyrt.registry as r; r.Credentials, r.RegistryOptions; print('urllib3' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_a_forgotten_client_is_a_warning() -> None:
    with pytest.warns(ResourceWarning, match="unclosed"):
        RegistryClient(QUICK).__del__()
