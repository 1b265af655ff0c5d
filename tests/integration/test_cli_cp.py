"""`pyrt cp` as a shell calls it: docker's words and messages."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import Shell
from tests.hosts import TOP
from tests.suites.trees import archive, file

pytestmark = pytest.mark.needs("overlay")


class Cp:
    """Calls `pyrt cp` on the root of an engine."""

    def __init__(self, root: Path) -> None:
        self.command = [sys.executable, "-m", "pyrt", "--root", str(root), "cp"]
        self.environment = {**os.environ, "PYTHONPATH": str(TOP)}

    def __call__(self, *words: str | Path, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [*self.command, *map(str, words)]
        return subprocess.run(command, input=input, capture_output=True, env=self.environment, timeout=60)

    def ok(self, *words: str | Path, input: bytes = b"") -> bytes:
        done = self(*words, input=input)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    def fails(self, *words: str | Path, input: bytes = b"") -> str:
        done = self(*words, input=input)
        assert (done.returncode, done.stdout) == (1, b"")
        return done.stderr.decode()


@pytest.fixture
def cp(shell: Shell) -> Iterator[Cp]:
    script = "mkdir -p /data/directory; echo text > /data/file; ln -s file /data/link"
    shell.run("sh", "-ec", script, check=True, remove=False, name="box")
    yield Cp(shell.engine.root)
    shell.engine.containers.get("box").remove()


def test_both_ways(cp: Cp, shell: Shell, scratch: Path) -> None:
    assert cp.ok("box:/data", scratch / "out") == b""
    assert (scratch / "out/file").read_text() == "text\n"
    (scratch / "out/new").write_text("new")
    cp.ok(f"{scratch}/out/.", "box:data/directory")
    cp.ok("-L", "box:/data/link", scratch / "followed")

    assert (scratch / "followed").read_text() == "text\n"
    assert shell.engine.containers.get("box").fs.read_text("/data/directory/new") == "new"


def test_it_tells_when_it_is_asked_to(cp: Cp, scratch: Path) -> None:
    done = cp("--quiet=false", "box:/data/file", scratch)

    assert done.stderr.decode() == f"Successfully copied 5B to {scratch}\n"


def test_a_tar_on_the_other_side(cp: Cp, shell: Shell) -> None:
    with tarfile.open(fileobj=io.BytesIO(cp.ok("box:/data/link", "-"))) as tar:
        assert tar.getmember("link").linkname == "file"
    with tarfile.open(fileobj=io.BytesIO(cp.ok("-L", "box:/data/link", "-"))) as tar:
        assert tar.getmember("file").size == 5
    raw = b"".join(archive(file("piped", b"piped")))
    cp.ok("-", "box:/data", input=raw)

    assert shell.engine.containers.get("box").fs.read_text("/data/piped") == "piped"
    assert 'destination "box:/data/file" must be a directory' in cp.fails("-", "box:/data/file", input=raw)
    assert "cannot overwrite directory" in cp.fails("-", "box:/data", input=b"".join(archive(file("directory"))))


def test_what_docker_refuses(cp: Cp, scratch: Path) -> None:
    assert "copying between containers is not supported" in cp.fails("box:/a", "box:/b")
    assert "must specify at least one container source" in cp.fails(scratch, "./box:x")
    assert "no container" in cp.fails("none:/etc", scratch)
    assert "no such file or directory: /none" in cp.fails("box:/none", scratch)
    assert "could not find the file /none" in cp.fails("box:/none", "-")
    assert "write CONTAINER:PATH" in cp.fails("box:", scratch)
    assert "no such file or directory" in cp.fails(scratch / "none", "box:/data")
