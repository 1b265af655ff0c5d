"""Wrong input and hosts that are short of something: the right error each, with its reason, and nothing left behind."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrt import CommandError, Engine, ImageNotFound, InvalidArgument, InvalidOption, InvalidReference, SyscallError
from tests.containers import Shell, small_image
from tests.hosts import run_python


@pytest.fixture
def own_image(public_rootfs: Path, scratch: Path) -> Path:
    """A small image, to be changed."""
    return small_image(public_rootfs, scratch / "image")


def program(image: Path, name: str, content: bytes, mode: int = 0o755) -> None:
    (image / "bin" / name).write_bytes(content)
    (image / "bin" / name).chmod(mode)


@pytest.mark.parametrize(
    ("image", "error", "reason"),
    [
        ("rootfs:/no/such/directory", ImageNotFound, "does not exist"),
        ("rootfs:/etc/passwd", ImageNotFound, "is not a directory"),
        ("rootfs:", InvalidReference, "names no directory"),
        ("rootfs:\0", InvalidReference, "names no directory"),
        ("hots:", InvalidReference, "hots"),
        ("", InvalidArgument, "image"),
        (7, InvalidArgument, "image"),
    ],
)
def test_images(shell: Shell, image: Any, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        shell.engine.run(image, ["true"])


@pytest.mark.needs("ordinary_user")
def test_a_directory_that_may_not_be_entered(shell: Shell, scratch: Path) -> None:
    (scratch / "closed").mkdir(mode=0)

    with pytest.raises(ImageNotFound, match="may not be entered"):
        shell.engine.run(f"rootfs:{scratch / 'closed'}", ["true"])
    (scratch / "closed").chmod(0o700)


@pytest.mark.needs("root", "userns")
def test_a_directory_that_only_root_may_enter_serves_a_user_namespace_of_root(
    root_shell: Shell, own_image: Path
) -> None:
    own_image.parent.chmod(0o700)

    assert root_shell.engine.run(f"rootfs:{own_image}", ["true"], userns_mode="private").returncode == 0


@pytest.mark.parametrize("name", ["no-such", "/no/such", "/bin/busybox/x", "./no-such"])
def test_a_missing_program(box: Shell, name: str) -> None:
    with pytest.raises(CommandError, match=f"{name}.*no such program") as caught:
        box.run(name)

    assert caught.value.exit_code == 127


def test_a_program_that_is_not_executable(box: Shell) -> None:
    for name in ("/etc/os-release", "/etc"):
        with pytest.raises(CommandError, match=f"{name} cannot be executed: Permission denied") as caught:
            box.run(name)
        assert caught.value.exit_code == 126


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        (b"#!/no/such/interpreter\n", 127, "interpreter is missing"),
        (b"echo no interpreter named\n", 126, "Exec format error.*without #!"),
        (b"\x7fELF\x02\x01\x01" + b"\0" * 57, 126, "Exec format error.*another architecture"),
        (b"", 126, "Exec format error"),
        (b"#!/etc/os-release\n", 126, "Permission denied"),
    ],
)
def test_programs_that_are_none(shell: Shell, own_image: Path, content: bytes, code: int, reason: str) -> None:
    program(own_image, "odd", content)

    for name in ("odd", "/bin/odd"):
        with pytest.raises(CommandError, match=reason) as caught:
            shell.engine.run(f"rootfs:{own_image}", [name])
        assert caught.value.exit_code == code


def test_the_path_is_searched_as_a_shell_does(shell: Shell, own_image: Path) -> None:
    (own_image / "closed").mkdir()
    (own_image / "closed/tool").write_text("not executable")
    program(own_image, "tool", b"#!/bin/sh\necho found\n")
    image = f"rootfs:{own_image}"

    done = shell.engine.run(image, ["tool"], text=True, environment={"PATH": "/no/such:/etc/os-release:/closed:/bin"})
    assert done.stdout == "found\n"
    with pytest.raises(CommandError, match="tool cannot be executed: Permission denied") as caught:
        shell.engine.run(image, ["tool"], environment={"PATH": "/closed:/sbin"})
    assert caught.value.exit_code == 126


def test_a_working_directory_that_is_a_file(box: Shell) -> None:
    for place in ("/etc/os-release", "/etc/os-release/below"):
        with pytest.raises(CommandError, match=f"working_dir {place} cannot be entered: Not a directory") as caught:
            box.run("true", working_dir=place)
        assert caught.value.exit_code == 126


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"working_dir": "relative"}, "working_dir"),
        ({"working_dir": "/nul\0"}, "working_dir"),
        ({"environment": {"A=B": "x"}}, "environment"),
        ({"environment": {"A": "x\0"}}, "environment"),
        ({"hostname": "-bad-"}, "hostname"),
        ({"hostname": "x" * 65}, "hostname"),
        ({"mem_limit": "1m"}, "mem_limit"),
        ({"mem_limit": "much"}, "mem_limit"),
        ({"cpus": 0.001}, "cpus"),
        ({"ulimits": {"nofile": (200, 100)}}, "ulimits"),
        ({"volumes": ["/etc:relative"]}, "volumes"),
        ({"volumes": ["/etc:/a", "/usr:/a"]}, "volumes"),
        ({"tmpfs": ["/x:size=never"]}, "tmpfs"),
        ({"cap_add": ["FLY"]}, "cap_add"),
        ({"security_opt": ["be-safe"]}, "security_opt"),
        ({"stop_signal": "SIGNONE"}, "stop_signal"),
        ({"tty": "yes"}, "tty"),
        ({"dns": ["not an address"]}, "dns"),
        ({"storage_opt": {"dm.basesize": "1g"}}, "storage_opt"),
        ({"cgroup_parent": "/../.."}, "cgroup_parent"),
        ({"devices": ["/etc/passwd"]}, "devices"),
    ],
)
def test_options(shell: Shell, options: dict[str, object], argument: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        shell.run("true", **options)

    assert caught.value.argument == argument
    assert str(caught.value).startswith(f"{argument}: ")
    assert not (shell.engine.root / "copies").exists()


def test_more_arguments_than_the_kernel_takes(shell: Shell) -> None:
    for words in (["echo", "x" * (1 << 18)], ["echo", *["x" * 1000] * 4000]):
        with pytest.raises(CommandError, match="Argument list too long") as caught:
            shell.run(*words)
        assert caught.value.exit_code == 126


def test_a_directory_of_the_engine_that_cannot_be_one(scratch: Path) -> None:
    (scratch / "file").touch()

    for place in (scratch / "file", scratch / "file/below"):
        with pytest.raises(InvalidOption, match=r"cannot be used.*PYRT_ROOT") as caught:
            Engine(place)
        assert caught.value.argument == "root"


@pytest.fixture
def small(scratch: Path) -> Iterator[Path]:
    """A file system of 128 KiB and 24 inodes, as the directory of an engine that has worked once."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,nr_inodes=24,mode=711", "small", scratch], check=True)
    yield scratch
    subprocess.run(["umount", scratch], check=True)


