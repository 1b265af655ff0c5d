"""Images made to hurt: whatever a root file system holds, the host is neither read, written nor held up."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pyrt import CommandError, ImageNotFound, InvalidArgument, PyrtError
from tests.containers import Shell, small_image


@pytest.fixture
def hostile(public_rootfs: Path, scratch: Path) -> Path:
    """A small image, to be made hostile."""
    return small_image(public_rootfs, scratch / "image")


@pytest.fixture(params=["overlay", "copying"])
def victim(request: pytest.FixtureRequest, shell: Shell, hostile: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell on the hostile image, by an overlay and by a copy."""
    if request.param == "copying":
        monkeypatch.setattr(
            shell.engine._rooms.launcher._snapshotters._probe,
            "refusal",
            lambda lower, user_namespace=None: "refused by the test",
        )
    return Shell(shell.engine, f"rootfs:{hostile}")


@pytest.fixture
def treasure(scratch: Path) -> Path:
    """A directory of the host that no container may touch."""
    made = scratch / "treasure"
    made.mkdir()
    (made / "file").write_text("precious\n")
    return made


def replace(place: Path, target: str | Path) -> None:
    if place.is_symlink() or not place.is_dir():
        place.unlink(missing_ok=True)
    else:
        shutil.rmtree(place)
    place.symlink_to(target)


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
@pytest.mark.parametrize("way", ["absolute", "upwards", "inside", "dangling", "itself"])
def test_file_systems_of_the_kernel_are_not_mounted_through_links(
    victim: Shell, hostile: Path, treasure: Path, name: str, way: str
) -> None:
    targets = {"absolute": str(treasure), "upwards": f"../../..{treasure}", "inside": "/tmp", "dangling": "/no/such"}
    replace(hostile / name, targets.get(way, name))

    with pytest.raises(PyrtError, match=rf"/{name}\b.*symbolic link"):
        victim.run("true")

    assert sorted(os.listdir(treasure)) == ["file"]


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "etc"])
def test_files_where_directories_belong(victim: Shell, hostile: Path, name: str) -> None:
    shutil.rmtree(hostile / name)
    (hostile / name).write_text("no directory")

    try:
        done = victim.run("/bin/busybox", "true")
    except PyrtError as error:
        assert f"/{name}" in str(error)
    else:
        assert (name, done.returncode) == ("etc", 0)
    assert (hostile / name).read_text() == "no directory"


@pytest.mark.parametrize(
    "target", ["/etc", "../../../../../etc", "/no/such", "etc", "/proc/1/root/etc", "/proc/self/cwd"]
)
def test_etc_as_a_link(victim: Shell, hostile: Path, target: str) -> None:
    replace(hostile / "etc", target)
    before = {
        path: os.stat(path).st_mtime_ns for path in ("/etc/hosts", "/etc/resolv.conf", "/etc") if os.path.exists(path)
    }

    try:
        victim.run("/bin/busybox", "true", hostname="hostile")
    except PyrtError as error:
        assert "etc" in str(error)

    assert {path: os.stat(path).st_mtime_ns for path in before} == before
    assert os.readlink(hostile / "etc") == target


@pytest.mark.parametrize("name", ["hosts", "hostname", "resolv.conf", "mtab"])
@pytest.mark.parametrize("way", ["absolute", "upwards", "dangling", "directory", "fifo"])
def test_files_that_are_written_replace_what_is_there(
    victim: Shell, hostile: Path, treasure: Path, name: str, way: str
) -> None:
    place = hostile / "etc" / name
    if way == "directory":
        (place / "inner").mkdir(parents=True)
    elif way == "fifo":
        os.mkfifo(place)
    else:
        replace(
            place, {"absolute": str(treasure / "file"), "upwards": f"../../../..{treasure}/file"}.get(way, "/no/such")
        )

    try:
        done = victim.run("cat", f"/etc/{name}", hostname="hostile", extra_hosts={"x": "10.0.0.1"})
    except PyrtError as error:
        assert (way, f"/etc/{name}" in str(error)) == ("directory", True)
    else:
        assert done.returncode == 0
        assert "precious" not in done.stdout

    assert (treasure / "file").read_text() == "precious\n"


@pytest.mark.parametrize("way", ["fifo", "directory", "huge", "device", "loop"])
def test_a_list_of_users_that_is_none(shell: Shell, hostile: Path, way: str) -> None:
    place = hostile / "etc/passwd"
    place.unlink()
    if way == "fifo":
        os.mkfifo(place)
    elif way == "directory":
        place.mkdir()
    elif way == "huge":
        with open(place, "wb") as file:
            file.truncate(10 << 30)
    elif way == "loop":
        place.symlink_to("passwd")
    else:
        place.symlink_to("/dev/zero")
        (hostile / "dev/zero").touch()
        os.truncate(hostile / "dev/zero", 10 << 30)

    with pytest.raises(InvalidArgument, match="/etc/passwd") as caught:
        shell.engine.run(f"rootfs:{hostile}", ["true"], user="app")
    assert caught.value.argument == "user"


