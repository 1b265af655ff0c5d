from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyrt.errors import DigestMismatch, InvalidArgument, NotFound, PyrtError, ResourceBusy, SyscallError
from pyrt.oci.digest import Digest
from pyrt.oci.image import chain_ids
from pyrt.snapshot import Layer, Layers
from pyrt.state import Database

DIFFS = tuple(Digest.of(b"%d" % number) for number in range(6))
CHAIN = chain_ids(DIFFS)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "state.db") as database:
        yield database


@pytest.fixture
def layers(tmp_path: Path, database: Database) -> Layers:
    return Layers(tmp_path / "layers", database)


def make(layers: Layers, index: int, size_bytes: int = 10) -> Layer:
    """Commit the layer `index` of CHAIN, with one file in it."""
    with layers.stage(CHAIN[index]) as stage:
        Path(stage.directory, f"file{index}").write_text("x" * size_bytes)
        parent = CHAIN[index - 1] if index else None
        return stage.commit(diff_id=DIFFS[index], parent=parent, size_bytes=size_bytes)


def make_all(layers: Layers, count: int = len(DIFFS)) -> list[Layer]:
    return [make(layers, index, 10**index) for index in range(count)]


def present(layers: Layers) -> list[int]:
    """The indexes of all layers that can be found."""
    found = []
    for index, chain_id in enumerate(CHAIN):
        try:
            layers.find(chain_id)
        except NotFound:
            continue
        found.append(index)
    return found


def left(tmp_path: Path) -> list[str]:
    """What lies in the directory besides whole layers."""
    names = [f"staging/{name}" for name in os.listdir(tmp_path / "layers/staging")]
    return sorted(names + [each for each in os.listdir(tmp_path / "layers") if each != "staging"])


def test_a_committed_layer_is_found(layers: Layers) -> None:
    made = make_all(layers, 3)

    assert layers.find(CHAIN[1]) == made[1]
    assert (made[1].chain_id, made[1].diff_id, made[1].parent, made[1].size_bytes) == (CHAIN[1], DIFFS[1], CHAIN[0], 10)
    assert layers.chain(CHAIN[2]) == (made[2], made[1], made[0])
    assert os.listdir(made[2].directory) == ["file2"]


def test_paths_are_short(tmp_path: Path, layers: Layers) -> None:
    made = make_all(layers, 3)

    assert [layer.directory for layer in made] == [f"{tmp_path}/layers/{n}/fs" for n in (1, 2, 3)]


def test_a_layer_that_is_not_there(layers: Layers) -> None:
    for ask in (layers.find, layers.chain, layers.hold):
        with pytest.raises(NotFound):
            ask(CHAIN[0])


def test_a_record_without_a_directory_counts_as_absent(layers: Layers) -> None:
    made = make_all(layers, 2)
    os.rename(os.path.dirname(made[0].directory), os.path.dirname(made[0].directory) + ".gone")

    with pytest.raises(NotFound):
        layers.chain(CHAIN[1])
    with pytest.raises(NotFound):
        layers.hold(CHAIN[0])
    again = make(layers, 0)

    assert layers.find(CHAIN[0]) == again
    assert again.directory != made[0].directory


def test_without_a_commit_nothing_is_left(tmp_path: Path, layers: Layers) -> None:
    with pytest.raises(KeyboardInterrupt), layers.stage(CHAIN[0]) as stage:
        Path(stage.directory, "closed").mkdir(0o000)
        raise KeyboardInterrupt

    assert present(layers) == []
    assert left(tmp_path) == []


def test_what_is_there_need_not_be_made(tmp_path: Path, layers: Layers) -> None:
    make(layers, 0)

    with layers.stage(CHAIN[0]) as stage:
        assert stage.is_complete
        with pytest.raises(PyrtError, match="has ended"):
            stage.commit(diff_id=DIFFS[0], parent=None, size_bytes=1)

    assert left(tmp_path) == ["1"]


def test_a_name_that_is_known_at_the_end_only(layers: Layers) -> None:
    make(layers, 0)
    with layers.stage(None) as stage:
        made = stage.commit(diff_id=DIFFS[1], parent=CHAIN[0], size_bytes=1, chain_id=CHAIN[1])
    with layers.stage(None) as stage:
        again = stage.commit(diff_id=DIFFS[1], parent=CHAIN[0], size_bytes=1)

    assert (made.chain_id, again) == (CHAIN[1], made)


