"""What goes wrong around containers that outlive their caller: what is left, what is damaged, what does not obey."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pyrt import Container, Engine, Image, NameInUse, WrongState
from pyrt.errors import IntegrityError, NotFound
from pyrt.runtime.protocol import STATE, MonitorState
from pyrt.state import FileLock
from tests.hosts import TOP, eventually, processes_with
from tests.kept_engine import IMAGE, kept_engine

pytestmark = pytest.mark.needs("overlay")
FOREVER = ["sleep", "1000"]


@pytest.fixture
def store(public_directory: Path, public_rootfs: Path) -> Iterator[Engine]:
    with kept_engine(public_directory, public_rootfs) as engine:
        yield engine


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def place(engine: Engine, container: Container[Image]) -> Path:
    return engine.root / "containers" / container.id


def monitor(engine: Engine, container: Container[Image]) -> int:
    state = MonitorState.read(str(place(engine, container)))
    assert state is not None
    return state.monitor


def test_a_directory_without_a_record_is_cleared(store: Engine) -> None:
    stray = store.root / "containers" / ("ab" * 32)
    (stray / "upper/deep").mkdir(parents=True)
    other = store.root / "containers" / "somebody's"
    other.mkdir()
    Path(f"{store.root}/containers/{'cd' * 32}.lock").touch()

    store.containers.list(all=True)

    assert [each.name for each in (store.root / "containers").iterdir()] == ["somebody's"]


def test_a_creation_under_way_is_left_alone(store: Engine) -> None:
    coming = store.root / "containers" / ("ab" * 32)
    (coming / "upper").mkdir(parents=True)

    with FileLock(f"{coming}.lock"):
        store.containers.list(all=True)
        assert (coming / "upper").exists()
    store.containers.list(all=True)

    assert list((store.root / "containers").iterdir()) == []


def test_a_name_that_is_in_use_leaves_nothing(store: Engine) -> None:
    first = store.containers.create(IMAGE, name="box")
    with pytest.raises(NameInUse):
        store.containers.create(IMAGE, name="box")

    assert {each.name.removesuffix(".lock") for each in (store.root / "containers").iterdir()} == {first.id}


def test_who_looks_at_a_lost_container_does_not_make_it_run(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER)
    os.kill(monitor(store, container), signal.SIGKILL)
    eventually(lambda: container.status == "exited", "a container without a monitor is shown as running")

    with FileLock(f"{place(store, container)}.lock", shared=True):  # another one looks
        assert container.status == "exited"
        threading.Timer(0.3, lambda: None).start()
    container.start()

    assert container.status == "running"


def test_a_container_whose_files_are_gone_says_so_and_can_be_removed(store: Engine) -> None:
    container = store.containers.create(IMAGE, FOREVER)
    (place(store, container) / "upper").rmdir()

    with pytest.raises(IntegrityError, match="is gone"):
        container.start()

    assert container.status == "created"
    container.remove()
    assert store.containers.list(all=True) == []
