from __future__ import annotations

import errno
import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pyrt.errors import IntegrityError, PyrtError, SyscallError, Unsupported
from pyrt.state import Database
from pyrt.state.schema import STEPS
from tests.unit.state.children import child
from tests.unit.state.numbers import items, put, records


def test_a_kill_at_any_point_loses_nothing_that_was_done(tmp_path: Path) -> None:
    program = """
from pyrt.state import Database, Records
database = Database(sys.argv[1])
numbers = Records(database, "number", 1, int, int)
with database.read() as tx:
    last = numbers.get(tx, "a") if numbers.has(tx, "a") else 0
while True:
    last += 1
    with database.write() as tx:
        numbers.put(tx, "a", last)
        numbers.put(tx, "b", last)
    print(last, flush=True)
"""
    chance = random.Random(3)
    path, last = tmp_path / "state.db", 0
    for _ in range(8):
        with child(program, path) as process:
            assert process.stdout is not None
            last = int(process.stdout.readline())
            time.sleep(chance.random() / 100)
            process.kill()
            last = int((["", *process.stdout.read().split("\n")[:-1]])[-1] or last)
        with Database(path) as database, database.read() as tx:
            found = dict(records(database).items(tx))
            assert tx.execute("PRAGMA integrity_check") == [("ok",)]
        assert found["a"] == found["b"] >= last > 0


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)

    with Database(path) as database:
        for begin in (database.read, database.write):
            with pytest.raises(IntegrityError, match=rf"{path} is damaged.*move it away"), begin():
                pass

    assert path.read_bytes() == content


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with Database(path) as database, database.write() as tx:
        for number in range(2000):
            records(database).put(tx, f"key-{number}", number)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))

    with Database(path) as database, pytest.raises(IntegrityError, match=str(path)):
        items(database)


def test_a_newer_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with Database(path) as database:
        put(database, "a", 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1000")
        before = list(connection.iterdump())

    with Database(path) as database:
        for begin in (database.read, database.write):
            with pytest.raises(Unsupported, match=r"newer pyrt.*1000.*upgrade") as caught, begin():
                pass
            assert str(path) in caught.value.feature

    with closing(sqlite3.connect(path)) as connection:
        assert list(connection.iterdump()) == before


def test_an_older_database_is_migrated_and_keeps_its_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database(tmp_path / "state.db") as old:
        put(old, "a", 1)
        monkeypatch.setattr(
            "pyrt.state.database.STEPS", (*STEPS, ("CREATE TABLE more (x)", "INSERT INTO more VALUES (5)"))
        )

        with Database(tmp_path / "state.db") as new:
            assert items(new) == {"a": 1}
            with new.read() as tx:
                assert tx.execute("SELECT x FROM more") == [(5,)]

        monkeypatch.undo()
        with pytest.raises(Unsupported):
            put(old, "b", 2)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database(tmp_path / "state.db") as database:
        put(database, "a", 1)
    monkeypatch.setattr("pyrt.state.database.STEPS", (*STEPS, ("DELETE FROM records", "CREATE NONSENSE")))

    with Database(tmp_path / "state.db") as database, pytest.raises(PyrtError, match="NONSENSE"):
        items(database)
    monkeypatch.undo()

    with Database(tmp_path / "state.db") as database:
        assert items(database) == {"a": 1}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    point = tmp_path / "small"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "small", point], check=True)
    yield point
    subprocess.run(["umount", point], check=True)


@pytest.mark.needs("root")
def test_a_full_disk_loses_nothing(small: Path) -> None:
    with Database(small / "state.db") as database:
        put(database, "a", 1)
        (small / "filler").write_bytes(bytes(os.statvfs(small).f_bavail * os.statvfs(small).f_frsize))

        with pytest.raises(SyscallError) as caught, database.write() as tx:
            for number in range(10_000):
                records(database).put(tx, f"key-{number}", number)
        assert caught.value.errno == errno.ENOSPC
        assert items(database) == {"a": 1}

        (small / "filler").unlink()
        put(database, "b", 2)
        assert items(database) == {"a": 1, "b": 2}


@pytest.mark.needs("root")
def test_a_disk_full_from_the_start(small: Path) -> None:
    (small / "filler").write_bytes(bytes(os.statvfs(small).f_bavail * os.statvfs(small).f_frsize))

    with Database(small / "state.db") as database:
        with pytest.raises(SyscallError) as caught:
            put(database, "a", 1)
        assert caught.value.errno == errno.ENOSPC

        (small / "filler").unlink()
        put(database, "a", 1)
        assert items(database) == {"a": 1}