def test_a_commit_says_what_it_makes(tmp_path: Path, layers: Layers) -> None:
    with layers.stage(CHAIN[1]) as stage:
        with pytest.raises(NotFound, match="is not there"):
            stage.commit(diff_id=DIFFS[1], parent=CHAIN[0], size_bytes=1)
        with pytest.raises(DigestMismatch):
            stage.commit(diff_id=DIFFS[1], parent=None, size_bytes=1)
        with pytest.raises(DigestMismatch):
            stage.commit(diff_id=DIFFS[1], parent=CHAIN[0], size_bytes=1, chain_id=CHAIN[2])
        with pytest.raises(InvalidArgument):
            stage.commit(diff_id=DIFFS[1], parent=CHAIN[0], size_bytes=-1)
    with pytest.raises(PyrtError, match="has ended"):
        stage.commit(diff_id=DIFFS[1], parent=CHAIN[0], size_bytes=1)

    assert present(layers) == []
    assert left(tmp_path) == []


def test_the_second_at_one_layer_waits_for_the_first(layers: Layers) -> None:
    seen = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with layers.stage(CHAIN[0]) as stage:
            seen.append(stage.is_complete)

    with ThreadPoolExecutor() as pool:
        with layers.stage(CHAIN[0]) as stage:
            waiting = pool.submit(second)
            begun.wait()
            assert seen == []
            stage.commit(diff_id=DIFFS[0], parent=None, size_bytes=1)
        waiting.result()

    assert seen == [True]


def test_a_wait_can_be_cancelled(layers: Layers) -> None:
    with layers.stage(CHAIN[0]), pytest.raises(ResourceBusy), layers.stage(CHAIN[0], cancelled=lambda: True):
        pass


def test_many_threads_make_each_layer_once(tmp_path: Path, layers: Layers) -> None:
    def work(_: int) -> int:
        made = 0
        for index in range(len(DIFFS)):
            with layers.stage(CHAIN[index]) as stage:
                if not stage.is_complete:
                    stage.commit(diff_id=DIFFS[index], parent=CHAIN[index - 1] if index else None, size_bytes=1)
                    made += 1
        return made

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == len(DIFFS)

    assert left(tmp_path) == [str(n + 1) for n in range(len(DIFFS))]


def test_only_what_nobody_needs_is_collected(tmp_path: Path, layers: Layers) -> None:
    make_all(layers)

    freed = layers.collect({CHAIN[3], Digest.of(b"unknown")})

    assert freed == 10**4 + 10**5
    assert present(layers) == [0, 1, 2, 3]
    assert left(tmp_path) == ["1", "2", "3", "4"]
    assert layers.collect(set()) == 1111
    assert left(tmp_path) == []


def test_what_is_held_stays_with_all_below_it(layers: Layers) -> None:
    make_all(layers)

    with layers.hold(CHAIN[2]), layers.hold(CHAIN[2]):
        layers.collect(set())
        assert present(layers) == [0, 1, 2]
        make(layers, 3)
    layers.collect(set())

    assert present(layers) == []


def test_a_number_is_never_used_again(layers: Layers) -> None:
    first = make(layers, 0)
    layers.collect(set())

    assert make(layers, 0).directory != first.directory


def test_a_directory_that_no_record_names_is_collected(tmp_path: Path, layers: Layers) -> None:
    make_all(layers, 2)
    (tmp_path / "layers/77/fs/left").mkdir(parents=True)

    layers.collect({CHAIN[1]})

    assert left(tmp_path) == ["1", "2"]


def test_a_transaction_that_fails_has_collected_nothing_that_is_on_record(layers: Layers, database: Database) -> None:
    make_all(layers, 2)

    with pytest.raises(KeyboardInterrupt), database.write() as tx:
        layers.condemn(tx, {CHAIN[0]})
        raise KeyboardInterrupt
    layers.clean()

    assert present(layers) == [0]
    make(layers, 1)
    assert present(layers) == [0, 1]


def test_trees_of_other_ids_are_removed_by_who_can(tmp_path: Path, database: Database) -> None:
    removed: list[str] = []
    layers = Layers(tmp_path / "layers", database, remover=lambda path: removed.append(os.path.basename(path)))
    make(layers, 0)
    assert removed == []

    layers.collect(set())

    assert [name.partition("-")[0] for name in removed] == ["1"]


@pytest.mark.needs("root")
def test_a_stage_on_a_full_disk_leaves_nothing(tmp_path: Path, database: Database) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=12", "small", small], check=True)
    try:
        layers = Layers(small / "layers", database)
        with pytest.raises(OSError, match="No space"), layers.stage(CHAIN[0]) as stage:
            for number in range(20):
                Path(stage.directory, str(number)).touch()
        assert os.listdir(small / "layers/staging") == []
        make(layers, 0)
    finally:
        subprocess.run(["umount", small], check=True)


