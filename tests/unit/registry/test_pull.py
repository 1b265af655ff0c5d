"""Reading from a registry: heads, manifests, blobs, lists, as one that keeps to the specification has them."""

from __future__ import annotations

import gc
import json
import os
from dataclasses import replace
from typing import Any

import pytest

from pyrt.errors import BlobNotFound, DigestMismatch, ImageNotFound, RegistryError, SizeMismatch, Unsupported
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.manifest import Index, make_index
from pyrt.registry import RegistryClient
from tests.registries import QUICK, TAR, Fault, ScriptedRegistry

LAYER = bytes(range(256)) * 20_000  # 5 MB


def read(client: RegistryClient, registry: ScriptedRegistry, descriptor: Descriptor, **options: Any) -> bytes:
    with client.repository(registry.reference()).blob(descriptor, **options) as chunks:
        return b"".join(chunks)


def test_a_head_is_one_request(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    manifest = scripted.add_image("some/image", "latest", LAYER)

    found = client.repository(scripted.reference()).head("latest")

    assert found == manifest.descriptor
    assert [(each.method, each.path) for each in scripted.seen] == [("HEAD", "/v2/some/image/manifests/latest")]


@pytest.mark.parametrize("lacking", ["Docker-Content-Digest", "Content-Length"])
def test_a_head_without_a_digest_or_size_reads_the_manifest(
    client: RegistryClient, scripted: ScriptedRegistry, lacking: str
) -> None:
    manifest = scripted.add_image("some/image", "latest", LAYER)
    scripted.faults.append(Fault(method="HEAD", without=(lacking,)))

    assert client.repository(scripted.reference()).head("latest") == manifest.descriptor
    assert [each.method for each in scripted.seen] == ["HEAD", "GET"]


def test_a_manifest_comes_as_it_is(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    manifest = scripted.add_image("some/image", "latest", LAYER)
    repository = client.repository(scripted.reference())

    assert repository.manifest("latest").raw == manifest.raw
    assert repository.manifest(manifest.descriptor.digest) == manifest
    accepted = scripted.seen[0].headers["Accept"]
    assert "manifest.list.v2+json" in accepted and "oci.image.index.v1+json" in accepted


def test_an_index_comes_as_an_index(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    index = make_index([scripted.add_image("some/image", "amd", LAYER).descriptor])
    scripted.add_manifest("some/image", "latest", index.media_type, index.raw)

    found = client.repository(scripted.reference()).manifest("latest")

    assert isinstance(found, Index) and found == index


def test_what_is_not_there_is_not_found(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    repository = client.repository(scripted.reference())

    with pytest.raises(ImageNotFound, match=rf"{scripted.host}/some/image:latest: {scripted.host} answers 404"):
        repository.head("latest")
    with pytest.raises(ImageNotFound, match="MANIFEST_UNKNOWN"):
        repository.manifest("latest")
    with pytest.raises(BlobNotFound, match="BLOB_UNKNOWN"):
        repository.blob(Descriptor.of(TAR, LAYER))
    assert repository.has_blob(Digest.of(LAYER)) is False


@pytest.mark.parametrize("by_digest", [True, False])
def test_a_manifest_that_is_another_is_refused(
    client: RegistryClient, scripted: ScriptedRegistry, by_digest: bool
) -> None:
    digest = scripted.add_image("some/image", "latest", LAYER).descriptor.digest
    media_type, raw = scripted.manifests["some/image", "latest"]
    scripted.faults.append(
        Fault(status=200, body=raw + b" ", headers={"Content-Type": media_type, "Docker-Content-Digest": str(digest)})
    )

    with pytest.raises(DigestMismatch, match=str(digest)):
        client.repository(scripted.reference()).manifest(digest if by_digest else "latest")


def test_schema_1_is_named(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    scripted.add_manifest("some/image", "latest", media_type, b'{"schemaVersion":1}')

    with pytest.raises(Unsupported, match="schema 1"):
        client.repository(scripted.reference()).manifest("latest")


def test_a_manifest_over_the_limit_is_refused(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    scripted.faults.append(Fault(status=200, body=b" " * (4 << 20) + b"{}"))

    with pytest.raises(RegistryError, match="more than 4194304 bytes"):
        client.repository(scripted.reference()).manifest("latest")


@pytest.mark.parametrize("size", [0, 1, 1 << 20, len(LAYER)])
def test_a_blob_arrives_whole(client: RegistryClient, scripted: ScriptedRegistry, size: int) -> None:
    descriptor = scripted.add(LAYER[:size])

    assert read(client, scripted, descriptor) == LAYER[:size]
    assert client.repository(scripted.reference()).has_blob(descriptor.digest) is True


def test_connections_are_used_again(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LAYER)
    scripted.add_image("some/image", "latest", b"x")

    client.repository(scripted.reference()).head("latest")
    first = set(scripted.connections)
    read(client, scripted, descriptor)
    client.repository(scripted.reference()).manifest("latest")

    assert len(first) == 1
    assert scripted.connections == first


def test_what_a_descriptor_brings_along_is_not_fetched(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    descriptor = replace(Descriptor.of(TAR, b"here"), data=b"here")

    assert read(client, scripted, descriptor) == b"here"
    assert scripted.seen == []
    with pytest.raises(DigestMismatch, match="in the descriptor"):
        read(client, scripted, replace(descriptor, data=b"HERE"))
    with pytest.raises(SizeMismatch, match="in the descriptor"):
        read(client, scripted, replace(descriptor, data=b"there"))


@pytest.mark.parametrize("page", [0, 1, 2, 5])
def test_tags_and_repositories_come_in_pages(client: RegistryClient, scripted: ScriptedRegistry, page: int) -> None:
    scripted.page = page
    for tag in "abcde":
        scripted.add_image("some/image", tag, b"x")
        scripted.add_image(f"other/{tag}", tag, b"x")

    assert list(client.repository(scripted.reference()).tags()) == list("abcde")
    assert list(client.catalog(scripted.host)) == [*(f"other/{tag}" for tag in "abcde"), "some/image"]


def test_tags_of_an_unknown_repository(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    with pytest.raises(ImageNotFound, match="NAME_UNKNOWN"):
        list(client.repository(scripted.reference()).tags())


@pytest.mark.parametrize("has_api", [True, False])
def test_referrers(client: RegistryClient, scripted: ScriptedRegistry, has_api: bool) -> None:
    scripted.has_referrers = has_api
    subject = scripted.add_image("some/image", "latest", LAYER).descriptor
    artifact = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/x-signature",
        "config": Descriptor.of("application/vnd.oci.empty.v1+json", b"{}").to_json(),
        "layers": [],
        "subject": subject.to_json(),
    }
    repository = client.repository(scripted.reference())

    assert repository.referrers(subject.digest) == ()
    digest = repository.put_manifest(json.dumps(artifact).encode(), str(artifact["mediaType"]), "signature")

    assert digest in [each.digest for each in repository.referrers(subject.digest)]
    if not has_api:
        assert [each.digest for each in repository.referrers(subject.digest, "application/x-signature")] == [digest]
        assert repository.referrers(subject.digest, "application/x-other") == ()
    assert ("some/image", str(subject.digest).replace(":", "-")) in scripted.manifests


def test_deletes(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    digest = scripted.add_image("some/image", "latest", LAYER).descriptor.digest
    repository = client.repository(scripted.reference())

    repository.delete(digest)
    repository.delete_blob(Digest.of(LAYER))

    with pytest.raises(ImageNotFound):
        repository.delete(digest)
    with pytest.raises(BlobNotFound):
        repository.delete_blob(Digest.of(LAYER))
    scripted.faults.append(Fault(method="DELETE", status=405))
    with pytest.raises(Unsupported, match="does not allow"):
        repository.delete("latest")


def test_a_foreign_layer_comes_from_its_own_url_where_the_registry_lacks_it(
    client: RegistryClient, scripted: ScriptedRegistry
) -> None:
    elsewhere = ScriptedRegistry()
    try:
        descriptor = elsewhere.add(LAYER)
        urls = ("ftp://x/y", f"http://{elsewhere.host}/elsewhere/some/blobs/{descriptor.digest}")

        assert read(client, scripted, replace(descriptor, urls=urls)) == LAYER
        with pytest.raises(BlobNotFound, match="no http"):
            read(client, scripted, replace(descriptor, urls=urls[:1]))
        scripted.add(LAYER)
        elsewhere.seen.clear()
        assert read(client, scripted, replace(descriptor, urls=urls)) == LAYER
        assert elsewhere.seen == []
    finally:
        elsewhere.close()


def test_closing_the_client_closes_its_connections_at_once(scripted: ScriptedRegistry) -> None:
    scripted.add_image("some/image", "latest", LAYER)
    gc.disable()
    try:
        with RegistryClient(QUICK) as client:
            client.repository(scripted.reference()).head("latest")
            open_here = sockets()
        assert open_here - sockets()
    finally:
        gc.enable()


def sockets() -> set[str]:
    """Give the sockets of this process that lead somewhere."""
    return {name for name in os.listdir("/proc/self/fd") if os.path.islink(path := f"/proc/self/fd/{name}")
            and os.readlink(path).startswith("socket:")}  # fmt: skip
