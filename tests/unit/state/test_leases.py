from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt.errors import PyrtError
from pyrt.state import Database, Leases
from tests.unit.state.children import child, in_fork


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "state.db") as database:
        yield database


@pytest.fixture
def leases(database: Database, tmp_path: Path) -> Leases:
    return Leases(database, tmp_path / "owners")


def live(database: Database, leases: Leases) -> set[str]:
    with database.write() as tx:
        return set(leases.live(tx))


def rows(database: Database) -> int:
    with database.read() as tx:
        return len(tx.execute("SELECT * FROM leases"))


def test_names_live_while_their_lease_does(database: Database, leases: Leases) -> None:
    with leases.hold() as one, leases.hold() as two:
        one.add("a", "b")
        one.add("b", "c")
        two.add("c", "d")
        assert live(database, leases) == {"a", "b", "c", "d"}
        one.close()
        assert live(database, leases) == {"c", "d"}
    two.close()

    assert live(database, leases) == set()


def test_a_lease_without_names_does_not_touch_the_database(leases: Leases, tmp_path: Path) -> None:
    with leases.hold():
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["owners"]
    assert list((tmp_path / "owners").iterdir()) == []


def test_a_closed_lease_leaves_nothing(database: Database, leases: Leases, tmp_path: Path) -> None:
    with leases.hold() as lease:
        lease.add("a")
        assert rows(database) == 1

    assert rows(database) == 0
    assert list((tmp_path / "owners").iterdir()) == []
    with pytest.raises(PyrtError):
        lease.add("b")


def test_a_killed_holder_is_forgotten(database: Database, leases: Leases, tmp_path: Path) -> None:
    program = """
from pyrt.state import Database, Leases
leases = Leases(Database(sys.argv[1]), sys.argv[2])
one, two = leases.hold(), leases.hold()
one.add("a")
print("held", flush=True); sys.stdin.read()
"""
    with leases.hold() as mine:
        mine.add("b")
        with child(program, database.path, tmp_path / "owners") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            assert live(database, leases) == {"a", "b"}
        assert live(database, leases) == {"b"}
        assert rows(database) == 1
        assert len(list((tmp_path / "owners").iterdir())) == 1


def test_a_lease_may_join_a_transaction(database: Database, leases: Leases) -> None:
    with leases.hold() as lease:
        with pytest.raises(ZeroDivisionError), database.write() as tx:
            lease.add("a", tx=tx)
            raise ZeroDivisionError
        assert live(database, leases) == set()
        with database.write() as tx:
            lease.add("a", tx=tx)
        assert live(database, leases) == {"a"}


def test_foreign_files_among_the_owners_stay(database: Database, leases: Leases, tmp_path: Path) -> None:
    (tmp_path / "owners/directory").mkdir(parents=True)
    (tmp_path / "owners" / "0123456789abcdef0123456789abcdef").touch()

    assert live(database, leases) == set()
    assert [path.name for path in (tmp_path / "owners").iterdir()] == ["directory"]


def test_counting_forgets_and_so_it_writes(database: Database, leases: Leases) -> None:
    with database.read() as tx, pytest.raises(PyrtError, match="write"):
        leases.live(tx)


def test_a_lease_closes_while_the_database_is_in_use(tmp_path: Path) -> None:
    with Database(tmp_path / "state.db", wait_seconds=0) as database, Database(database.path) as other:
        leases = Leases(database, tmp_path / "owners")
        lease = leases.hold()
        lease.add("a")
        with other.write():
            lease.close()
        assert rows(database) == 1
        assert live(database, leases) == set()
        assert rows(database) == 0


def test_a_forked_child_has_no_lease_and_ends_none(database: Database, leases: Leases) -> None:
    def in_child() -> None:
        lease.close()
        with pytest.raises(PyrtError):
            lease.add("b")
        assert live(database, leases) == {"a"}
        database.close()

    with leases.hold() as lease:
        lease.add("a")
        assert in_fork(in_child) == 0
        assert live(database, leases) == {"a"}
