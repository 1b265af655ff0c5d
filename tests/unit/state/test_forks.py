from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt.errors import PyrtError, ResourceBusy
from pyrt.state import Database, forks
from tests.unit.state.children import in_fork


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "state.db") as database:
        with database.write() as tx:
            tx.execute("CREATE TABLE sums (sum INTEGER)")
            tx.execute("INSERT INTO sums VALUES (0)")
        yield database


def add(database: Database, times: int = 1) -> None:
    for _ in range(times):
        with database.write() as tx:
            tx.execute("UPDATE sums SET sum = sum + 1")


def total(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute("SELECT sum FROM sums")[0][0])


def files(database: Database) -> set[str]:
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return {os.readlink(link) for link in links if os.path.lexists(link)} & {database.path, f"{database.path}-wal"}


def test_nothing_is_inherited_and_both_sides_go_on(database: Database) -> None:
    def in_child() -> None:
        assert not files(database)
        add(database, 100)
        assert total(database) >= 100
        database.close()

    assert files(database)
    thread = threading.Thread(target=add, args=(database, 100))
    thread.start()
    status = in_fork(in_child)
    thread.join()

    assert status == 0
    assert total(database) == 200


def test_parent_and_child_exclude_each_other(database: Database) -> None:
    inside_reader, inside = os.pipe()
    leave, leave_writer = os.pipe()
    statuses = []

    def in_child() -> None:
        with database.write() as tx:
            tx.execute("UPDATE sums SET sum = sum + 1")
            os.write(inside, b"x")
            os.read(leave, 1)
        database.close()

    thread = threading.Thread(target=lambda: statuses.append(in_fork(in_child)))
    thread.start()
    try:
        os.read(inside_reader, 1)
        with Database(database.path, wait_seconds=0) as hasty, pytest.raises(ResourceBusy):
            add(hasty)
        assert total(database) == 0
        os.write(leave_writer, b"x")
        add(database)
    finally:
        thread.join()
        for fd in (inside_reader, inside, leave, leave_writer):
            os.close(fd)

    assert statuses == [0]
    assert total(database) == 2


def test_a_fork_waits_for_the_transactions_of_other_threads(database: Database) -> None:
    inside = threading.Event()

    def in_child() -> None:
        add(database)
        database.close()

    def write() -> None:
        with database.write() as tx:
            inside.set()
            time.sleep(0.05)  # so that the fork comes meanwhile
            tx.execute("UPDATE sums SET sum = sum + 1")

    thread = threading.Thread(target=write)
    thread.start()
    inside.wait()
    status = in_fork(in_child)
    thread.join()

    assert status == 0
    assert total(database) == 2


def refused(database: Database) -> None:
    """Run in a child: neither this database nor another on its file can be used; other files can."""
    with pytest.raises(PyrtError, match="was forked"):
        add(database)
    with Database(database.path) as again, pytest.raises(PyrtError, match="was forked"):
        total(again)
    with Database(f"{database.path}-other") as other, other.write() as tx:
        tx.execute("SELECT 1")


def test_a_fork_does_not_wait_for_ever(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "FORK_WAIT_SECONDS", 0.01)
    inside, leave = threading.Event(), threading.Event()

    def write() -> None:
        with database.write() as tx:
            inside.set()
            leave.wait()
            tx.execute("UPDATE sums SET sum = sum + 1")

    thread = threading.Thread(target=write)
    thread.start()
    inside.wait()
    status = in_fork(lambda: refused(database))
    leave.set()
    thread.join()

    assert status == 0
    add(database)
    assert total(database) == 2


def test_a_transaction_stays_with_the_parent(database: Database) -> None:
    def in_child() -> None:
        with pytest.raises(PyrtError, match="forked"):
            tx.execute("SELECT 1")
        refused(database)

    with database.write() as tx:
        tx.execute("UPDATE sums SET sum = sum + 1")
        assert in_fork(in_child) == 0
        tx.execute("UPDATE sums SET sum = sum + 1")

    assert total(database) == 2


def test_a_child_that_leaves_the_block_ends_nothing(database: Database) -> None:
    pid = -1
    with database.write() as tx:
        tx.execute("UPDATE sums SET sum = sum + 1")
        pid = os.fork()
    if pid == 0:
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    add(database)
    assert total(database) == 2
