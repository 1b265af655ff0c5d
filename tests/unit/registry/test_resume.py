"""Blobs over connections that break: resumed, restarted, given up, over several connections at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import replace

import pytest

from pyrt.errors import DigestMismatch, RegistryError, SizeMismatch, Unavailable
from pyrt.oci.descriptor import Descriptor
from pyrt.registry import RegistryClient, RegistryOptions
from pyrt.registry.parallel import SEGMENT_BYTES
from tests.registries import QUICK, Fault, ScriptedRegistry

LAYER = bytes(range(256)) * 20_000  # 5 MB
LARGE = bytes(range(251)) * 100_000  # 25 MB
EAGER = replace(QUICK, parallel_threshold_bytes=0, parallel_below_bytes_per_second=1e15)


def read(registry: ScriptedRegistry, descriptor: Descriptor, options: RegistryOptions = QUICK, **given: bool) -> bytes:
    with (
        RegistryClient(options) as client,
        client.repository(registry.reference()).blob(descriptor, **given) as chunks,
    ):
        return b"".join(chunks)


def ranges_of(registry: ScriptedRegistry) -> list[str]:
    return [each.headers.get("Range", "") for each in registry.asked("GET", "/blobs/")]


@pytest.mark.parametrize("cut", [0, 1, 70_000, 1 << 20, len(LAYER) - 1])
def test_a_cut_blob_is_resumed(scripted: ScriptedRegistry, cut: int) -> None:
    descriptor = scripted.add(LAYER)
    scripted.faults.append(Fault(path="/blobs/", cut_after=cut))

    assert read(scripted, descriptor) == LAYER
    first, *rest = ranges_of(scripted)
    assert first == "" and len(rest) == 1
    if cut >= 1 << 20:
        assert rest[0].startswith("bytes=") and rest[0] != "bytes=0-"
        assert scripted.asked("GET", "/blobs/")[1].headers["If-Range"] == f'"{descriptor.digest}"'


def test_a_stalled_blob_is_resumed(scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LAYER)
    scripted.faults.append(Fault(path="/blobs/", stall_after=2 << 20))

    assert read(scripted, descriptor, replace(QUICK, read_timeout_seconds=0.3)) == LAYER
    assert len(ranges_of(scripted)) == 2


def test_a_registry_without_ranges_is_read_from_the_start_again(scripted: ScriptedRegistry) -> None:
    scripted.has_ranges = False
    descriptor = scripted.add(LAYER)
    scripted.faults.append(Fault(path="/blobs/", cut_after=2 << 20, times=2))

    assert read(scripted, descriptor) == LAYER
    assert len(ranges_of(scripted)) == 3


def test_progress_renews_the_patience(scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LAYER)
    scripted.faults.append(Fault(path="/blobs/", cut_after=1 << 20, times=4))

    assert read(scripted, descriptor, replace(QUICK, retries=1)) == LAYER


def test_a_blob_that_never_gets_on_is_given_up(scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LAYER)
    scripted.faults.append(Fault(path="/blobs/", cut_after=10, times=1000))

    with pytest.raises(Unavailable, match=rf"{scripted.host} has cut the connection.*of {len(LAYER)} bytes"):
        read(scripted, descriptor)
    assert len(ranges_of(scripted)) == QUICK.retries + 1


@pytest.mark.parametrize("verify", [True, False])
def test_a_wrong_byte_is_found(scripted: ScriptedRegistry, verify: bool) -> None:
    descriptor = scripted.add(LAYER)
    scripted.blobs[str(descriptor.digest)] = wrong = LAYER[:-1] + b"!"

    if verify:
        with pytest.raises(DigestMismatch, match=str(descriptor.digest)):
            read(scripted, descriptor)
    else:
        assert read(scripted, descriptor, verify=False) == wrong


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("difference", [-1, 1, 2 << 20])
def test_a_wrong_size_is_found(scripted: ScriptedRegistry, difference: int, announced: bool, verify: bool) -> None:
    descriptor = scripted.add(LAYER)
    scripted.blobs[str(descriptor.digest)] = (LAYER * 2)[: len(LAYER) + difference]
    scripted.faults.append(Fault(path="/blobs/", times=1000, without=() if announced else ("Content-Length",)))

    with pytest.raises(SizeMismatch if announced or difference > 0 else (SizeMismatch, Unavailable, RegistryError)):
        read(scripted, descriptor, verify=verify)


def test_more_than_is_announced_does_not_reach_the_next_answer(scripted: ScriptedRegistry) -> None:
    first, second = scripted.add(b"first"), scripted.add(b"second")
    scripted.faults.append(Fault(status=200, body=b"first" + b"HTTP/1.1 200 OK\r\n", headers={"Content-Length": "5"}))

    with RegistryClient(QUICK) as client:
        repository = client.repository(scripted.reference())
        for descriptor, content in ((first, b"first"), (second, b"second")):
            with repository.blob(descriptor) as chunks:
                assert b"".join(chunks) == content


@pytest.mark.parametrize(
    "said", ["bytes 0-9/5120000", "bytes 1048576-1048580/7", "pages 1-2/3", "bytes 5-3/5120000", ""]
)
def test_a_range_that_is_another_is_refused(scripted: ScriptedRegistry, said: str) -> None:
    descriptor = scripted.add(LAYER)
    scripted.faults.append(Fault(path="/blobs/", cut_after=1 << 20))
    scripted.faults.append(Fault(path="/blobs/", status=206, body=b"x" * 10, headers={"Content-Range": said}))

    with pytest.raises(RegistryError, match="another range"):
        read(scripted, descriptor)


def test_leaving_early_ends_the_connection(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LARGE)

    with client.repository(scripted.reference()).blob(descriptor) as chunks:
        assert next(chunks) == LARGE[: 1 << 20]

    with pytest.raises(StopIteration):
        next(chunks)


def test_cancelled_ends_a_stalled_read_at_once(scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LAYER)
    scripted.faults.append(Fault(path="/blobs/", stall_after=1 << 20))
    given_up = threading.Event()

    with RegistryClient(replace(QUICK, read_timeout_seconds=100)) as client:
        repository = client.repository(scripted.reference(), cancelled=given_up.is_set)
        with repository.blob(descriptor) as chunks, pytest.raises(Unavailable, match="cancelled"):
            for _chunk in chunks:
                given_up.set()


@pytest.mark.parametrize("fault", [Fault(stall_after=0), Fault(stall_after=0, status=200, body=b"xx")])
def test_closing_the_client_ends_what_other_threads_wait_for(scripted: ScriptedRegistry, fault: Fault) -> None:
    scripted.add_image("some/image", "latest", LAYER)
    scripted.faults.append(fault)
    failures: list[Exception] = []

    def resolve(client: RegistryClient) -> None:
        try:
            client.repository(scripted.reference()).manifest("latest")
        except Unavailable as error:
            failures.append(error)

    with RegistryClient(replace(QUICK, read_timeout_seconds=100)) as client:
        thread = threading.Thread(target=resolve, args=[client])
        thread.start()
        while not scripted.seen:
            time.sleep(0.01)
    thread.join(20)

    assert not thread.is_alive()
    assert "closed" in str(failures[0])


def parallel(registry: ScriptedRegistry, content: bytes) -> bytes:
    descriptor = registry.add(content)
    return read(registry, descriptor, EAGER)


@pytest.mark.parametrize("size", [0, 1, SEGMENT_BYTES, 2 * SEGMENT_BYTES, 2 * SEGMENT_BYTES + 1, len(LARGE)])
def test_parallel_ranges_give_the_blob_in_order(scripted: ScriptedRegistry, size: int) -> None:
    assert parallel(scripted, LARGE[:size]) == LARGE[:size]
    assert (len(ranges_of(scripted)) > 1) == (size > 2 * SEGMENT_BYTES)


def test_parallel_ranges_are_resumed(scripted: ScriptedRegistry) -> None:
    scripted.faults += [Fault(path="/blobs/", cut_after=1 << 20, after=number) for number in range(4)]

    assert parallel(scripted, LARGE) == LARGE
    assert sum(fault.times for fault in scripted.faults) == 0


def test_ranges_that_are_promised_and_not_kept(scripted: ScriptedRegistry) -> None:
    scripted.has_ranges = False
    scripted.faults.append(Fault(path="/blobs/", headers={"Accept-Ranges": "bytes"}, times=1000))

    assert parallel(scripted, LARGE) == LARGE


def test_a_wrong_byte_is_found_among_parallel_ranges(scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LARGE)
    scripted.blobs[str(descriptor.digest)] = LARGE[:-1] + b"!"

    with pytest.raises(DigestMismatch):
        read(scripted, descriptor, EAGER)


def test_a_parallel_range_that_fails_fails_the_blob(scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LARGE)
    scripted.faults.append(Fault(path="/blobs/", cut_after=0, after=2, times=1000))

    with pytest.raises(Unavailable, match="cut"):
        read(scripted, descriptor, EAGER)


def test_leaving_parallel_ranges_early_ends_their_threads(scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LARGE)
    scripted.faults.append(Fault(path="/blobs/", stall_after=0, after=2, times=1000))

    def chunks_of(client: RegistryClient) -> Generator[bytes, None, None]:
        with client.repository(scripted.reference()).blob(descriptor) as chunks:
            yield from chunks

    with RegistryClient(replace(EAGER, read_timeout_seconds=100)) as client:
        chunks = chunks_of(client)
        for _ in range(6):
            next(chunks)
        chunks.close()
        assert not [each for each in threading.enumerate() if each.name == "pyrt-blob"]


def test_a_fast_connection_is_left_alone(scripted: ScriptedRegistry) -> None:
    descriptor = scripted.add(LARGE)

    assert read(scripted, descriptor, replace(EAGER, parallel_below_bytes_per_second=1.0)) == LARGE
    assert len(ranges_of(scripted)) == 1
