"""Opens paths as a chrooted process does: a helper process changes its root for every question, and back.

Reads lines of JSON, [directory, path, flags], and answers each with [device, inode] or an errno. Paths are latin-1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import TracebackType
from typing import Self

__all__ = ["Chroot"]


class Chroot:
    """The asking side. Needs root."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-I", __file__]
        self._helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._helper.communicate()

    def open(self, directory: bytes, path: bytes, flags: int) -> tuple[int, int] | int:
        """Give device and inode of what `path` leads to with `directory` as the root, or the errno."""
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        print(json.dumps([directory.decode("latin-1"), path.decode("latin-1"), flags]), file=self._helper.stdin)
        self._helper.stdin.flush()
        answer = json.loads(self._helper.stdout.readline())
        return answer if isinstance(answer, int) else (answer[0], answer[1])


def answer(real_root: int, directory: bytes, path: bytes, flags: int) -> list[int] | int:
    """Open one path in a chroot, and leave that again."""
    os.chdir(directory)
    os.chroot(".")
    try:
        fd = os.open(path, flags)
        st = os.fstat(fd)
        os.close(fd)
        return [st.st_dev, st.st_ino]
    except OSError as error:
        return error.errno or 0
    finally:
        os.fchdir(real_root)
        os.chroot(".")


def main() -> None:
    """Answer until the questions end."""
    real_root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    for line in sys.stdin:
        directory, path, flags = json.loads(line)
        print(json.dumps(answer(real_root, directory.encode("latin-1"), path.encode("latin-1"), flags)), flush=True)


if __name__ == "__main__":
    main()
