"""`fs`: the files of containers with pathlib's manners, while they run and after their end."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pytest

from pyrt import Change, ContainerFS, InvalidArgument, WrongState
from pyrt.engine import Engine
from tests.containers import Shell

pytestmark = pytest.mark.needs("overlay")


@pytest.fixture(params=["running", "stopped"])
def fs(request: pytest.FixtureRequest, shell: Shell) -> Iterator[ContainerFS]:
    """The files of a container that runs, and of one that has ended."""
    if request.param == "running":
        with shell.start("exec sleep 1000") as process:
            yield process.fs
        return
    shell.run("true", check=True, remove=False, name="box")
    container = shell.engine.containers.get("box")
    yield container.fs
    container.remove()


def test_text_and_bytes_come_back(fs: ContainerFS) -> None:
    assert fs.write_text("/etc/motd", "grüß\n") == 5
    assert fs.read_text("etc/motd") == "grüß\n"
    assert fs.read_bytes(PurePosixPath("/etc/motd")) == "grüß\n".encode()
    assert fs.write_bytes("/etc/motd", b"short") == 5
    assert fs.read_bytes("/etc/motd") == b"short"


def test_open_has_the_modes_of_the_builtin(fs: ContainerFS) -> None:
    with fs.open("/tmp/file", "x", permissions=0o600) as file:
        print("one", file=file)
    with fs.open("/tmp/file", "a") as file:
        file.write("two\n")
    with fs.open("/tmp/file") as file:
        assert list(file) == ["one\n", "two\n"]
    with fs.open("/tmp/file", "r+b") as file:
        file.seek(4)
        file.write(b"TWO")
    with fs.open("/tmp/file", "rb", buffering=0) as file:
        assert file.read() == b"one\nTWO\n"
    assert fs.stat("/tmp/file").st_mode & 0o7777 == 0o600
    with pytest.raises(FileExistsError):
        fs.open("/tmp/file", "x")
    for mode in ("", "rw", "rbt", "z", "rr"):
        with pytest.raises(ValueError, match="mode"):
            fs.open("/tmp/file", mode)


def test_what_is_there_is_told(fs: ContainerFS) -> None:
    fs.symlink_to("/tmp/link", "/etc")
    fs.symlink_to("/tmp/dangling", "nowhere")

    assert fs.is_dir("/tmp/link") and fs.is_symlink("/tmp/link") and not fs.is_file("/tmp/link")
    assert fs.is_symlink("/tmp/dangling") and not fs.exists("/tmp/dangling")
    assert fs.is_file("/tmp/link/passwd") and not fs.exists("/etc/passwd/x")
    assert fs.readlink("/tmp/link") == PurePosixPath("/etc")
    assert fs.lstat("/tmp/link").st_size == 4
    assert sorted(fs.listdir("/tmp")) == ["dangling", "link"]
    assert set(fs.iterdir("/tmp")) == {PurePosixPath("/tmp/link"), PurePosixPath("/tmp/dangling")}


def test_trees_are_walked_made_and_removed(fs: ContainerFS) -> None:
    fs.mkdir("/srv/a/b", 0o700, parents=True)
    fs.mkdir("/srv/a/b", exist_ok=True)
    fs.write_text("/srv/a/b/one.txt", "1")
    fs.write_text("/srv/a/two.txt", "2")
    fs.symlink_to("/srv/a/up", "/srv")

    found = [(str(path), sorted(directories), sorted(others)) for path, directories, others in fs.walk("/srv")]
    assert found == [("/srv", ["a"], []), ("/srv/a", ["b"], ["two.txt", "up"]), ("/srv/a/b", [], ["one.txt"])]
    assert [str(path) for path, _, _ in fs.walk("/srv", top_down=False)] == ["/srv/a/b", "/srv/a", "/srv"]
    assert [str(path) for path in fs.glob("**/*.txt", top="/srv")] == ["/srv/a/two.txt", "/srv/a/b/one.txt"]
    assert fs.stat("/srv/a/b").st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        fs.mkdir("/srv/a/b")
    with pytest.raises(FileExistsError):
        fs.mkdir("/srv/a/two.txt", exist_ok=True)
    with pytest.raises(FileNotFoundError):
        fs.mkdir("/srv/x/y")
    fs.rmtree("/srv/a")
    assert fs.listdir("/srv") == []
    fs.rmdir("/srv")
    assert not fs.exists("/srv")


def test_names_modes_and_owners_change(fs: ContainerFS) -> None:
    fs.write_text("/tmp/one", "1")
    assert fs.rename("/tmp/one", "/tmp/two") == PurePosixPath("/tmp/two")
    fs.chmod("/tmp/two", 0o4750)
    fs.chown("/tmp/two", 0, 0)
    assert (fs.stat("/tmp/two").st_mode & 0o7777, fs.stat("/tmp/two").st_uid) == (0o750, 0)
    fs.remove("/tmp/two")
    fs.unlink("/tmp/two", missing_ok=True)
    with pytest.raises(FileNotFoundError):
        fs.unlink("/tmp/two")


def test_failures_are_the_builtin_ones(fs: ContainerFS) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        fs.read_bytes("/no/such")
    assert (missing.value.errno, missing.value.filename) == (errno.ENOENT, "/no/such")
    with pytest.raises(IsADirectoryError):
        fs.read_bytes("/etc")
    with pytest.raises(NotADirectoryError):
        fs.listdir("/etc/passwd")
    with pytest.raises(OSError, match="larger than 3 bytes"):
        fs.read_bytes("/etc/passwd", limit_bytes=3)
    for path in ("", "a\0b", "\ud800"):
        with pytest.raises(InvalidArgument):
            fs.stat(path)
    with pytest.raises(TypeError):
        fs.stat(cast(Any, b"/etc"))


def test_a_block_shares_and_threads_may_use_it(fs: ContainerFS) -> None:
    def work(number: int) -> None:
        for _ in range(20):
            fs.write_text(f"/tmp/{number}", str(number))
            assert fs.read_text(f"/tmp/{number}") == str(number)

    with fs:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(fs.listdir("/tmp")) == ["0", "1", "2", "3"]


def test_the_program_sees_what_is_written_and_we_what_it_writes(box: Shell) -> None:
    script = 'echo ready; read line; cat /etc/new; stat -c "%u:%g %a" /etc/new; chmod 0 /etc/mine'
    with box.start(f"echo mine > /etc/mine; {script}; echo; read line", stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.fs.write_text("/etc/new", "new\n", permissions=0o604)
        process.stdin.write("go\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(3)] == ["new\n", "0:0 604\n", "\n"]
        assert process.fs.read_text("/etc/mine") == "mine\n"


def test_other_users_files_are_reached(box: Shell) -> None:
    with box.start("exec sleep 1000") as process:
        if os.geteuid() != 0 and len(process.fs.read_text("/proc/1/uid_map").splitlines()) == 1:
            with pytest.raises(OSError, match="Invalid"):
                process.fs.chown("/root", 5, 5)
            return
        process.fs.write_text("/root/secret", "s", permissions=0o600)
        process.fs.chown("/root/secret", 1000, 1000)
        process.fs.chmod("/root/secret", 0o4700)

        found = process.fs.stat("/root/secret")
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1000, 1000, 0o4700)
        assert process.fs.read_text("/root/secret") == "s"
        process.fs.write_text("/root/secret", "t")


def test_trees_are_copied_without_an_archive(fs: ContainerFS, scratch: Path) -> None:
    assert fs.copy_out("/etc", scratch).entries > 3
    (scratch / "etc/new").write_text("new")
    fs.copy_in(scratch / "etc", "/tmp/copy")

    assert fs.read_text("/tmp/copy/new") == "new"
    assert fs.read_text("/tmp/copy/passwd") == fs.read_text("/etc/passwd") == (scratch / "etc/passwd").read_text()


def test_the_files_of_a_process_end_with_it(shell: Shell) -> None:
    with shell.start("exec sleep 1000") as process:
        fs = process.fs
        held = fs.open("/etc/passwd")
        assert fs is process.fs
    for each in (fs, process.fs):
        with pytest.raises(WrongState, match="ended"):
            each.read_text("/etc/passwd")
    assert held.read().startswith("root")
    held.close()


def test_a_kernel_file_that_says_it_is_empty_is_read(shell: Shell) -> None:
    with shell.start("exec sleep 1000") as process:
        assert process.fs.read_text("/proc/1/status").startswith("Name:")


def test_a_stopped_container_keeps_what_is_written_as_the_kernel_would(shell: Shell) -> None:
    shell.run("true", check=True, remove=False, name="box")
    container = shell.engine.containers.get("box")
    with container.fs as fs:
        fs.write_text("/etc/group", "changed")
        fs.unlink("/etc/passwd")
        fs.rmtree("/home")
        fs.mkdir("/home")

    assert container.diff() == (
        Change("C", "/etc"),
        Change("C", "/etc/group"),
        Change("D", "/etc/passwd"),
        *[change for change in container.diff() if change.path.startswith("/home")],
    )
    with container.fs as fs:
        assert fs.listdir("/home") == [] and not fs.exists("/etc/passwd")
    container.remove()


def test_an_open_file_keeps_a_stopped_container_as_it_is(shell: Shell) -> None:
    shell.run("true", check=True, remove=False, name="box")
    container = shell.engine.containers.get("box")
    with container.fs.open("/etc/passwd"), pytest.raises(WrongState):
        container.remove()
    container.remove()


def test_a_kept_container_that_runs_is_reached_in_its_engine(shell: Shell) -> None:
    with shell.start("echo x > /etc/x; echo; exec sleep 1000", remove=False, name="box", stdout=-1) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        container = shell.engine.containers.get("box")
        assert container.fs.read_text("/etc/x") == "x\n"
        with Engine(shell.engine.root) as other, pytest.raises(WrongState, match="another program"):
            other.containers.get("box").fs.read_text("/etc/x")
    assert container.fs.read_text("/etc/x") == "x\n"
    container.remove()


def test_nothing_stays_open(shell: Shell, scratch: Path) -> None:
    shell.run("true", check=True, remove=False, name="box")
    container = shell.engine.containers.get("box")
    chunks, _ = container.get_archive("/etc")
    next(chunks)
    del chunks
    container.remove()
