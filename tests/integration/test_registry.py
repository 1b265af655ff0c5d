"""The registry client against Debian's docker-registry, and beside skopeo."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pyrt.errors import DigestMismatch, ImageNotFound, Unauthorized, Unavailable
from pyrt.oci.manifest import Manifest
from pyrt.oci.reference import Reference
from pyrt.registry import Credentials, RegistryClient, Repository
from tests.docker_registry import USER, DockerRegistry, docker_registry, make_ca, serve
from tests.registries import QUICK, image_of

__all__ = ["docker_registry"]

pytestmark = pytest.mark.needs("docker-registry")
SMALL = bytes(range(256)) * 2_000
LARGE = os.urandom(1 << 20) * 20  # goes up by PATCH


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient(QUICK) as client:
        yield client


def push(repository: Repository, *layers: bytes, tag: str = "latest") -> Manifest:
    manifest, blobs = image_of(*layers)
    for descriptor, content in blobs.items():
        repository.upload(descriptor, partial(list, [content]))
    repository.put_manifest(manifest.raw, manifest.media_type, tag)
    return manifest


def pulled(repository: Repository, tag: str = "latest") -> list[bytes]:
    manifest = repository.manifest(tag)
    assert isinstance(manifest, Manifest)
    contents = []
    for descriptor in manifest.layers:
        with repository.blob(descriptor) as chunks:
            contents.append(b"".join(chunks))
    return contents


def test_what_goes_up_comes_down(client: RegistryClient, docker_registry: DockerRegistry) -> None:
    repository = client.repository(docker_registry.reference())

    manifest = push(repository, SMALL, LARGE, b"")

    assert repository.head("latest") == manifest.descriptor
    assert repository.manifest(manifest.descriptor.digest) == manifest
    assert pulled(repository) == [SMALL, LARGE, b""]
    assert [repository.upload(each, list) for each in manifest.layers] == ["exists"] * 3


@contextmanager
def cutting(host: str, sent_bytes: int, received_bytes: int) -> Iterator[str]:
    """Relay to a registry, and cut the first connection that has carried so many bytes one way or the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    address, port = host.split(":")
    cuts, threads = [1], list[threading.Thread]()

    def pump(source: socket.socket, sink: socket.socket, left: int) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                left -= len(data)
                sink.sendall(data)
                if left < 0 and cuts:
                    cuts.pop()
                    break
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve_one(near: socket.socket) -> None:
        with near, socket.create_connection((address, int(port))) as far:
            back = threading.Thread(target=pump, args=[far, near, received_bytes])
            back.start()
            pump(near, far, sent_bytes)
            back.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve_one, args=[listener.accept()[0]]))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        assert not cuts, "nothing was cut"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("chunk_bytes", [0, 8 << 20])
def test_an_upload_that_is_cut_goes_on_where_it_was(docker_registry: DockerRegistry, chunk_bytes: int) -> None:
    with (
        cutting(docker_registry.host, 13 << 20, 1 << 40) as host,
        RegistryClient(replace(QUICK, upload_chunk_bytes=chunk_bytes)) as client,
    ):
        manifest = push(client.repository(Reference.parse(f"{host}/some/image")), LARGE)

        repository = client.repository(docker_registry.reference())
        assert pulled(repository) == [LARGE]
        assert repository.head("latest") == manifest.descriptor


def test_a_download_that_is_cut_goes_on_where_it_was(client: RegistryClient, docker_registry: DockerRegistry) -> None:
    push(client.repository(docker_registry.reference()), LARGE)

    with cutting(docker_registry.host, 1 << 40, 13 << 20) as host, RegistryClient(QUICK) as cut:
        assert pulled(cut.repository(Reference.parse(f"{host}/some/image"))) == [LARGE]


def test_a_blob_goes_up_in_chunks(docker_registry: DockerRegistry) -> None:
    with RegistryClient(replace(QUICK, upload_chunk_bytes=3 << 20)) as client:
        repository = client.repository(docker_registry.reference())
        push(repository, LARGE)

        assert pulled(repository) == [LARGE]


def test_a_blob_comes_by_parallel_ranges(docker_registry: DockerRegistry) -> None:
    eager = replace(QUICK, parallel_threshold_bytes=0, parallel_below_bytes_per_second=1e15)
    with RegistryClient(eager) as client:
        repository = client.repository(docker_registry.reference())
        push(repository, LARGE)

        assert pulled(repository) == [LARGE]


def test_a_blob_is_mounted_from_a_neighbour(client: RegistryClient, docker_registry: DockerRegistry) -> None:
    manifest = push(client.repository(docker_registry.reference("one/image")), LARGE)
    other = client.repository(docker_registry.reference("other/image"))

    assert other.upload(manifest.layers[0], list, mount_from="one/image") == "mounted"
    assert other.has_blob(manifest.layers[0].digest)


def test_lists_and_deletes(client: RegistryClient, docker_registry: DockerRegistry) -> None:
    repository = client.repository(docker_registry.reference())
    tags = [f"v{number:03}" for number in range(120)]
    manifest = push(repository, SMALL)
    for tag in tags:
        repository.put_manifest(manifest.raw, manifest.media_type, tag)

    assert sorted(repository.tags()) == ["latest", *tags]
    assert list(client.catalog(docker_registry.host)) == ["some/image"]
    assert repository.referrers(manifest.descriptor.digest) == ()
    repository.delete(manifest.descriptor.digest)
    repository.delete_blob(manifest.layers[0].digest)
    with pytest.raises(ImageNotFound):
        repository.head("latest")
    assert not repository.has_blob(manifest.layers[0].digest)


