"""Writing to a registry: uploads in one piece and in several, resumed; mounts; manifests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pyrt.errors import BlobNotFound, DigestMismatch, InvalidReference, RegistryError, SizeMismatch, Unavailable
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.registry import RegistryClient, RegistryOptions
from tests.registries import QUICK, TAR, Fault, ScriptedRegistry, image_of

MIB = 1 << 20
SMALL = bytes(range(256)) * 2_000
LARGE = bytes(range(251)) * 100_000  # 25 MB: goes up by PATCH


def chunks_of(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 300_000):
        yield content[start : start + 300_000]


def push(registry: ScriptedRegistry, content: bytes, options: RegistryOptions = QUICK, **given: str) -> str:
    descriptor = Descriptor.of(TAR, content)
    with RegistryClient(options) as client:
        repository = client.repository(registry.reference())
        done = repository.upload(descriptor, lambda: chunks_of(content), **given)
    assert registry.blobs[str(descriptor.digest)] == content
    return done


def verbs(registry: ScriptedRegistry) -> list[str]:
    return [each.method for each in registry.seen]


def test_a_small_blob_goes_up_in_one_piece(scripted: ScriptedRegistry) -> None:
    assert push(scripted, SMALL) == "pushed"
    assert verbs(scripted) == ["HEAD", "POST", "PUT"]


def test_an_empty_blob_goes_up(scripted: ScriptedRegistry) -> None:
    assert push(scripted, b"") == "pushed"


def test_a_large_blob_goes_up_by_patch(scripted: ScriptedRegistry) -> None:
    assert push(scripted, LARGE) == "pushed"
    assert verbs(scripted) == ["HEAD", "POST", "PATCH", "PUT"]


def test_what_is_there_is_not_sent(scripted: ScriptedRegistry) -> None:
    scripted.add(SMALL)

    assert push(scripted, SMALL) == "exists"
    assert verbs(scripted) == ["HEAD"]


def test_a_neighbours_blob_is_mounted(scripted: ScriptedRegistry) -> None:
    scripted.add(SMALL)
    scripted.faults.append(Fault(method="HEAD", status=404))

    assert push(scripted, SMALL, mount_from="other/image") == "mounted"
    assert "from=other%2Fimage" in scripted.seen[-1].path and verbs(scripted) == ["HEAD", "POST"]


def test_a_mount_that_is_not_had_becomes_an_upload(scripted: ScriptedRegistry) -> None:
    assert push(scripted, SMALL, mount_from="other/image") == "pushed"
    assert verbs(scripted) == ["HEAD", "POST", "PUT"]


@pytest.mark.parametrize(("wished", "least"), [(4 * MIB, 0), (MIB, 4 * MIB), (0, 4 * MIB), (4 * MIB, MIB)])
def test_chunks_are_as_large_as_wished_and_demanded(scripted: ScriptedRegistry, wished: int, least: int) -> None:
    scripted.least_chunk_bytes = least

    push(scripted, LARGE, replace(QUICK, upload_chunk_bytes=wished))

    sizes = [len(each.body) for each in scripted.asked("PATCH")]
    assert set(sizes[:-1]) == {4 * MIB} and sum(sizes) == len(LARGE)
    spans = [each.headers["Content-Range"] for each in scripted.asked("PATCH")]
    assert spans[1] == f"{4 * MIB}-{8 * MIB - 1}" and spans[-1].endswith(f"-{len(LARGE) - 1}")


@pytest.mark.parametrize("arrived", [0, 1, 2, 5 * MIB])
@pytest.mark.parametrize("wished", [0, 4 * MIB])
def test_a_cut_upload_is_resumed(scripted: ScriptedRegistry, arrived: int, wished: int) -> None:
    scripted.faults.append(Fault(method="PATCH", read_only=arrived))

    assert push(scripted, LARGE, replace(QUICK, upload_chunk_bytes=wished)) == "pushed"
    assert len(scripted.asked("POST")) == (1 if arrived > 1 else 2)  # "0-0" may mean one byte, or none
    assert len(scripted.asked("GET", "/uploads/")) == 1


def test_an_upload_that_is_cut_again_and_again_gets_there(scripted: ScriptedRegistry) -> None:
    scripted.faults.append(Fault(method="PATCH", read_only=4 * MIB, times=5))

    assert push(scripted, LARGE, replace(QUICK, retries=2)) == "pushed"


def test_an_upload_that_never_gets_on_is_given_up(scripted: ScriptedRegistry) -> None:
    scripted.faults.append(Fault(method="PATCH", read_only=0, times=1000))

    with pytest.raises(Unavailable, match=str(Digest.of(LARGE))):
        push(scripted, LARGE)


def test_a_lost_upload_is_begun_anew(scripted: ScriptedRegistry) -> None:
    scripted.faults.append(Fault(method="PATCH", status=404))

    assert push(scripted, LARGE) == "pushed"
    assert len(scripted.asked("POST")) == 2


def test_a_last_word_that_is_lost_is_looked_up(scripted: ScriptedRegistry) -> None:
    scripted.faults.append(Fault(method="PUT", read_only=0))
    scripted.faults.append(Fault(method="HEAD", status=200, after=1))
    scripted.blobs[str(Digest.of(SMALL))] = SMALL
    scripted.faults.append(Fault(method="HEAD", status=404))

    assert push(scripted, SMALL) == "pushed"
    assert len(scripted.asked("POST")) == 1


def test_a_small_upload_is_repeated(scripted: ScriptedRegistry) -> None:
    scripted.faults.append(Fault(method="PUT", read_only=1000))
    scripted.faults.append(Fault(method="POST", status=503))

    assert push(scripted, SMALL) == "pushed"


@pytest.mark.parametrize("content", [SMALL, LARGE])
@pytest.mark.parametrize("difference", [-1, 1])
def test_a_source_of_another_size_is_refused(
    client: RegistryClient, scripted: ScriptedRegistry, content: bytes, difference: int
) -> None:
    descriptor = replace(Descriptor.of(TAR, content), size=len(content) + difference)

    with pytest.raises(SizeMismatch, match="the source"):
        client.repository(scripted.reference()).upload(descriptor, lambda: chunks_of(content))
    assert scripted.blobs == {}


def test_a_source_of_other_bytes_is_refused_by_the_registry(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    descriptor = Descriptor.of(TAR, SMALL)

    with pytest.raises(RegistryError, match="DIGEST_INVALID") as caught:
        client.repository(scripted.reference()).upload(descriptor, lambda: [b"!" + SMALL[1:]])
    assert (caught.value.status, caught.value.code, caught.value.detail) == (400, "DIGEST_INVALID", {"by": "script"})


def test_a_source_that_fails_fails_as_it_does(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    def broken() -> Iterator[bytes]:
        yield SMALL[:1000]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.repository(scripted.reference()).upload(Descriptor.of(TAR, SMALL), broken)


def test_a_manifest_goes_up_under_a_tag_and_a_digest(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    manifest, _ = image_of(SMALL)
    repository = client.repository(scripted.reference())
    digest = manifest.descriptor.digest

    assert repository.put_manifest(manifest.raw, manifest.media_type, "v1") == digest
    assert repository.put_manifest(manifest.raw, manifest.media_type, digest) == digest
    assert scripted.manifests["some/image", "v1"] == (manifest.media_type, manifest.raw)


def test_a_manifest_of_another_digest_is_refused(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    manifest, _ = image_of(SMALL)
    repository = client.repository(scripted.reference())

    with pytest.raises(DigestMismatch):
        repository.put_manifest(manifest.raw, manifest.media_type, Digest.of(b"x"))
    assert scripted.seen == []
    scripted.faults.append(Fault(status=201, headers={"Docker-Content-Digest": str(Digest.of(b"x"))}))
    with pytest.raises(DigestMismatch, match="has stored something else"):
        repository.put_manifest(manifest.raw, manifest.media_type, "v1")


def test_a_blob_that_is_too_large_in_one_piece_says_how_else(
    client: RegistryClient, scripted: ScriptedRegistry
) -> None:
    scripted.faults.append(Fault(method="PUT", status=413))

    with pytest.raises(RegistryError, match="answers 413; set upload_chunk_bytes"):
        client.repository(scripted.reference()).upload(Descriptor.of(TAR, SMALL), lambda: [SMALL])


def test_a_registry_may_take_its_time_with_the_last_word(scripted: ScriptedRegistry) -> None:
    scripted.answers_after_seconds = 0.5

    assert push(scripted, SMALL, replace(QUICK, read_timeout_seconds=0.2)) == "pushed"
    assert len(scripted.asked("PUT")) == 1


@pytest.mark.parametrize("tag", ["", "../x", "http://evil.example/", "a b", "a?b", "-x", "x" * 129])
def test_what_is_no_tag_is_not_sent(client: RegistryClient, scripted: ScriptedRegistry, tag: str) -> None:
    repository = client.repository(scripted.reference())

    for verb in (repository.head, repository.manifest, repository.delete):
        with pytest.raises(InvalidReference):
            verb(tag)
    assert scripted.seen == []


def test_a_manifest_whose_blobs_lack(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    manifest, _ = image_of(SMALL)
    body = b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}'
    scripted.faults.append(Fault(method="PUT", status=400, body=body))

    with pytest.raises(BlobNotFound, match="MANIFEST_BLOB_UNKNOWN"):
        client.repository(scripted.reference()).put_manifest(manifest.raw, manifest.media_type, "v1")
