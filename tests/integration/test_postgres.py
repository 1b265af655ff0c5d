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
        engine.images.prune(all=True)
    shutil.rmtree(root)


@pytest.fixture
def directory(scratch: Path) -> Path:
    """The directory of the host that holds the data; it belongs to the server's user."""
    made = scratch / "data"
    made.mkdir(mode=0o700)
    os.chown(made, USER, USER)
    return made


def psql(store: Engine, directory: Path, query: str) -> str:
    """Ask the server by its socket, from a container of its own."""
    command = ["psql", "-h", DATA, "-U", "postgres", "-Atqc", query]
    done = store.run(NAME, command, volumes={str(directory): {"bind": DATA}}, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return str(done.stdout).strip()


def await_server(store: Engine, container: Container[Image], directory: Path) -> None:
    def is_ready() -> bool:
        assert container.status == "running", container.condition
        command = ["pg_isready", "-q", "-h", DATA]
        return store.run(NAME, command, volumes={str(directory): {"bind": DATA}}, timeout=60).returncode == 0

    eventually(is_ready, "the server does not become ready")


def test_a_server_keeps_what_it_was_told(store: Engine, directory: Path) -> None:
    volumes = [f"{directory}:{DATA}"]
    initdb = store.containers.run(NAME, ["initdb", "-D", f"{DATA}/main", "-A", "trust"], volumes=volumes, detach=True)
    assert initdb.wait(120) == {"StatusCode": 0}
    initdb.remove()
    server = store.containers.run(NAME, SERVER, volumes=volumes, name="server", shm_size="64m", detach=True)
    await_server(store, server, directory)
    psql(store, directory, "CREATE TABLE t AS SELECT g AS n FROM generate_series(1, 1000) g")

    server.stop(60)
    assert (server.status, server.exit_code) == ("exited", 0)  # a fast shutdown, and no SIGKILL
    server.start()
    await_server(store, server, directory)
    psql(store, directory, "INSERT INTO t SELECT generate_series(1001, 2000)")
    server.kill()
    assert server.exit_code == 137
    server.start()
    await_server(store, server, directory)

    assert psql(store, directory, "SELECT count(*), sum(n) FROM t") == "2000|2001000"
    log = (store.root / "containers" / server.id / "log").read_text()
    assert "received fast shutdown request" in log
    assert "automatic recovery in progress" in log
    server.remove(force=True)
