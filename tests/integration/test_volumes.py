"""Volumes in containers, on the real kernel: who sees what, who owns it, who may remove it, and what ends with whom."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyrt import (
    CommandError,
    Conflict,
    ContainerNotFound,
    Engine,
    InvalidOption,
    Mount,
    ResourceBusy,
    SyscallError,
    Unsupported,
    VolumeNotFound,
)
from pyrt.layer import write
from tests.containers import Shell
from tests.hosts import TOP, eventually

pytestmark = pytest.mark.needs("overlay")
IMAGE = "example.org/box:1"


@pytest.fixture(scope="module")
def archive(public_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The test image with a directory /srv/data: a file of two names, and one of others' where somebody can say so."""
    top = Path(shutil.copytree(public_rootfs, tmp_path_factory.mktemp("image") / "root", symlinks=True))
    (top / "srv/data/sub").mkdir(parents=True)
    (top / "srv/data/sub/file").write_text("of the image\n")
    (top / "srv/data/again").hardlink_to(top / "srv/data/sub/file")
    (top / "srv/data").chmod(0o750)
    return b"".join(write(str(top), uids=[(0, os.geteuid(), 1)], gids=[(0, os.getegid(), 1)]))


@pytest.fixture
def store(public_directory: Path, archive: bytes) -> Iterator[Engine]:
    """An engine with one image of the store, and without volumes in the end."""
    root = Path(tempfile.mkdtemp(prefix="engine-", dir=public_directory))
    root.chmod(0o711)
    with Engine(root) as engine:
        engine.images.import_tar(io.BytesIO(archive), IMAGE, changes=["CMD true", "VOLUME /srv/data"])
        yield engine
        engine.containers.prune()
        engine.volumes.prune({"all": True})
        assert engine.volumes.list() == []
        engine.images.prune(all=True)
    shutil.rmtree(root)


@pytest.fixture(
    params=[
        pytest.param(None, id="usual"),
        pytest.param("private", marks=pytest.mark.needs("root", "idmapped_host"), id="root-in-user-namespace"),
    ]
)
def shell(store: Engine, request: pytest.FixtureRequest) -> Shell:
    return Shell(store, IMAGE, userns_mode=request.param)


def names(engine: Engine) -> list[str]:
    return [volume.name for volume in engine.volumes.list()]


def test_a_named_volume_outlives_its_containers(shell: Shell) -> None:
    shell.sh("echo kept > /data/file", volumes=["data:/data"])

    assert shell.sh("cat /other/file", volumes={"data": {"bind": "/other", "mode": "ro"}}) == "kept"
    assert "Read-only" in shell.fails("echo x > /data/file", volumes=["data:/data:ro"])
    assert names(shell.engine) == ["data"]


def test_two_containers_share_one(shell: Shell) -> None:
    with shell.start(
        "until [ -e /data/go ]; do sleep 0.01; done; echo there > /data/back", volumes=["data:/data"]
    ) as one:
        shell.sh("touch /data/go; until [ -e /data/back ]; do sleep 0.01; done; cat /data/back", volumes=["data:/data"])
        assert one.wait(30) == 0


def test_an_image_s_volume_is_filled_and_goes_with_the_container(shell: Shell) -> None:
    script = (
        "cat /srv/data/again; stat -c '%h %a %u' /srv/data/again /srv/data; grep -c ' /srv/data ' /proc/self/mounts"
    )

    assert shell.sh(script).splitlines() == ["of the image", "2 644 0", "3 750 0", "1"]
    assert names(shell.engine) == []


def test_first_use_keeps_what_the_image_has(shell: Shell) -> None:
    assert shell.sh("ls /srv/data; touch /srv/data/new", volumes=["data:/srv/data"]).split() == ["again", "sub"]
    assert shell.sh("ls /srv/data", volumes=["data:/srv/data"]).split() == ["again", "new", "sub"]
    assert shell.sh("ls /srv/data", volumes=["empty:/srv/data:nocopy"]) == ""
    assert shell.sh("ls -d /data", mounts=[Mount("/data", "empty")]) == "/data"


