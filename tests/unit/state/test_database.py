from __future__ import annotations

import errno
import gc
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pyrt.errors import PyrtError, ResourceBusy, SyscallError
from pyrt.state import Database
from tests.unit.state.children import child
from tests.unit.state.numbers import items, put, records

HOLD = """
from pyrt.state import Database
with Database(sys.argv[1]).write() as tx:
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "state.db") as database:
        yield database


def test_the_file_comes_with_the_first_transaction_for_its_owner_alone(tmp_path: Path) -> None:
    with Database(tmp_path / "state.db") as database:
        assert list(tmp_path.iterdir()) == []
        put(database, "a", 1)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert modes == {0o600}
    assert [path.name for path in tmp_path.iterdir()] == ["state.db"]


def test_what_is_committed_stays(tmp_path: Path) -> None:
    with Database(tmp_path / "state.db") as database:
        put(database, "a", 1)

    with Database(tmp_path / "state.db") as database:
        assert items(database) == {"a": 1}


def test_a_block_that_raises_changes_nothing(database: Database) -> None:
    put(database, "a", 1)

    with pytest.raises(ZeroDivisionError), database.write() as tx:
        records(database).put(tx, "a", 2)
        records(database).put(tx, "b", 2)
        raise ZeroDivisionError

    assert items(database) == {"a": 1}


def test_a_reader_sees_one_state(database: Database) -> None:
    put(database, "a", 1)

    with database.read() as tx:
        put(database, "a", 2)
        put(database, "b", 2)
        assert dict(records(database).items(tx)) == {"a": 1}

    assert items(database) == {"a": 2, "b": 2}


def test_a_reader_does_not_write(database: Database) -> None:
    with database.read() as tx:
        with pytest.raises(PyrtError, match=r"write\(\)"):
            records(database).put(tx, "a", 1)
        with pytest.raises(PyrtError, match=r"write\(\)"):
            records(database).delete(tx, "a")

    assert items(database) == {}


def test_a_transaction_ends_with_its_block(database: Database) -> None:
    with database.write() as tx:
        pass

    with pytest.raises(PyrtError, match="ended"):
        tx.execute("SELECT 1")


def test_a_thread_that_writes_must_not_begin_again(database: Database) -> None:
    with database.write(), pytest.raises(PyrtError, match="already"), database.write():
        pass

    put(database, "a", 1)


@pytest.mark.parametrize("is_thread", [True, False])
def test_a_writer_waits_no_longer_than_it_was_told(tmp_path: Path, is_thread: bool) -> None:
    with Database(tmp_path / "state.db", wait_seconds=0.05) as database:
        with ExitStack() as stack:
            if is_thread:
                inside, leave = threading.Event(), threading.Event()

                def write() -> None:
                    with database.write():
                        inside.set()
                        leave.wait()

                thread = threading.Thread(target=write)
                thread.start()
                stack.callback(thread.join)
                stack.callback(leave.set)
                assert inside.wait(60)
            else:
                process = stack.enter_context(child(HOLD, database.path))
                assert process.stdout is not None
                assert process.stdout.readline() == "held\n"
            with pytest.raises(ResourceBusy, match=r"state\.db"):
                put(database, "a", 1)
            assert items(database) == {}
        put(database, "a", 1)


def test_ctrl_c_ends_a_wait(database: Database) -> None:
    program = """
from pyrt.state import Database
database = Database(sys.argv[1])
try:
    print("waiting", flush=True)
    with database.write():
        pass
except KeyboardInterrupt:
    print("interrupted")
database.close()
"""
    with database.write(), child(program, database.path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)

    assert output == "interrupted\n", errors


def test_all_writers_come_to_their_turn(database: Database) -> None:
    program = """
from pyrt.state import Database, Records
with Database(sys.argv[1]) as database:
    numbers = Records(database, "number", 1, int, int)
    for _ in range(100):
        with database.write() as tx:
            numbers.put(tx, "sum", numbers.get(tx, "sum") + 1)
"""
    put(database, "sum", 0)
    numbers = records(database)

    def count() -> None:
        for _ in range(100):
            with database.write() as tx:
                numbers.put(tx, "sum", numbers.get(tx, "sum") + 1)

    with ExitStack() as stack:
        processes = [stack.enter_context(child(program, database.path)) for _ in range(3)]
        threads = [threading.Thread(target=count) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors

    assert items(database) == {"sum": 600}


def test_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    program = """
from pyrt.state import Database, Records
sys.stdin.readline()
with Database(sys.argv[1]) as database, database.write() as tx:
    Records(database, "number", 1, int, int).put(tx, sys.argv[2], 1)
"""
    with ExitStack() as stack:
        processes = [stack.enter_context(child(program, tmp_path / "state.db", str(number))) for number in range(4)]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors

    with Database(tmp_path / "state.db") as database:
        assert items(database) == {"0": 1, "1": 1, "2": 1, "3": 1}


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with Database(tmp_path / "missing/state.db") as database, pytest.raises(SyscallError) as caught:
        items(database)

    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(tmp_path / "missing/state.db"))


def test_a_link_is_not_followed_to_make_the_file(tmp_path: Path) -> None:
    (tmp_path / "state.db").symlink_to(tmp_path / "elsewhere")

    with Database(tmp_path / "state.db") as database, pytest.raises(PyrtError):
        items(database)

    assert not (tmp_path / "elsewhere").exists()


def test_a_name_with_odd_characters(tmp_path: Path) -> None:
    path = tmp_path / "a ?mode=memory#%41ü"
    path.mkdir()

    with Database(path / "state.db") as database:
        put(database, "a", 1)

    assert (path / "state.db").exists()


def test_a_closed_database_is_closed(database: Database) -> None:
    put(database, "a", 1)
    database.close()
    database.close()

    with pytest.raises(PyrtError, match="closed"):
        items(database)


def test_a_transaction_outlives_the_close(database: Database) -> None:
    with database.write() as tx:
        database.close()
        records(database).put(tx, "a", 1)

    with Database(database.path) as again:
        assert items(again) == {"a": 1}


def test_a_forgotten_one_warns(tmp_path: Path) -> None:
    with pytest.warns(ResourceWarning, match=r"state\.db"):
        items(Database(tmp_path / "state.db"))
        gc.collect()
