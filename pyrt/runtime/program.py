"""pyrt-init as a sealed memory file, from which alone it is ever executed.

Nothing in a container can write to it (CVE-2019-5736), and no container shares a file of the package with the host.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from pyrt.errors import Unsupported

__all__ = ["open_program"]

PROGRAM = Path(__file__).resolve().parent.parent / "_native" / "pyrt-init"
MFD_EXEC = 0x10  # Linux 6.3
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def open_program() -> int:
    """Give a descriptor of the sealed program. Raises Unsupported where memory files may not be executed."""
    fd = create()
    try:
        view = memoryview(PROGRAM.read_bytes())
        while view:
            view = view[os.write(fd, view) :]
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
            raise Unsupported(
                "pyrt-init in a memory file", "sysctl vm.memfd_noexec is 2, which forbids it; 1 or 0 allow it"
            ) from error
        raise
