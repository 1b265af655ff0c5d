"""pyrt-init as something that nothing in a container can write to (CVE-2019-5736), and that no container shares.

Gives a sealed memory file, from which it is executed; where the host forbids that, a private copy, which is executed
from a read-only mount of it. Raises Unsupported where only the first was wanted.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress

from pyrt.errors import Unsupported

__all__ = ["PROGRAM", "SEALS", "Program", "open_program", "write_all"]

PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "_native", "pyrt-init")
MFD_EXEC = 0x10  # Linux 6.3
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Program:
    """Owns what spawn executes: `source` is a descriptor, or a path below `directory` where there is none to be had."""

    def __init__(self, directory: str) -> None:
        try:
            self.source: int | str = open_program()
        except Unsupported:
            self.source = copy(directory)

    def close(self) -> None:
        """Close the memory file; a copy stays for the next engine."""
        source, self.source = self.source, -1
        if isinstance(source, int) and source >= 0:
            os.close(source)


def open_program() -> int:
    """Give a descriptor of the program in a sealed memory file. Raises Unsupported where that may not be executed."""
    fd = create()
    try:
        write_all(fd, read_program())
        os.fchmod(fd, 0o555)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def create() -> int:
    """Make an executable memory file; kernels before 6.3 do not know the flag and need none."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("pyrt-init", flags | MFD_EXEC)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return os.memfd_create("pyrt-init", flags)
        if error.errno == errno.EACCES:
            reason = "sysctl vm.memfd_noexec is 2, which forbids it; 1 or 0 allow it"
            raise Unsupported("executing a memory file", reason) from error
        raise


def read_program() -> bytes:
    """Give the bytes of the program that lies in the package."""
    with open(PROGRAM, "rb") as file:
        return file.read()


def copy(directory: str) -> str:
    """Give a private copy, named by its content; one that is there is that of an earlier engine."""
    import hashlib

    content = read_program()
    name = f"pyrt-init-{hashlib.sha256(content).hexdigest()[:16]}"
    target, draft = f"{directory}/{name}", f"{directory}/.{name}.{os.getpid()}"
    if os.path.exists(target):
        return target
    os.makedirs(directory, mode=0o711, exist_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o555)
    try:
        write_all(fd, content)
        os.fchmod(fd, 0o555)
        os.replace(draft, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft)
        raise
    finally:
        os.close(fd)
    return target


def write_all(fd: int, content: bytes) -> None:
    """Write it all, however much one write(2) takes."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