_DYING = """
import os, signal, sys
from tests.unit.snapshot.test_layers import CHAIN, DIFFS, make, make_all
from pyrt.snapshot import Layers, layers as module
from pyrt.state import Database
top, verb, moment = sys.argv[1:]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
layers = Layers(f"{top}/layers", Database(f"{top}/state.db"))
make_all(layers, 3)
rename = os.rename
if moment == "before the rename":
    os.rename = die
elif moment == "after the rename":
    os.rename = lambda *paths: (rename(*paths), die())
elif moment == "before the record":
    layers._records.put = layers._records.delete = die
elif moment == "after the transaction":
    module.FileLock.unlink = layers._remover = layers.clean = die
elif moment == "while removing":
    layers._remover = lambda path: (os.rmdir(path + "/fs/empty"), die())
if verb == "stage":
    with layers.stage(CHAIN[3]) as stage:
        os.mkdir(stage.directory + "/half")
        die()
elif verb == "commit":
    make(layers, 3)
else:
    os.mkdir(layers.find(CHAIN[2]).directory + "/empty")
    layers.collect({CHAIN[1]})
"""


@pytest.mark.parametrize(
    ("verb", "moment", "expected"),
    [
        ("stage", "", [0, 1, 2]),
        ("commit", "before the rename", [0, 1, 2]),
        ("commit", "after the rename", [0, 1, 2]),
        ("commit", "before the record", [0, 1, 2]),
        ("commit", "after the transaction", [0, 1, 2, 3]),
        ("collect", "before the rename", [0, 1, 2]),
        ("collect", "after the rename", [0, 1]),
        ("collect", "before the record", [0, 1]),
        ("collect", "after the transaction", [0, 1]),
        ("collect", "while removing", [0, 1]),
    ],
)
@pytest.mark.parametrize("again", ["start", "stage"])
def test_a_death_at_any_moment_leaves_a_clean_store(
    tmp_path: Path, layers: Layers, verb: str, moment: str, expected: list[int], again: str
) -> None:
    died = subprocess.run([sys.executable, "-c", _DYING, tmp_path, verb, moment], cwd=Path(__file__).parents[3])
    assert died.returncode == -signal.SIGKILL

    if again == "start":
        layers.clean()
        assert present(layers) == expected
        assert left(tmp_path) == [str(index + 1) for index in expected]
    for index in range(4):
        with layers.stage(CHAIN[index]) as stage:
            if not stage.is_complete:
                assert os.listdir(stage.directory) == []
                stage.commit(diff_id=DIFFS[index], parent=CHAIN[index - 1] if index else None, size_bytes=1)
    layers.clean()

    assert present(layers) == [0, 1, 2, 3]
    assert len(left(tmp_path)) == 4


_STAGING = """
import sys
from pathlib import Path
from tests.unit.snapshot.test_layers import CHAIN, DIFFS
from pyrt.snapshot import Layers
from pyrt.state import Database
with Database(f"{sys.argv[1]}/state.db") as database:
    layers = Layers(f"{sys.argv[1]}/layers", database)
    sys.stdin.read(1)
    for index, chain_id in enumerate(CHAIN):
        with layers.stage(chain_id) as stage:
            if not stage.is_complete:
                Path(stage.directory, "file").write_text("x" * 100000)
                stage.commit(diff_id=DIFFS[index], parent=CHAIN[index - 1] if index else None, size_bytes=1)
                print(index)
    with layers.hold(CHAIN[-1]):
        layers.collect(set())
    assert len(layers.chain(CHAIN[-1])) == len(CHAIN)
"""


def test_processes_at_once_make_each_layer_once(tmp_path: Path, layers: Layers) -> None:
    command = [sys.executable, "-c", _STAGING, str(tmp_path)]
    top = Path(__file__).parents[3]
    running = [
        subprocess.Popen(command, cwd=top, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = []

    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        said += process.communicate()[0].split()

    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(set(said)) == [str(n) for n in range(len(DIFFS))]
    assert len(left(tmp_path)) == len(present(layers))


def test_a_damaged_directory_is_an_error_not_a_loss(layers: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    make(layers, 0)
    rename: Callable[[str, str], None] = os.rename

    def refuse(source: str, target: str) -> None:
        raise OSError(5, "Input/output error", source)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(SyscallError):
        layers.collect(set())
    monkeypatch.setattr(os, "rename", rename)

    assert present(layers) == [0]
