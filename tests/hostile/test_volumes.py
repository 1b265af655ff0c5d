"""Volumes whose content, name, options or image want to lead out of them."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pyrt import Engine, InvalidOption, Mount, PyrtError, SyscallError
from pyrt.layer import write
from tests.containers import Shell, small_image
from tests.images import tar

pytestmark = pytest.mark.needs("overlay")
ROUNDS = 40


@pytest.fixture(
    params=[
        pytest.param(None, id="usual"),
        pytest.param("private", marks=pytest.mark.needs("root", "idmapped_host"), id="root-in-user-namespace"),
    ]
)
def shell(public_directory: Path, image: str, request: pytest.FixtureRequest) -> Iterator[Shell]:
    """A shell on an engine whose volumes are removed in the end, whoever their files belong to."""
    root = Path(tempfile.mkdtemp(prefix="engine-", dir=public_directory))
    root.chmod(0o711)
    with Engine(root) as engine:
        yield Shell(engine, image, userns_mode=request.param)
        engine.volumes.prune({"all": True})
        assert engine.volumes.list() == []
    shutil.rmtree(root)


@pytest.fixture
def secret(scratch: Path) -> Path:
    """A directory of the host that no container is given."""
    (scratch / "secret").mkdir()
    (scratch / "secret/key").write_text("of the host\n")
    return scratch / "secret"


def data(shell: Shell, name: str = "data") -> Path:
    return Path(shell.engine.volumes.get(name).attrs["Mountpoint"])


@pytest.mark.parametrize("way", ["absolute", "relative", "nested"])
def test_a_link_as_subpath_stays_in_the_volume(shell: Shell, secret: Path, way: str) -> None:
    targets = {"absolute": str(secret), "relative": f"{'../' * 30}{secret}", "nested": "hop"}
    shell.sh(f"mkdir /data/in; ln -s {secret} /data/in/hop; ln -s {targets[way]} /data/in/out", volumes=["data:/data"])
    mount = Mount("/x", "data", subpath="in/out")

    with pytest.raises((InvalidOption, SyscallError), match="No such file"):
        shell.run("true", mounts=[mount])

    shell.sh(f"mkdir -p /data{secret}; echo own > /data{secret}/key", volumes=["data:/data"])
    assert shell.sh("cat /x/key", mounts=[mount]) == "own"


def test_a_subpath_that_changes_meanwhile_never_shows_the_host(shell: Shell, secret: Path) -> None:
    shell.sh(f"mkdir /data/a /data/b; echo own > /data/a/key; ln -s {secret} /data/b/link", volumes=["data:/data"])
    swap = f"while :; do mv /data/a /data/c; ln -s {secret} /data/a; rm /data/a; mv /data/c /data/a; sleep 0.02; done"
    seen = set()

    with shell.start(swap, volumes=["data:/data"]) as process:
        for _ in range(ROUNDS):
            with suppress(PyrtError):
                seen.add(shell.run("sh", "-c", "cat /x/key", mounts=[Mount("/x", "data", subpath="a")]).stdout)
        process.kill()

    assert "own\n" in seen
    assert seen <= {"own\n", ""}


@pytest.mark.parametrize("subpath", ["..", "../x", "a/../../x", "/etc", "\0"])
def test_a_subpath_that_says_so_is_refused(shell: Shell, subpath: str) -> None:
    with pytest.raises(InvalidOption):
        shell.run("true", mounts=[Mount("/x", "data", subpath=subpath)])
    assert shell.engine.volumes.list() == []


@pytest.mark.parametrize("name", ["..", ".", ".removed-x", "a/../../x", "-v", "a\nb"])
def test_a_name_that_is_a_path_is_refused(shell: Shell, name: str) -> None:
    for act in (
        lambda: shell.engine.volumes.create(name),
        lambda: shell.run("true", mounts=[Mount("/x", name)]),
        lambda: shell.engine.volumes.create("data").clone(name),
    ):
        with pytest.raises(InvalidOption):
            act()


def test_a_device_that_is_a_link_is_what_it_leads_to_and_stays(shell: Shell, secret: Path) -> None:
    """The path is the caller's, like that of a bind; the volume's end is not that of what it shows."""
    link = secret.parent / "link"
    link.symlink_to(secret)
    volume = shell.engine.volumes.create("bound", driver_opts={"type": "none", "o": "bind", "device": str(link)})

    assert shell.sh("cat /x/key", volumes=["bound:/x:ro"]) == "of the host"
    volume.remove()

    assert link.is_symlink()
    assert (secret / "key").exists()


def test_removal_follows_no_link(shell: Shell, secret: Path) -> None:
    shell.sh(f"ln -s {secret} /data/link; mkdir -p /data/a/b; chmod 0 /data/a", volumes=["data:/data"])

    shell.engine.volumes.get("data").remove()

    assert (secret / "key").exists()


def test_a_clone_of_what_changes_meanwhile_has_nothing_of_the_host(shell: Shell, secret: Path) -> None:
    shell.sh("mkdir /data/a; echo own > /data/a/key; mkfifo /data/pipe", volumes=["data:/data"])
    swap = f"while :; do mv /data/a /data/c; ln -s {secret} /data/a; rm /data/a; mv /data/c /data/a; sleep 0.02; done"
    volume = shell.engine.volumes.get("data")

    with shell.start(swap, volumes=["data:/data"]) as process:
        for number in range(ROUNDS // 3):
            try:
                made = volume.clone(f"copy{number}")
            except PyrtError:
                continue
            script = "for i in a c; do [ -L /x/$i ] || cat /x/$i/key 2>/dev/null || true; done"
            assert shell.sh(script, volumes=[f"{made.name}:/x:ro"]) in ("own", "own\nown", "")
        process.kill()


def test_a_clone_of_a_bottomless_volume_fails_and_leaves_nothing(shell: Shell) -> None:
    deep = "cd /data; i=0; while [ $i -lt 1500 ]; do mkdir d; cd d; i=$((i+1)); done"
    shell.sh(deep, volumes=["data:/data"])
    volume = shell.engine.volumes.get("data")

    with suppress(PyrtError):
        volume.clone("copy")

    entries = set(os.listdir(data(shell).parent.parent))
    assert entries <= {".removing", "data", "copy"}
    assert volume.usage()["Size"] <= 0


def test_nobody_else_reaches_set_user_id_files(shell: Shell) -> None:
    shell.sh("cp /bin/busybox /data/tool; chmod 6755 /data/tool", volumes=["data:/data"])

    assert stat.S_IMODE(data(shell).parent.parent.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("path", ["/", "relative", "/../../..", "/proc", "/proc/x", "/x/../proc/sys"])
def test_a_volume_of_an_image_is_a_path_in_the_container(shell: Shell, path: str) -> None:
    engine = shell.engine
    made = engine.images.import_tar(io.BytesIO(tar({"x": b""})), "example.org/odd:1", changes=[f'VOLUME ["{path}"]'])
    try:
        with pytest.raises(InvalidOption, match="volumes"):
            engine.run(made.id, ["/x"], timeout=60, **shell.options)
        assert engine.volumes.list() == []
    finally:
        engine.images.prune(all=True)


@pytest.mark.parametrize("target", ["/proc", "proc", "proc/sys", "/proc/self/attr"])
def test_an_image_does_not_choose_what_proc_is(shell: Shell, public_rootfs: Path, tmp_path: Path, target: str) -> None:
    """CVE-2019-16884, by a link."""
    engine, top = shell.engine, small_image(public_rootfs, tmp_path / "image")
    (top / "x").symlink_to(target)
    archive = b"".join(write(str(top), uids=[(0, os.geteuid(), 1)], gids=[(0, os.getegid(), 1)]))
    made = engine.images.import_tar(io.BytesIO(archive), "example.org/odd:1", changes=['VOLUME ["/x"]'])
    try:
        with suppress(PyrtError):
            done = engine.run(made.id, ["sh", "-c", "cat /proc/self/mounts"], text=True, timeout=60, **shell.options)
            assert [line.split()[2] for line in done.stdout.splitlines() if line.split()[1] == "/proc"] == ["proc"]
        assert engine.volumes.list() == []
    finally:
        engine.images.prune(all=True)


def test_labels_are_data(shell: Shell) -> None:
    labels = {"a\nb": "\x1b[2J", "c": "{{.Name}}"}

    shell.engine.volumes.create("data", labels=labels)

    assert shell.engine.volumes.get("data").labels == labels
    assert [each.name for each in shell.engine.volumes.list({"label": "a\nb=\x1b[2J"})] == ["data"]
