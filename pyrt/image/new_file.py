"""Files that get their name when they are whole."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress

from pyrt.image.blob import as_system_call

__all__ = ["NewFile"]

_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)  # open(2), of file systems without it


class NewFile:
    """A file to write to (`fd`) that gets `name` in a directory by `commit`, and is gone if it is closed before.

    It has no name meanwhile, so that even a kill leaves nothing; where the file system has no unnamed files, a hidden
    one. `directory` is a descriptor that stays the caller's and open; `shown` is the path for messages.
    """

    def __init__(self, directory: int, name: str, shown: str) -> None:
        self.path = shown
        self._directory = directory
        self._name = name
        self._hidden = ""
        with as_system_call("open", shown):
            try:
                self.fd = os.open(".", os.O_RDWR | os.O_TMPFILE, 0o644, dir_fd=directory)
            except OSError as e:
                if e.errno not in _NO_TMPFILE:
                    raise
                self._hidden = _hidden_name()
                self.fd = os.open(self._hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=directory)

    def commit(self) -> None:
        """Give it its name, in the place of what has it. Raises SyscallError."""
        with as_system_call("link", self.path):
            if not self._hidden and not self._link(self._name):
                self._hidden = _hidden_name()
                self._link(self._hidden)
            if self._hidden:
                os.rename(self._hidden, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
                self._hidden = ""

    def close(self) -> None:
        """Close it, and let go of what has no name. A second call does nothing."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        os.close(fd)
        if self._hidden:
            with suppress(FileNotFoundError):
                os.unlink(self._hidden, dir_fd=self._directory)

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _link(self, name: str) -> bool:
        try:
            os.link(f"/proc/self/fd/{self.fd}", name, dst_dir_fd=self._directory, follow_symlinks=True)
        except FileExistsError:
            return False
        return True


def _hidden_name() -> str:
    return f".{secrets.token_hex(8)}.new"
