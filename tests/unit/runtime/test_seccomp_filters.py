"""A filter is compiled once, and a cache on disk is never believed more than it deserves."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pyrt.errors import InvalidSpec
from pyrt.runtime.capabilities import DEFAULT
from pyrt.runtime.seccomp import Filters, Program
from pyrt.runtime.seccomp import filters as filters_module
from pyrt.runtime.seccomp.syscalls import FAMILIES, numbers

PROFILE = b'{"defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": []}'


def filters(directory: Path | None) -> Filters:
    return Filters(directory, machine="x86_64", kernel=(6, 1))


def only_file(directory: Path) -> Path:
    (file,) = directory.iterdir()
    return file


def forbid_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Program:
        raise AssertionError("compiled again")

    monkeypatch.setattr(Filters, "_compile", refuse)


def test_memory_gives_the_same_program(monkeypatch: pytest.MonkeyPatch) -> None:
    store = filters(None)
    first = store.program(None, DEFAULT)
    other = store.program(None, frozenset())
    forbid_compiling(monkeypatch)

    assert store.program(None, DEFAULT) is first
    assert other != first


def test_memory_is_bounded() -> None:
    store = filters(None)

    for number in range(200):
        store.program(PROFILE + b" " * number)

    assert len(store._programs) <= 64


def test_disk_spares_the_next_process_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "cache" / "seccomp"
    first = filters(directory).program(PROFILE, DEFAULT)
    forbid_compiling(monkeypatch)

    assert filters(directory).program(PROFILE, DEFAULT) == first
    assert first is not None
    assert first.flags == 2
    assert only_file(directory).stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_all_that_matters_is_in_the_name(tmp_path: Path) -> None:
    filters(tmp_path).program(None, DEFAULT)
    filters(tmp_path).program(PROFILE, DEFAULT)
    filters(tmp_path).program(None, frozenset())
    Filters(tmp_path, machine="x86_64", kernel=(6, 2)).program(None, DEFAULT)
    Filters(tmp_path, machine="aarch64", kernel=(6, 1)).program(None, DEFAULT)

    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "longer", "other", "writable", "symlink", "fifo"])
def test_damaged_or_foreign_file_is_replaced(tmp_path: Path, damage: str) -> None:
    directory = tmp_path / "cache"
    good = filters(directory).program(None, DEFAULT)
    file = only_file(directory)
    content = file.read_bytes()
    match damage:
        case "empty":
            file.write_bytes(b"")
        case "short":
            file.write_bytes(content[:-8])
        case "flipped":
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "longer":
            file.write_bytes(content + content)
        case "other":
            filters(directory).program(None, frozenset())
            (another,) = set(directory.iterdir()) - {file}
            another.rename(file)
        case "writable":
            file.write_bytes(content[:-1])
            file.chmod(0o622)
        case "symlink":
            (tmp_path / "target").write_bytes(content)
            file.unlink()
            file.symlink_to(tmp_path / "target")
        case "fifo":
            file.unlink()
            os.mkfifo(file)

    assert filters(directory).program(None, DEFAULT) == good

    assert only_file(directory).read_bytes() == content
    assert not file.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600


def test_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    assert filters(tmp_path / "file" / "cache").program(None, DEFAULT) is not None
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_wrong_profile_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec):
        filters(tmp_path).program(b"{}")

    assert list(tmp_path.iterdir()) == []


def test_threads_get_equal_programs(tmp_path: Path) -> None:
    store = filters(tmp_path)
    found: list[Program | None] = []
    threads = [threading.Thread(target=lambda: found.append(store.program(None, DEFAULT))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_generation_belongs_to_the_output() -> None:
    """A change of the output that keeps the generation would leave old programs in use: raise it, and put both here."""
    program = filters(None).program(None, DEFAULT)

    assert program is not None
    assert (filters_module._GENERATION, hashlib.sha256(program.code).hexdigest()[:16]) == (2, "764f11a8a1bcfe21")


UNDER_THE_FILTER = """
import ctypes, errno, json, os, sys, threading
code, number = bytes.fromhex(sys.argv[1]), json.loads(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
program = Program(len(code) // 8, code)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program)) == 0
def call(name, *args):
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number.get(name, 5000)), *(ctypes.c_ulong(arg) for arg in args))
    return errno.errorcode.get(ctypes.get_errno(), "none")
thread = threading.Thread(target=lambda: print("thread"))
thread.start()
thread.join()
if os.fork() == 0:
    os._exit(3)
print("child", os.waitstatus_to_exitcode(os.wait()[1]))
with open("/proc/self/status") as file:
    print("allowed", *(line.split()[1] for line in file if line.startswith("Seccomp:")))
print("mount", call("mount"), "unshare", call("unshare", 0), "clone3", call("clone3"), "AF_VSOCK", call("socket", 40))
print("next", call("listns"), call("of the future"))
"""


@pytest.mark.needs("seccomp")
def test_kernel_takes_and_obeys_the_default_program() -> None:
    program = Filters().program(None, DEFAULT - {"CAP_SYS_CHROOT"})
    assert program is not None

    table = json.dumps(numbers(FAMILIES[os.uname().machine][0]))
    command = [sys.executable, "-c", UNDER_THE_FILTER, program.code.hex(), table]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "thread",
        "child 3",
        "allowed 2",
        "mount EPERM unshare EPERM clone3 ENOSYS AF_VSOCK EPERM",
        "next ENOSYS ENOSYS",
    ]
