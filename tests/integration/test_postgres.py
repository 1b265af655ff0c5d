"""PostgreSQL in a container that outlives its caller: made, stopped, killed, recovered, and found intact."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt import Container, Engine, Image
from pyrt.layer import write
from tests.gates import postgres_directory
from tests.hosts import eventually

pytestmark = [pytest.mark.needs("root", "overlay", "postgres"), pytest.mark.timeout(300)]
NAME = "example.org/postgres:1"
USER = 70
DATA = "/var/lib/postgresql"
SERVER = ["postgres", "-D", f"{DATA}/main", "-k", DATA, "-c", "listen_addresses="]


def libraries(program: Path) -> set[Path]:
    """Give the libraries that a program is loaded with (ldd(1))."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    words = (word for line in said.splitlines() for word in line.split())
    return {Path(word) for word in words if word.startswith("/")}


def make_postgres(top: Path, rootfs: Path) -> None:
    """Make a root file system of busybox, the server, its libraries, and what it shares."""
    shutil.copytree(rootfs, top, symlinks=True)
    programs = postgres_directory()
    assert programs is not None
    shutil.copytree(programs.parent, top / programs.parent.relative_to("/"), symlinks=True)
    version = programs.parent.name
    shutil.copytree(f"/usr/share/postgresql/{version}", top / f"usr/share/postgresql/{version}", symlinks=True)
    shutil.copytree("/usr/share/zoneinfo", top / "usr/share/zoneinfo", symlinks=True)
    needed = set[Path]()
    for program in [*programs.iterdir(), *(programs.parent / "lib").glob("*.so")]:
        needed |= libraries(program)
    for path in needed:
        target = top / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(path, target)
    (top / DATA.lstrip("/")).mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(top / DATA.lstrip("/"), USER, USER)
    with (top / "etc/passwd").open("a") as file:
        file.write(f"postgres:x:{USER}:{USER}::{DATA}:/bin/sh\n")
    with (top / "etc/group").open("a") as file:
        file.write(f"postgres:x:{USER}:\n")


@pytest.fixture
def store(public_directory: Path, public_rootfs: Path) -> Iterator[Engine]:
    root = Path(tempfile.mkdtemp(prefix="engine-", dir=public_directory))
    root.chmod(0o711)
    make_postgres(root / "tree", public_rootfs)
    programs = postgres_directory()
    changes = [f"ENV PATH={programs}:/bin:/usr/bin", "USER postgres", "STOPSIGNAL SIGINT", "ENV LC_ALL=C"]
    with Engine(root) as engine:
        data = io.BytesIO(b"".join(write(str(root / "tree"))))
        engine.images.import_tar(data, NAME, changes=changes)
        yield engine
        for container in engine.containers.list(all=True):
            container.remove(force=True)
        engine.volumes.prune(filters={"all": True})
        engine.images.prune(all=True)
    shutil.rmtree(root)


def psql(server: Container[Image], query: str, database: str = "postgres") -> str:
    """Ask the server by its socket, from a program in its container."""
    done = server.exec_run(["psql", "-h", DATA, "-Atqc", query, database], timeout=60)
    assert done.exit_code == 0, done.output
    return bytes(done.output).decode().strip()


def await_server(server: Container[Image]) -> None:
    def is_ready() -> bool:
        assert server.status == "running", server.condition
        return server.exec_run(["pg_isready", "-q", "-h", DATA], timeout=60).exit_code == 0

    eventually(is_ready, "the server does not become ready")


def run_server(store: Engine, volume: str) -> Container[Image]:
    """Make a cluster in a volume that comes to be, and start its server."""
    volumes = [f"{volume}:{DATA}"]
    store.containers.run(NAME, ["initdb", "-D", f"{DATA}/main", "-A", "trust"], volumes=volumes, remove=True)
    server = store.containers.run(NAME, SERVER, volumes=volumes, name=volume, shm_size="64m", detach=True)
    await_server(server)
    return server


def test_a_server_keeps_what_it_was_told(store: Engine) -> None:
    server = run_server(store, "data")
    psql(server, "CREATE TABLE t AS SELECT g AS n FROM generate_series(1, 1000) g")

    server.stop(60)
    assert (server.status, server.exit_code) == ("exited", 0)  # a fast shutdown, and no SIGKILL
    server.start()
    await_server(server)
    psql(server, "INSERT INTO t SELECT generate_series(1001, 2000)")
    server.kill()
    assert server.exit_code == 137
    server.restart(60)
    await_server(server)

    assert psql(server, "SELECT count(*), sum(n) FROM t") == "2000|2001000"
    log = server.logs()
    assert b"received fast shutdown request" in log
    assert b"automatic recovery in progress" in log


def test_a_backup_by_exec_is_the_whole_of_it(store: Engine) -> None:
    server, other = run_server(store, "data"), run_server(store, "other")
    psql(server, "CREATE TABLE t AS SELECT g AS n, repeat('x', 1000) AS x FROM generate_series(1, 3000) g")

    dump = server.exec_run(["pg_dump", "-h", DATA, "postgres"], timeout=60, demux=True)
    assert dump.exit_code == 0, dump.output[1]
    restored = other.exec_run(["psql", "-h", DATA, "-q", "postgres"], input=dump.output[0], timeout=60)

    assert restored.exit_code == 0, restored.output
    assert psql(other, "SELECT count(*), sum(n), sum(length(x)) FROM t") == "3000|4501500|3000000"
    server.remove(force=True)
    assert [volume.name for volume in store.volumes.list()] == ["data", "other"]
    again = store.containers.run(NAME, SERVER, volumes=[f"data:{DATA}"], detach=True)
    await_server(again)
    assert psql(again, "SELECT count(*) FROM t") == "3000"
