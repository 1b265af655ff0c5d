"""The far end of the timer, with a stand-in for the thing that it times."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Self

import pytest

from benchmarks.timer import FarEnd


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    end = FarEnd()
    yield end
    end.close()


class Process:
    """A process that only knows whether it was ended in the right order."""

    def __init__(self, ended: list[str]) -> None:
        self.ended = ended

    def kill(self) -> None:
        self.ended.append("kill")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended.append("wait")


class Engine:
    """An engine that counts what it starts."""

    ended: list[str]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended.append("close")

    def popen(self, image: str, args: list[str], **options: Any) -> Process:
        assert (image, args[0], options) == ("rootfs:/r", "/bin/sleep", {"pids_limit": 64})
        return Process(self.ended)


@pytest.mark.parametrize("jobs", [1, 4])
def test_pyrt_run_times_every_run_and_uses_that_many_threads(
    jobs: int, far_end: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(jobs, timeout=10)
    calls: list[tuple[str, list[str], dict[str, Any]]] = []

    def run(image: str, args: list[str], **options: Any) -> SimpleNamespace:
        together.wait()
        calls.append((image, args, options))
        return SimpleNamespace(returncode=0)

    monkeypatch.setitem(sys.modules, "pyrt", SimpleNamespace(run=run))

    answer = far_end.pyrt_run("rootfs:/r", {"pids_limit": 64}, runs=8, jobs=jobs)

    assert calls == [("rootfs:/r", ["/bin/nop"], {"pids_limit": 64})] * 8
    assert len(answer["us"]) == 8
    assert answer["wall_us"] > 0


def test_pyrt_run_refuses_to_time_a_failure(far_end: FarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = SimpleNamespace(run=lambda image, args, **options: SimpleNamespace(returncode=1, stderr="no such file"))
    monkeypatch.setitem(sys.modules, "pyrt", failing)

    with pytest.raises(RuntimeError, match="ended with 1: no such file"):
        far_end.pyrt_run("rootfs:/r", {}, runs=1)


def test_pyrt_idle_ends_all_that_it_started(far_end: FarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "ended", [], raising=False)
    monkeypatch.setitem(sys.modules, "pyrt", SimpleNamespace(Engine=Engine))

    grown = far_end.pyrt_idle("rootfs:/r", {"pids_limit": 64}, count=3)

    assert abs(grown) < 1024
    assert Engine.ended == ["kill", "wait"] * 4 + ["close"]
