"""Containers that are kept: what they have written, images made of it, and who may remove them."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt import (
    Change,
    Conflict,
    ContainerNotFound,
    Engine,
    ImageNotFound,
    InvalidOption,
    NameInUse,
    ProcessFailed,
    Unsupported,
    WrongState,
)
from pyrt.layer import write
from tests.hosts import TOP, eventually

pytestmark = pytest.mark.needs("overlay")
IMAGE = "example.org/box:1"


@pytest.fixture
def store(public_directory: Path, public_rootfs: Path) -> Iterator[Engine]:
    """An engine with one image of the store, removed with all that it holds, whoever that belongs to."""
    root = Path(tempfile.mkdtemp(prefix="engine-", dir=public_directory))
    root.chmod(0o711)
    with Engine(root) as engine:
        data = io.BytesIO(b"".join(write(str(public_rootfs), uids=[(0, os.geteuid(), 1)], gids=[(0, os.getegid(), 1)])))
        engine.images.import_tar(data, IMAGE, changes=["CMD echo hello", "ENV A=1"])
        yield engine
        engine.containers.prune()
        engine.images.prune(all=True)
    shutil.rmtree(root)


def sh(engine: Engine, script: str, name: str | None = None, image: str = IMAGE) -> str:
    done = engine.run(image, ["sh", "-c", script], text=True, check=True, timeout=60, remove=False, name=name)
    return str(done.stdout)


def test_what_a_program_has_written_is_kept_and_told(store: Engine) -> None:
    sh(store, "echo new > /etc/new; rm /etc/group; mkdir /srv", "box")

    container = store.containers.get("box")

    assert container.diff() == (
        Change("C", "/etc"),
        Change("D", "/etc/group"),
        Change("A", "/etc/new"),
        Change("A", "/srv"),
    )
    assert (container.status, container.exit_code, container.image) == ("exited", 0, IMAGE)
    assert [each.name for each in store.containers.list(all=True)] == ["box"]


def test_generated_files_are_seen_and_not_kept(store: Engine) -> None:
    assert "localhost" in sh(store, "cat /etc/hosts", "box")

    assert store.containers.get("box").diff() == ()


def test_a_commit_is_an_image_of_the_same_files(store: Engine) -> None:
    sh(store, "echo new > /etc/new; chmod 4711 /etc/new; chown 7:8 /etc/new 2>/dev/null; rm /etc/group", "box")

    image = store.containers.get("box").commit("me/made", "2", message="why", changes=["CMD cat /etc/new"])

    assert image.tags == ["me/made:2"]
    assert store.run("me/made:2", text=True, check=True).stdout == "new\n"
    listed = sh(store, "stat -c %a /etc/new; test -e /etc/group || echo gone; echo $A", None, "me/made:2")
    assert listed.splitlines()[1:] == ["gone", "1"]
    assert [row["Comment"] for row in image.history()] == ["why", "Imported from -"]


def test_an_export_has_all_files_and_no_whiteouts(store: Engine) -> None:
    sh(store, "echo new > /etc/new; rm /etc/group", "box")

    raw = b"".join(store.containers.get("box").export())

    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        names = set(tar.getnames())
        member = tar.extractfile("etc/new")
        assert member is not None and member.read() == b"new\n"
    assert "etc/group" not in names and "etc/passwd" in names
    assert not [name for name in names if ".wh." in name]


def test_a_name_belongs_to_one_container(store: Engine) -> None:
    sh(store, "true", "box")

    with pytest.raises(NameInUse, match="box"):
        sh(store, "true", "box")
    store.containers.get("box").remove()
    sh(store, "true", "box")

    assert len(store.containers.list(all=True)) == 1


def test_a_running_container_stays_as_it_is(store: Engine) -> None:
    with store.popen(IMAGE, ["sleep", "60"], remove=False, name="box") as process:
        container = store.containers.get("box")
        assert (container.status, container.exit_code) == ("running", None)
        for verb in (container.remove, container.commit):
            with pytest.raises(WrongState, match=r"box (runs|is running)"):
                verb()
        process.kill()
        process.wait()

    assert (container.status, store.containers.get("box").exit_code) == ("exited", 137)


def test_an_image_is_not_removed_below_its_containers(store: Engine) -> None:
    sh(store, "echo new > /etc/new", "box")

    with pytest.raises(Conflict, match="box"):
        store.images.remove(IMAGE)
    store.images.remove(IMAGE, force=True)
    container = store.containers.get("box")

    assert ("A", "/etc/new") in [(change.kind, change.path) for change in container.diff()]
    assert b"".join(container.export())
    with pytest.raises(ImageNotFound):
        container.commit()


def test_a_container_that_does_not_start_is_not_kept(store: Engine) -> None:
    with pytest.raises(Exception, match="no-such-program"):
        store.run(IMAGE, ["no-such-program"], remove=False, name="box")

    with pytest.raises(ContainerNotFound):
        store.containers.get("box")
    assert not os.listdir(store.root / "containers") or store.containers.list(all=True) == []


def test_a_program_that_fails_is_kept_all_the_same(store: Engine) -> None:
    with pytest.raises(ProcessFailed):
        sh(store, "exit 3", "box")

    assert store.containers.get("box").exit_code == 3


def test_the_death_of_the_owner_ends_the_container_and_keeps_it(store: Engine) -> None:
    program = (
        "import sys, pyrt\n"
        f"engine = pyrt.Engine({str(store.root)!r})\n"
        f"engine.popen({IMAGE!r}, ['sh', '-c', 'echo new > /etc/new; sleep 60'], remove=False, name='box')\n"
        "print('started', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "started\n"
        container = store.containers.get("box")
        eventually(lambda: container.diff() != (), "the file is there")
        owner.send_signal(signal.SIGKILL)

    eventually(lambda: container.status == "exited", "the container has ended")
    assert store.containers.get("box").exit_code is None
    assert ("A", "/etc/new") in [(change.kind, change.path) for change in container.diff()]


@pytest.mark.parametrize("name", ["host:", "host:full"])
def test_the_whole_machine_is_not_kept(store: Engine, name: str) -> None:
    with pytest.raises(Unsupported, match="whole machine"):
        store.run(name, ["true"], remove=False)


def test_a_directory_can_be_kept_and_not_committed(store: Engine, public_rootfs: Path) -> None:
    sh(store, "echo new > /etc/new", "box", f"rootfs:{public_rootfs}")
    container = store.containers.get("box")

    assert Change("A", "/etc/new") in container.diff()
    with pytest.raises(Unsupported, match="export"):
        container.commit()


def test_only_what_is_kept_has_a_name(store: Engine) -> None:
    with pytest.raises(InvalidOption, match="remove=False"):
        store.run(IMAGE, ["true"], name="box")


def test_nobody_else_reaches_what_containers_have_written(store: Engine) -> None:
    sh(store, "cp /bin/busybox /srv-shell; chmod 4755 /srv-shell", "box")

    assert (store.root / "containers").stat().st_mode & 0o777 == 0o700


@pytest.mark.needs("root")
def test_a_container_does_not_hide_its_image_from_an_export(store: Engine) -> None:
    sh(store, "true", "box")
    os.setxattr(store.root / "containers" / store.containers.get("box").id / "upper", "user.overlay.opaque", b"y")

    with tarfile.open(fileobj=io.BytesIO(b"".join(store.containers.get("box").export()))) as tar:
        assert "etc/passwd" in tar.getnames()


def test_what_a_program_was_run_with_is_there_when_it_is_started_again(store: Engine) -> None:
    script = "echo x >> /data/f; cat /data/f"
    store.run(IMAGE, ["sh", "-c", script], remove=False, name="box", volumes=["data:/data"], environment={"B": "2"})
    container = store.containers.get("box")

    container.start()

    assert container.wait(30) == {"StatusCode": 0}
    assert container.logs() == b"x\nx\n"
    container.remove()
    store.volumes.get("data").remove()