def test_an_artifact_is_found_by_its_subject(client: RegistryClient, docker_registry: DockerRegistry) -> None:
    repository = client.repository(docker_registry.reference())
    manifest = push(repository, SMALL)
    document = dict(manifest.document) | {"subject": manifest.descriptor.to_json(), "artifactType": "application/x"}

    digest = repository.put_manifest(json.dumps(document).encode(), manifest.media_type, "signature")

    assert [each.digest for each in repository.referrers(manifest.descriptor.digest, "application/x")] == [digest]


def test_a_corrupt_blob_on_the_registrys_disk_is_found(client: RegistryClient, docker_registry: DockerRegistry) -> None:
    repository = client.repository(docker_registry.reference())
    digest = push(repository, SMALL).layers[0].digest
    path = docker_registry.directory / f"data/docker/registry/v2/blobs/sha256/{digest.hex[:2]}/{digest.hex}/data"
    path.write_bytes(SMALL[:-1] + b"!")

    with pytest.raises(DigestMismatch, match=str(digest)):
        pulled(repository)


def test_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(tmp_path, has_user=True) as registry:
        (tmp_path / "config.json").write_text(
            json.dumps({"auths": {registry.host: dict(zip(("username", "password"), USER, strict=True))}})
        )
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        with RegistryClient(QUICK) as client:
            repository = client.repository(registry.reference())
            push(repository, LARGE)
            assert pulled(repository) == [LARGE]
        monkeypatch.delenv("DOCKER_CONFIG")
        monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
        with RegistryClient(QUICK) as client, pytest.raises(Unauthorized, match="log in"):
            pulled(client.repository(registry.reference()))
        wrong = {registry.host: Credentials(USER[0], "wrong")}
        with (
            RegistryClient(replace(QUICK, credentials=wrong)) as client,
            pytest.raises(Unauthorized, match=registry.host),
        ):
            pulled(client.repository(registry.reference()))


def certs_d(top: Path, host: str, ca: Path, *names: str) -> tuple[str, ...]:
    (top / "certs.d" / host).mkdir(parents=True)
    for name in names:
        (top / "certs.d" / host / name).write_bytes((ca / name).read_bytes())
    return (str(top / "certs.d"),)


def test_tls_with_a_ca_of_its_own(tmp_path: Path) -> None:
    ca, other = make_ca(tmp_path), make_ca(tmp_path / "other")
    with serve(tmp_path, ca=ca) as registry:
        host = registry.host
        trusting = (
            replace(QUICK, ca_files={host: str(ca / "ca.crt")}),
            replace(QUICK, certificate_directories=certs_d(tmp_path, host, ca, "ca.crt")),
        )
        for options in trusting:
            with RegistryClient(options) as client:
                push(client.repository(registry.reference()), SMALL)
                assert pulled(client.repository(registry.reference())) == [SMALL]
        with (
            RegistryClient(replace(QUICK, ca_files={host: str(other / "ca.crt")}, retries=0)) as client,
            pytest.raises(Unavailable, match=r"fails at TLS.*certificate"),
        ):
            pulled(client.repository(registry.reference()))
        with RegistryClient(QUICK) as client:  # this very machine needs no certificate
            assert pulled(client.repository(registry.reference())) == [SMALL]


def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    ca = make_ca(tmp_path)
    with serve(tmp_path, ca=ca, wants_client=True) as registry:
        directories = certs_d(tmp_path, registry.host, ca, "ca.crt", "client.cert", "client.key")
        with RegistryClient(replace(QUICK, certificate_directories=directories)) as client:
            push(client.repository(registry.reference()), SMALL)
            assert pulled(client.repository(registry.reference())) == [SMALL]
        with RegistryClient(QUICK) as client, pytest.raises(Unavailable):
            pulled(client.repository(registry.reference()))


def test_a_mirror_is_asked_first_by_pulls_and_never_by_pushes(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    with serve(tmp_path, mirror_of=f"http://{docker_registry.host}") as mirror:
        options = replace(QUICK, mirrors={docker_registry.host: (mirror.host,)})
        with RegistryClient(options) as client:
            repository = client.repository(docker_registry.reference())
            push(repository, SMALL)
            assert pulled(repository) == [SMALL]
    assert "data" in os.listdir(tmp_path)
    with RegistryClient(options) as client:  # the mirror is gone now
        assert pulled(client.repository(docker_registry.reference())) == [SMALL]


@pytest.mark.needs("skopeo")
def test_skopeo_reads_what_goes_up(client: RegistryClient, docker_registry: DockerRegistry, tmp_path: Path) -> None:
    manifest = push(client.repository(docker_registry.reference()), SMALL, LARGE)

    skopeo("copy", "--src-tls-verify=false", f"docker://{docker_registry.reference()}", f"dir:{tmp_path}/copy")

    assert (tmp_path / "copy/manifest.json").read_bytes() == manifest.raw
    assert (tmp_path / "copy" / manifest.layers[1].digest.hex).read_bytes() == LARGE


@pytest.mark.needs("skopeo")
def test_what_skopeo_pushes_comes_down(client: RegistryClient, docker_registry: DockerRegistry, tmp_path: Path) -> None:
    push(client.repository(docker_registry.reference()), SMALL)
    there = docker_registry.reference("other/image")

    skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{docker_registry.reference()}",
           f"docker://{there}")  # fmt: skip

    assert [gzip.decompress(each) for each in pulled(client.repository(there))] == [SMALL]


def skopeo(*arguments: str) -> None:
    done = subprocess.run(["skopeo", "--insecure-policy", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
