"""Containers that try to lead the host's own file calls astray: out of their root, into waiting, or into no end."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from pyrt import Conflict, InvalidArgument, NotFound, Process, PyrtError
from pyrt.files import copy_in, copy_out, get_archive, put_archive
from pyrt.layer import Root
from tests.containers import Shell
from tests.suites.trees import archive, directory, file, link

pytestmark = pytest.mark.needs("overlay")
ROUNDS_SECONDS = 1.0
# Puts a directory, and each of the targets as a symbolic link, in the place of /data/way in turns, as fast as it can.
SWAP = """
mkdir -p /data/one/deep /data/two/deep; echo inside > /data/one/deep/file; cp -r /data/one /data/spare
for target in / ../../../../../.. /proc/1/root /proc/self/fd /proc/self/cwd /nowhere %s; do
  ln -s "$target" /data/link.$((count = count + 1)); done
echo
while :; do
  for number in 1 2 3 4 5 6 7; do
    mv /data/one /data/way; mv /data/way /data/one
    mv /data/link.$number /data/way; mv /data/way /data/link.$number
  done
done
"""


@pytest.fixture
def outside(scratch: Path) -> Path:
    """A directory of the host that no container may see or change."""
    for name in ("deep", "host"):
        (scratch / name).mkdir()
    (scratch / "deep/file").write_text("canary")
    return scratch


@pytest.fixture
def swapping(box: Shell, outside: Path) -> Iterator[Process]:
    with box.start(SWAP % outside, stdout=-1) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        yield process


@pytest.fixture
def root(swapping: Process) -> Iterator[Root]:
    with closing(swapping.open_root()) as root:
        yield root


@pytest.fixture
def quiet(box: Shell) -> Iterator[Process]:
    with box.start("exec sleep 1000") as process:
        yield process


def until(seconds: float) -> Iterator[int]:
    """Count for so long, and at least 20 times."""
    end, count = time.monotonic() + seconds, 0
    while count < 20 or time.monotonic() < end:
        yield count
        count += 1


def is_untouched(outside: Path) -> bool:
    """Whether the canary is there, and nothing else beside what was copied to `host`."""
    listed = (sorted(os.listdir(outside)), os.listdir(outside / "deep"))
    return (outside / "deep/file").read_text() == "canary" and listed == (["deep", "host"], ["file"])


def test_reads_and_writes_stay_inside(swapping: Process, outside: Path) -> None:
    seen = set()
    with swapping.fs as fs:
        for count in until(ROUNDS_SECONDS):
            with suppress(OSError):
                seen.add(fs.read_text("/data/way/deep/file"))
            with suppress(OSError):
                fs.write_text(f"/data/way/deep/{count % 3}", "written")
            with suppress(OSError):
                fs.mkdir("/data/way/made", exist_ok=True)
            with suppress(OSError):
                fs.chmod("/data/way/deep", 0o700)

    assert seen <= {"inside\n"}
    assert is_untouched(outside) and outside.joinpath("deep").stat().st_mode & 0o777 != 0o700


def test_removals_stay_inside(swapping: Process, outside: Path) -> None:
    with swapping.fs as fs:
        for _ in until(ROUNDS_SECONDS):
            for remove in (fs.rmtree, fs.unlink):
                with suppress(OSError):
                    remove("/data/way/deep")
            with suppress(OSError):
                fs.rename("/data/way/deep", "/data/taken")

    assert is_untouched(outside)


def test_copies_out_bring_nothing_of_the_host(root: Root, outside: Path) -> None:
    done = 0
    for count in until(ROUNDS_SECONDS):
        target = outside / "host" / str(count)
        with suppress(PyrtError):
            copy_out(root, "/data/way/deep", target)
            done += 1
        assert not target.joinpath("file").exists() or target.joinpath("file").read_text() == "inside\n"

    assert done and is_untouched(outside)


def test_copies_in_change_nothing_of_the_host(root: Root, outside: Path) -> None:
    source = outside / "host"
    (source / "deep").mkdir()
    (source / "deep/file").write_text("pushed")
    done = 0
    for _ in until(ROUNDS_SECONDS):
        with suppress(PyrtError):
            copy_in(root, f"{source}/.", "/data/way")
            done += 1

    assert done and is_untouched(outside)


def test_archives_stay_inside_both_ways(root: Root, outside: Path) -> None:
    raw = b"".join(archive(directory("deep"), file("deep/file", b"pushed"), file("pushed", b"pushed")))
    for _ in until(ROUNDS_SECONDS):
        with suppress(PyrtError):
            put_archive(root, "/data/way", raw)
        with suppress(PyrtError):
            assert b"canary" not in b"".join(get_archive(root, "/data/way/deep/file")[0])

    assert is_untouched(outside)


@pytest.mark.parametrize("script", ["mkfifo /bad", "ln -s /dev/zero /bad", "ln -s /dev/tty /bad", "ln -s bad /bad"])
def test_nothing_waits_and_no_device_is_opened(box: Shell, script: str, scratch: Path) -> None:
    with box.start(f"{script}; echo; exec sleep 1000", stdout=-1) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        for mode in ("rb", "wb", "ab", "r+b"):
            with pytest.raises(OSError, match=r"only files are opened|symbolic links"):
                process.fs.open("/bad", mode)
        with closing(process.open_root()) as root, suppress(PyrtError):
            copy_out(root, "/bad", scratch / "copy", follow_link=True)
        assert not (scratch / "copy").is_file()


def test_a_file_without_end_is_refused(quiet: Process) -> None:
    with quiet.fs.open("/large", "wb") as opened:
        opened.truncate(1 << 42)

    with pytest.raises(OSError, match="larger"):
        quiet.fs.read_bytes("/large", limit_bytes=1 << 20)


def test_a_file_that_grows_is_copied_as_it_was(box: Shell, scratch: Path) -> None:
    script = "echo start > /log; echo; while :; do echo more >> /log; done"
    with box.start(script, stdout=-1) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        with closing(process.open_root()) as root:
            for count in range(20):
                copied = copy_out(root, "/log", scratch / str(count))
                assert (scratch / str(count)).stat().st_size == copied.size_bytes
                chunks, _ = get_archive(root, "/log")
                with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                    assert tar.getnames() == ["log"]


def test_a_tree_that_changes_is_copied_in_part(box: Shell, scratch: Path) -> None:
    script = "mkdir /tree; echo; while :; do mkdir -p /tree/a/b/c; echo x > /tree/a/b/c/x; rm -rf /tree/a; done"
    with box.start(script, stdout=-1) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        with closing(process.open_root()) as root:
            for count in until(1):
                copy_out(root, "/tree", scratch / str(count))
                b"".join(get_archive(root, "/tree")[0])


def test_a_copy_does_not_copy_itself(shell: Shell, outside: Path) -> None:
    with shell.start("exec sleep 1000", volumes={str(outside): {"bind": "/tmp", "mode": "rw"}}) as process:
        process.fs.copy_out("/", outside / "host/all")

    assert (outside / "host/all/tmp/deep/file").read_text() == "canary"
    assert os.listdir(outside / "host/all/tmp/host") == []


def test_many_and_odd_names(box: Shell, scratch: Path) -> None:
    script = 'mkdir /many; cd /many; i=0; while [ $i -lt 3000 ]; do : > $i; i=$((i+1)); done; : > "$(printf "a\\nb")"'
    with box.start(f"{script}; : > $(printf '\\377'); echo; exec sleep 1000", stdout=-1) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        with closing(process.open_root()) as root:
            copy_out(root, "/many", scratch / "many")
            copy_in(root, scratch / "many", "/again")
            with tarfile.open(fileobj=io.BytesIO(b"".join(get_archive(root, "/again")[0]))) as tar:
                names = {name.removeprefix("again/") for name in tar.getnames()}
        assert {"a\nb", "\udcff", "2999"} <= names
        assert set(process.fs.listdir("/again")) == set(os.listdir(scratch / "many"))


@pytest.mark.parametrize("depth", [1, 40])
def test_dots_above_the_root_stay_at_it(quiet: Process, outside: Path, depth: int) -> None:
    above = "/".join([".."] * depth)
    with pytest.raises(FileNotFoundError):
        quiet.fs.read_text(f"/{above}{outside}/deep/file")
    assert quiet.fs.read_text(f"{above}/etc/passwd") == quiet.fs.read_text("/etc/passwd")
    with closing(quiet.open_root()) as root, pytest.raises(NotFound):
        copy_out(root, f"{above}{outside}/deep", outside / "host/x")


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([file("../../../../../../%s/deep/file", b"pushed")], id="dots"),
        pytest.param([file("a/../../x", b"pushed")], id="dots-inside"),
        pytest.param([link("hard", "../../../../../%s/deep/file"), file("hard", b"pushed")], id="hard-link-out"),
    ],
)
def test_names_that_lead_out_are_refused(quiet: Process, outside: Path, entries: list[Any]) -> None:
    for entry, _ in entries:
        entry.name = entry.name.replace("%s", str(outside))
        entry.linkname = entry.linkname.replace("%s", str(outside))
    with closing(quiet.open_root()) as root, pytest.raises(InvalidArgument, match="leads out"):
        put_archive(root, "/tmp", b"".join(archive(*entries)))
    assert is_untouched(outside)


def large_header() -> Iterator[bytes]:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 8 << 30
    yield header.tobuf(tarfile.GNU_FORMAT)
    for _ in range(100):
        yield b"1" * (1 << 20)
    raise AssertionError("a header is read without bound")


def negative_size() -> Iterator[bytes]:
    header = tarfile.TarInfo("back")
    header.size = -512
    yield header.tobuf(tarfile.GNU_FORMAT) + bytes(4096)


def broken_middle() -> Iterator[bytes]:
    yield b"".join(archive(file("first", b"x" * 512)))[:1024]
    raw = b"".join(archive(file("second")))
    yield b"y" + raw[1:]


@pytest.mark.parametrize("stream", [large_header, negative_size, broken_middle])
def test_archives_that_mislead_are_refused(quiet: Process, stream: Callable[[], Iterator[bytes]]) -> None:
    with closing(quiet.open_root()) as root, pytest.raises(InvalidArgument, match="cannot be read"):
        put_archive(root, "/tmp", stream())


def test_links_of_an_archive_lead_on_inside(quiet: Process, outside: Path) -> None:
    raw = archive(
        file(f"{outside}/deep/file", b"absolute"),
        link("up", "../../../../../../../..", tarfile.SYMTYPE),
        link("host", str(outside), tarfile.SYMTYPE),
        link("proc", "/proc/1/root", tarfile.SYMTYPE),
        file(f"up{outside}/deep/file", b"pushed"),
        file("host/deep/other", b"pushed"),
    )
    with closing(quiet.open_root()) as root:
        put_archive(root, "/tmp", b"".join(raw))
        with pytest.raises(PyrtError):
            put_archive(root, "/tmp", b"".join(archive(file("proc/x", b"pushed"))))
        put_archive(root, "/tmp", b"".join(archive(link("hard", "host/deep/file"))))

    assert quiet.fs.read_text("/tmp/hard") == "pushed"
    assert quiet.fs.read_text(f"{outside}/deep/file") == "pushed"
    assert quiet.fs.read_text(f"/tmp{outside}/deep/file") == "absolute"
    assert is_untouched(outside)


def test_links_that_were_copied_out_are_not_followed(quiet: Process, outside: Path) -> None:
    quiet.fs.mkdir("/tree")
    quiet.fs.symlink_to("/tree/deep", str(outside / "deep"))
    quiet.fs.mkdir("/second/deep", parents=True)
    quiet.fs.write_text("/second/deep/file", "pushed")
    with closing(quiet.open_root()) as root:
        copy_out(root, "/tree", outside / "host/tree")
        with pytest.raises(Conflict, match="cannot overwrite non-directory"):
            copy_out(root, "/second/.", outside / "host/tree")

    assert os.readlink(outside / "host/tree/deep") == str(outside / "deep")
    assert is_untouched(outside)


@pytest.mark.needs("root")
def test_devices_do_not_come_to_the_host(root_shell: Shell, scratch: Path) -> None:
    with root_shell.start("mkdir /tree; mknod /tree/zero c 1 5; echo; exec sleep 1000", stdout=-1) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        with closing(process.open_root()) as root:
            assert copy_out(root, "/tree", scratch / "tree").skipped == ("/tree/zero",)
    assert os.listdir(scratch / "tree") == []