def test_a_list_of_users_of_the_host_is_not_read(shell: Shell, hostile: Path, treasure: Path) -> None:
    (treasure / "passwd").write_text("owner:x:0:0::/:/bin/sh\n")
    for target in (str(treasure / "passwd"), f"../../../..{treasure}/passwd", f"/proc/self/root{treasure}/passwd"):
        replace(hostile / "etc/passwd", target)
        with pytest.raises(InvalidArgument, match="owner"):
            shell.engine.run(f"rootfs:{hostile}", ["true"], user="owner")


@pytest.mark.parametrize(
    "lines",
    ["app:x:0\n", "app:x:-1:0::/:\n", "app:x:4294967296:0::/:\n", "app" * 100_000, "\0:\0\n", "app:x:zero:0::/:/\n"],
)
def test_lines_that_are_no_users(shell: Shell, hostile: Path, lines: str) -> None:
    (hostile / "etc/passwd").write_text(lines)

    with pytest.raises(InvalidArgument, match="app"):
        shell.engine.run(f"rootfs:{hostile}", ["true"], user="app")


@pytest.mark.parametrize("link", ["/proc/self/exe", "/proc/1/exe", "../proc/self/exe", "/proc/thread-self/exe"])
def test_a_program_that_is_a_link_to_whoever_starts_it(shell: Shell, hostile: Path, link: str) -> None:
    replace(hostile / "bin/sh", link)

    for name in ("sh", "/bin/sh"):
        with pytest.raises(CommandError, match="magic link") as caught:
            shell.engine.run(f"rootfs:{hostile}", [name, "-c", "true"])
        assert caught.value.exit_code == 126


@pytest.mark.parametrize(("word", "code"), [("", 125), (" x", 125), (" keeper", 0)])
def test_an_interpreter_that_is_whoever_starts_it(shell: Shell, hostile: Path, word: str, code: int) -> None:
    """The kernel follows the link then; what runs is sealed, knows that nobody asked for it, and has no more rights."""
    (hostile / "bin/odd").write_text(f"#!/proc/self/exe{word}\n")
    (hostile / "bin/odd").chmod(0o755)

    done = shell.engine.run(f"rootfs:{hostile}", ["odd", "x"], timeout=60, text=True)

    assert (done.returncode, done.stdout) == (code, "")


def test_what_starts_a_program_cannot_be_written(shell: Shell, hostile: Path) -> None:
    """A library that runs inside of pyrt-init, if it were not static, could reach it by /proc/self/exe."""
    script = "for link in /proc/[0-9]*/exe; do (echo > $link) 2>&1; done; ls -l /proc/1/exe; ls /proc/self/fd"

    shown = shell.engine.run(f"rootfs:{hostile}", ["sh", "-c", script], text=True, init=True).stdout

    assert "pyrt-init" in shown
    assert shell.sh("true") == ""


@pytest.mark.parametrize("number", range(12))
def test_no_descriptor_leads_out(shell: Shell, hostile: Path, number: int) -> None:
    for place in (f"/proc/self/fd/{number}", f"/proc/1/fd/{number}", f"/proc/thread-self/fd/{number}"):
        with pytest.raises(PyrtError):
            shell.engine.run(f"rootfs:{hostile}", ["pwd"], working_dir=place)
        replace(hostile / "way", place)
        with pytest.raises(PyrtError):
            shell.engine.run(f"rootfs:{hostile}", ["pwd"], working_dir="/way/x")


def test_mount_points_that_are_links(victim: Shell, hostile: Path, treasure: Path) -> None:
    for target in ("/no/such", "loop", "/proc/self/fd/5", "/proc/1/root/etc"):
        replace(hostile / "loop", target)
        with pytest.raises(PyrtError, match="/loop"):
            victim.run("true", volumes=[f"{treasure}:/loop/x" if target == "loop" else f"{treasure}:/loop"])
    replace(hostile / "loop", str(treasure))
    with pytest.raises(PyrtError, match="dangling"):
        victim.run("true", tmpfs=["/loop"])
    assert sorted(os.listdir(treasure)) == ["file"]


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\\b", "a b", "a\nb", "a=b", "ü", "lowerdir=x:y,upperdir=z", "'\"`$"])
def test_a_directory_with_an_odd_name(shell: Shell, hostile: Path, name: str) -> None:
    odd = hostile.rename(hostile.parent / name)

    assert shell.engine.run(f"rootfs:{odd}", ["cat", "/etc/os-release"], text=True).stdout == "ID=pyrt-test\n"


def test_an_empty_root(shell: Shell, scratch: Path) -> None:
    (scratch / "empty").mkdir()

    with pytest.raises(CommandError) as caught:
        shell.engine.run(f"rootfs:{scratch / 'empty'}", ["true"])
    assert caught.value.exit_code == 127
    assert os.listdir(scratch / "empty") == []


def test_a_root_that_is_a_link(shell: Shell, hostile: Path, scratch: Path) -> None:
    (scratch / "link").symlink_to(hostile)
    (scratch / "nothing").symlink_to("no-such")

    assert shell.engine.run(f"rootfs:{scratch / 'link'}", ["true"]).returncode == 0
    with pytest.raises(ImageNotFound):
        shell.engine.run(f"rootfs:{scratch / 'nothing'}", ["true"])
