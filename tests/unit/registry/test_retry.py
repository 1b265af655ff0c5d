"""What is tried again, how often and after which waits; and what is not."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pyrt.errors import RegistryError, Unavailable
from pyrt.registry import RegistryClient, retry
from pyrt.registry.retry import Patience
from tests.registries import QUICK, Fault, ScriptedRegistry


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that were wanted; none takes any time."""
    clock, wanted = [0.0], list[float]()

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return clock[0]

        @staticmethod
        def sleep(seconds: float) -> None:
            clock[0] += seconds
            wanted.append(seconds)

    monkeypatch.setattr(retry, "time", Clock)
    return wanted


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(client: RegistryClient, scripted: ScriptedRegistry, status: int) -> None:
    manifest = scripted.add_image("some/image", "latest", b"x")
    scripted.faults.append(Fault(status=status, times=QUICK.retries))

    assert client.repository(scripted.reference()).head("latest") == manifest.descriptor
    assert len(scripted.seen) == QUICK.retries + 1


@pytest.mark.parametrize("status", [400, 418, 501, 505])
def test_what_does_not_pass_is_not(client: RegistryClient, scripted: ScriptedRegistry, status: int) -> None:
    scripted.faults.append(Fault(status=status, times=100))

    with pytest.raises(RegistryError) as caught:
        list(client.repository(scripted.reference()).tags())
    assert caught.value.status == status and len(scripted.seen) == 1


def test_patience_ends(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    scripted.faults.append(Fault(status=503, times=100))

    with pytest.raises(RegistryError, match=rf"some/image:latest: {scripted.host} answers 503"):
        client.repository(scripted.reference()).manifest("latest")
    assert len(scripted.seen) == QUICK.retries + 1


@pytest.mark.parametrize("fault", [Fault(cut_after=0), Fault(cut_after=100), Fault(raw=b"")])
def test_a_cut_answer_is_asked_for_again(client: RegistryClient, scripted: ScriptedRegistry, fault: Fault) -> None:
    manifest = scripted.add_image("some/image", "latest", b"x")
    scripted.faults.append(replace(fault, times=2))

    assert client.repository(scripted.reference()).manifest("latest") == manifest


def test_a_registry_that_is_not_there(client: RegistryClient, scripted: ScriptedRegistry) -> None:
    reference = scripted.reference()
    scripted.close()

    with pytest.raises(Unavailable, match=f"{scripted.host} cannot be reached: Connection refused"):
        client.repository(reference).head("latest")


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_wait_that_a_registry_asks_for_is_kept(scripted: ScriptedRegistry, waits: list[float], form: str) -> None:
    scripted.add_image("some/image", "latest", b"x")
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=31), usegmt=True)
    asked = "30" if form == "seconds" else moment
    scripted.faults.append(Fault(status=429, headers={"Retry-After": asked}))

    with RegistryClient(replace(QUICK, longest_wait_seconds=60)) as client:
        client.repository(scripted.reference()).head("latest")

    assert 25 < sum(waits) < 32


def test_a_wait_that_is_too_long_is_an_error_at_once(
    client: RegistryClient, scripted: ScriptedRegistry, waits: list[float]
) -> None:
    scripted.faults.append(Fault(status=429, headers={"Retry-After": "3600"}))

    with pytest.raises(RegistryError, match="TOOMANYREQUESTS") as caught:
        client.repository(scripted.reference()).head("latest")
    assert caught.value.status == 429 and waits == []


def test_waits_double_up_to_a_limit(waits: list[float]) -> None:
    patience = Patience(12, longest_wait_seconds=60)
    lengths = []
    while patience.wait("do"):
        lengths.append(sum(waits))
        waits.clear()

    assert len(lengths) == 12
    assert all(0.1 * 2**number <= length <= 0.2 * 2**number + 0.01 for number, length in enumerate(lengths[:5]))
    assert max(lengths) <= 10.01


def test_a_cancelled_wait_ends_at_once(waits: list[float]) -> None:
    patience = Patience(3, longest_wait_seconds=60, cancelled=lambda: sum(waits) > 1)

    with pytest.raises(Unavailable, match="do it: cancelled"):
        patience.wait("do it", 50)
    assert sum(waits) < 1.1


def test_ctrl_c_ends_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        assert seconds < 1
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)

    with pytest.raises(KeyboardInterrupt):
        Patience(3, longest_wait_seconds=60).wait("do", 50)