def test_those_who_start_at_once_see_the_same(shell: Shell) -> None:
    with ThreadPoolExecutor(4) as threads:
        seen = list(threads.map(lambda _: shell.sh("ls /srv/data", volumes=["data:/srv/data"]), range(4)))

    assert seen == ["again\nsub"] * 4


@pytest.mark.needs("other_ids")
def test_owners_are_as_in_a_container(shell: Shell) -> None:
    shell.sh("touch /data/x; chown 7:8 /data/x /data; chmod 700 /data", volumes=["data:/data"])

    assert shell.sh("stat -c '%u %g %a' /data /data/x", volumes=["data:/data"]).splitlines() == ["7 8 700", "7 8 644"]
    shell.engine.volumes.get("data").clone("copy")
    assert shell.sh("stat -c '%u %g %a' /data /data/x", volumes=["copy:/data"]).splitlines() == ["7 8 700", "7 8 644"]


def test_a_part_of_a_volume_can_be_mounted(shell: Shell) -> None:
    shell.sh("mkdir -p /data/a/b; echo deep > /data/a/b/c", volumes=["data:/data"])

    assert shell.sh("cat /x/c", mounts=[Mount("/x", "data", subpath="a/b")]) == "deep"
    assert shell.sh("cat /y", mounts=["type=volume,src=data,dst=/y,volume-subpath=a/b/c,readonly"]) == "deep"
    with pytest.raises((InvalidOption, SyscallError), match=r"a/no|No such file"):
        shell.run("true", mounts=[Mount("/x", "data", subpath="a/no")])


def test_a_volume_that_is_used_stays(shell: Shell) -> None:
    with shell.start("sleep 60", volumes=["data:/data"]) as process:
        with pytest.raises(ResourceBusy, match="data is in use by"):
            shell.engine.volumes.get("data").remove()
        assert shell.engine.volumes.prune({"all": True})["VolumesDeleted"] == []
        process.kill()

    shell.engine.volumes.get("data").remove()
    with pytest.raises(VolumeNotFound):
        shell.engine.volumes.get("data")


def test_a_snapshot_is_only_read(shell: Shell) -> None:
    shell.sh("echo then > /data/file", volumes=["data:/data"])
    then = shell.engine.volumes.get("data").snapshot("then")
    shell.sh("echo now > /data/file", volumes=["data:/data"])

    assert shell.sh("cat /data/file", volumes=["then:/data"]) == "then"
    assert "Read-only" in shell.fails("echo x > /data/file", volumes=["then:/data"])
    then.clone("again")
    assert shell.sh("echo more >> /data/file; cat /data/file", volumes=["again:/data"]) == "then\nmore"


def test_a_container_that_does_not_start_leaves_no_anonymous_volume(shell: Shell) -> None:
    with pytest.raises(CommandError, match="no-such-program"):
        shell.run("no-such-program", volumes=["/one", "named:/two"])

    assert names(shell.engine) == ["named"]
    with pytest.raises(InvalidOption):
        shell.run("true", volumes=["fresh:/one", "bad name:/two"])
    assert names(shell.engine) == ["named"]


def test_memory_is_a_volume_too(shell: Shell) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=0700,noexec"}
    shell.engine.volumes.create("memory", driver_opts=options)

    found = shell.sh("grep ' /data ' /proc/self/mounts; stat -c %a /data", volumes=["memory:/data:ro"])

    assert "tmpfs ro,noexec" in found
    assert "size=1024k" in found
    assert found.endswith("700")


def test_a_directory_of_the_host_is_a_volume_too(shell: Shell, scratch: Path) -> None:
    (scratch / "file").write_text("of the host\n")
    options = {"type": "none", "o": "bind", "device": str(scratch)}

    script = "cat /data/file"
    mount = Mount("/data", "bound", driver_opts=options, labels={"made": "here"})

    assert shell.sh(script, mounts=[mount]) == "of the host"
    assert shell.sh(script, volumes=["bound:/data"]) == "of the host"
    volume = shell.engine.volumes.get("bound")
    assert (volume.attrs["Options"], volume.labels) == (options, {"made": "here"})
    with pytest.raises(Conflict):
        shell.run("true", mounts=[Mount("/data", "bound", driver_opts={**options, "o": "bind,ro"})])
    volume.remove()
    assert (scratch / "file").exists()


