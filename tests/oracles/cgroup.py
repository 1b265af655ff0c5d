"""Slow and obvious twins: of csrc/prt_cgroup.c, and of the kernel that runs a device program."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress

from pyrt.errors import SyscallError
from pyrt.oci.spec import DeviceRule

__all__ = ["create", "expected_verdict", "remove", "run_device_program"]

BITS = {"m": 1, "r": 2, "w": 4}
TYPES = {"b": 1, "c": 2}


def create(ops: bytes, name: bytes) -> tuple[list[int], list[bytes]]:
    """Execute an order of prt_cgroup.h with os.*; what fails is undone."""
    texts = ops.split(b"\0")[:-1]
    made: list[bytes] = []
    fds: list[int] = []
    read: list[bytes] = []
    step = 0
    directory = b""
    try:
        while texts:
            op = texts.pop(0)
            step += 1
            if op == b"d":
                directory = texts.pop(0) + b"/" + name
                os.mkdir(directory)
                made.append(directory)
            elif op == b"c":
                directory = texts.pop(0)
            elif op == b"o":
                file = texts.pop(0)
                flags = os.O_RDONLY | os.O_DIRECTORY if file == b"." else os.O_WRONLY
                fds.append(os.open(directory + b"/" + file, flags | os.O_CLOEXEC))
            else:
                _write(directory + b"/" + texts.pop(0), texts.pop(0), read if op == b"r" else None)
    except OSError as e:
        for fd in fds:
            os.close(fd)
        for path in made:
            os.rmdir(path)
        raise SyscallError(e.errno or 0, "twin", os.fsdecode(e.filename or b""), step) from e
    return fds, read


def remove(parents: bytes, name: bytes) -> None:
    """Remove the directories; one that is gone counts as removed."""
    for parent in parents.split(b"\0")[:-1]:
        with suppress(FileNotFoundError):
            os.rmdir(parent + b"/" + name)


def expected_verdict(rules: Sequence[DeviceRule], type: str, major: int, minor: int, access: str) -> bool:
    """Say whether a list allows an access: for each letter the last rule that speaks of it decides."""
    return all(_last_word(rules, type, major, minor, letter) for letter in access)


def run_device_program(code: bytes, type: str, major: int, minor: int, access: str) -> bool:
    """Run a program as the kernel would: eleven registers, jumps forward only, r0 is the verdict.

    Every instruction must be reachable, as the verifier wants it: AssertionError where one is not known.
    """
    word = sum(BITS[letter] for letter in access) << 16 | TYPES[type]
    context = struct.pack("=III", word, major, minor)
    registers = [0] * 11
    at = 0
    while True:
        operation, which, offset, value = struct.unpack_from("=BBhi", code, at * 8)
        to, source = which & 15, which >> 4
        at += 1
        match operation:
            case 0x61:
                assert source == 1
                registers[to] = struct.unpack_from("=I", context, offset)[0]
            case 0xBF:
                registers[to] = registers[source]
            case 0xB7:
                registers[to] = value
            case 0x57:
                registers[to] &= value
            case 0x77:
                registers[to] >>= value
            case 0x15 | 0x55:
                assert offset >= 0
                at += offset if (registers[to] == value) == (operation == 0x15) else 0
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(f"unknown instruction {operation:#x}")


def _write(path: bytes, value: bytes, read: list[bytes] | None) -> None:
    fd = os.open(path, (os.O_WRONLY if read is None else os.O_RDWR) | os.O_CLOEXEC)
    try:
        os.write(fd, value)
        if read is not None:
            read.append(os.pread(fd, 8192, 0))
    finally:
        os.close(fd)


def _last_word(rules: Sequence[DeviceRule], type: str, major: int, minor: int, letter: str) -> bool:
    for rule in reversed(rules):
        hits_type = rule.type in ("a", type)
        hits_number = rule.major in (None, major) and rule.minor in (None, minor)
        if hits_type and hits_number and letter in rule.access:
            return rule.allow
    return True