def fill(place: Path, what: str) -> None:
    try:
        for number in range(100):
            (place / f"filler-{number}").write_bytes(b"x" * 65536 if what == "space" else b"")
    except OSError as error:
        assert error.errno == errno.ENOSPC


@pytest.mark.needs("root")
@pytest.mark.parametrize("what", ["space", "inodes"])
def test_a_full_disk_does_not_stop_what_needs_none(small: Path, image: str, what: str) -> None:
    (small / "stage").mkdir()
    fill(small, what)

    with Engine(small) as engine:
        assert engine.run(image, ["true"]).returncode == 0


@pytest.mark.needs("root")
@pytest.mark.parametrize("what", ["space", "inodes"])
def test_a_copy_that_does_not_fit(small: Path, image: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (small / "copies").mkdir()
    with Engine(small) as engine:
        engine.run(image, ["true"])
        fill(small, what)
        monkeypatch.setattr(
            engine._rooms.launcher._snapshotters._probe,
            "refusal",
            lambda lower, user_namespace=None: "refused by the test",
        )
        with pytest.raises(SyscallError, match="No space left on device") as caught:
            engine.run(image, ["true"])

    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(small / "copies") == []


EMFILE = """
import errno, os, resource, sys
from pyrt import Engine, PyrtError
root, image = sys.argv[1:]
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
def allow(count): resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
def held(): return len(os.listdir("/proc/self/fd"))
def links(): return [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
with Engine(root) as engine:
    engine.run(image, ["true"])
    before, failed, worked = held(), 0, 0
    for extra in range(40):
        for warm in (True, False):
            each = engine if warm else None
            allow(before - 1 + extra)
            try:
                each = each or Engine(root)
                each.run(image, ["true"], input=b"x")
                worked += 1
            except (PyrtError, OSError) as error:
                assert getattr(error, "errno", None) == errno.EMFILE or "Too many open files" in str(error), repr(error)
                failed += 1
            allow(hard)
            if each is not None and not warm:
                each.close()
            assert held() == before, (extra, warm, links())
    assert engine.run(image, ["true"]).returncode == 0
print(failed > 10, worked > 4)
"""


def test_no_descriptors_left(root_or_user: str, engine: Engine, image: str) -> None:
    assert run_python(EMFILE, engine.root, image) == "True True\n"


EXHAUSTED = """
import errno, os, sys
from pathlib import Path
from pyrt import Engine, SyscallError
root, image, group = sys.argv[1:]
Path(group, "cgroup.procs").write_text("0")
def children(): return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
with Engine(root) as engine:
    for most in (1, 2):
        Path(group, "pids.max").write_text(str(most))
        try:
            engine.run(image, ["true"])
            raise SystemExit(f"it ran with {most}")
        except SyscallError as error:
            assert error.errno == errno.EAGAIN and "Resource temporarily unavailable" in str(error), repr(error)
        assert children() == [], children()
    Path(group, "pids.max").write_text("max")
    assert engine.run(image, ["true"]).returncode == 0
print("ok")
"""


@pytest.mark.needs("root", "cgroup_v1")
def test_no_tasks_left(engine: Engine, image: str) -> None:
    group = Path(f"/sys/fs/cgroup/pids/pyrt-test-{os.getpid()}")
    group.mkdir()
    try:
        assert run_python(EXHAUSTED, engine.root, image, group) == "ok\n"
    finally:
        group.rmdir()


@pytest.mark.needs("root")
def test_the_least_that_can_be_given(root_shell: Shell) -> None:
    assert root_shell.run("/bin/nop", mem_limit="6m", memswap_limit="6m", pids_limit=1, cpus=0.01).returncode == 0
    assert root_shell.run("/bin/nop", pids_limit=1, userns_mode="private").returncode == 0


@pytest.mark.needs("root")
def test_more_tasks_than_the_container_may_have(root_shell: Shell) -> None:
    done = root_shell.run("sh", "-c", "for i in 1 2 3 4 5 6; do sleep 1000 & done; wait", pids_limit=4, timeout=20)

    assert "can't fork" in done.stderr
    assert done.returncode > 0