def test_what_the_kernel_cannot_mount_is_said(store: Engine) -> None:
    options = {"type": "nosuchfs", "device": "x"}

    with pytest.raises((SyscallError, Unsupported), match="nosuchfs"):
        store.run(IMAGE, ["true"], mounts=[Mount("/data", "odd", driver_opts=options)])


def test_a_kept_container_keeps_its_volumes(store: Engine) -> None:
    shell = Shell(store, IMAGE)
    shell.sh("echo mine > /srv/data/mine; touch /data/x", remove=False, name="box", volumes=["data:/data"])
    [anonymous] = [name for name in names(store) if name != "data"]

    assert store.volumes.prune({"all": True})["VolumesDeleted"] == []
    with pytest.raises(ResourceBusy, match="by box"):
        store.volumes.get(anonymous).remove()
    assert [each.name for each in store.volumes.list({"dangling": True})] == []

    store.containers.get("box").remove(v=True)
    assert names(store) == ["data"]


def test_a_container_removed_without_them_leaves_its_volumes(store: Engine) -> None:
    Shell(store, IMAGE).sh("true", remove=False, name="box", volumes=["data:/data"])
    store.containers.get("box").remove()

    assert len(names(store)) == 2
    assert len(store.volumes.prune()["VolumesDeleted"]) == 1
    assert names(store) == ["data"]


def test_volumes_come_from_another_container(store: Engine, scratch: Path) -> None:
    shell = Shell(store, IMAGE)
    (scratch / "file").write_text("bound\n")
    scratch.chmod(0o777)
    given = ["data:/data", f"{scratch}:/host"]
    shell.sh("echo mine > /srv/data/mine; echo data > /data/x", remove=False, name="box", volumes=given)

    everything = "cat /data/x /host/file /srv/data/mine"
    assert shell.sh(everything, volumes_from=["box"]).split() == ["data", "bound", "mine"]
    assert "Read-only" in shell.fails("echo > /host/x", volumes_from=["box:ro"])
    assert "Read-only" in shell.fails("echo > /data/x", volumes_from=["box:ro"])
    assert shell.sh("ls /data", volumes_from=["box"], volumes=["other:/data"]) == ""
    with pytest.raises(ContainerNotFound, match="nobody"):
        shell.run("true", volumes_from=["nobody"])
    store.containers.get("box").remove(v=True)
    with pytest.raises(ContainerNotFound, match="box"):
        shell.run("true", volumes_from=["box"])
    assert names(store) == ["data", "other"]


def test_what_the_host_shows_is_copied_into_no_volume(store: Engine) -> None:
    done = store.run("host:", ["ls", "/usr/lib"], text=True, check=True, timeout=60, volumes=["data:/usr/share/doc"])

    assert done.stdout
    assert os.listdir(store.volumes.get("data").attrs["Mountpoint"]) == []


def test_volumes_of_a_killed_program_go_with_the_next(store: Engine) -> None:
    program = (
        "import sys; from pyrt import Engine; engine = Engine(sys.argv[1]);"
        "process = engine.popen(sys.argv[2], ['sleep', '60'], volumes=['/one', 'data:/two']);"
        "print('ready', flush=True); process.wait()"
    )
    command = [sys.executable, "-c", program, str(store.root), IMAGE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": TOP}) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert len(names(store)) == 3
        with pytest.raises(ResourceBusy):
            store.volumes.get("data").remove()
        child.send_signal(signal.SIGKILL)

    def is_swept() -> bool:
        with Engine(store.root) as other:
            other.run(IMAGE, timeout=60)
        return names(store) == ["data"]

    eventually(is_swept, "the anonymous volumes of the dead program are still there")
