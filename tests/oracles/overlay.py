"""The kernel's own overlay, asked by a helper process in a mount namespace of its own (not root: in a user namespace).

The helper reads lines of JSON: the layers and operations. It mounts them, does the operations in a chroot, and answers
with the errno of each (0: done) and with what the overlay then shows. All texts are latin-1.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

__all__ = ["OLD_NS", "Overlay", "tree"]

OLD_NS = 1_000_000_000_000_000_000
"""Times before this plus a second are what somebody has set; any other is shown as "now"."""

Operation = Sequence[str | int]


class Overlay:
    """The asking side."""

    def __init__(self, *, userxattr: bool) -> None:
        self._userxattr = userxattr

    def __enter__(self) -> Self:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", *user, "--mount", sys.executable, "-I", __file__]
        self._helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._helper.stdout is not None
        self._helper.stdout.readline()  # from now on it is what it will be called
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._helper.communicate()

    def ask(
        self, directory: str, lowers: Sequence[str], upper: str, operations: Sequence[Operation], *, look: bool = True
    ) -> tuple[list[int], dict[str, list[Any]]]:
        """Mount directories of `directory`, do the operations; give an errno for each, and the tree that is seen."""
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        question = [directory, lowers, upper, self._userxattr, operations, look]
        print(json.dumps(question), file=self._helper.stdin, flush=True)
        errors, seen = json.loads(self._helper.stdout.readline())
        return errors, seen


def tree(top: bytes, *, upper: bool = False) -> dict[str, list[Any]]:
    """Describe a tree: path → type and mode, owner, device, size, time, link target, data, attributes.

    An overlay's own attributes are left out, and, for an `upper`, the top directory.
    """
    seen = {} if upper else {"": _describe(top)}
    pending = [b""]
    while pending:
        directory = pending.pop()
        for entry in os.scandir(os.path.join(top, directory)):
            path = os.path.join(directory, entry.name)
            if not os.path.lexists(entry.path):  # a whiteout, where the overlay has one layer only and looks not twice
                continue
            seen[path.decode("latin-1")] = _describe(entry.path)
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
    return seen


def _describe(path: bytes) -> list[Any]:
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    if kind == stat.S_IFCHR and st.st_rdev == 0:
        return ["whiteout"]
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False).hex()
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith(("trusted.overlay.", "user.overlay."))
    }
    content = os.readlink(path) if kind == stat.S_IFLNK else b""
    if kind == stat.S_IFREG:
        with open(path, "rb") as data:
            content = hashlib.sha256(data.read()).digest()
    time: int | str = st.st_mtime_ns if st.st_mtime_ns < OLD_NS + 1_000_000_000 else "now"
    size = 0 if kind == stat.S_IFDIR else st.st_size
    return [oct(st.st_mode), st.st_uid, st.st_gid, st.st_rdev, size, time, content.hex(), attributes]


def _regular(path: bytes) -> None:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.EINVAL, "no regular file")


def _touch(path: bytes) -> None:
    st = os.lstat(path)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=False)


def _append(path: bytes, text: str) -> None:
    _regular(path)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    os.write(fd, text.encode())
    os.utime(fd, ns=(OLD_NS, OLD_NS + len(text)))
    os.close(fd)


def _chmod(path: bytes, mode: int) -> None:
    _regular(path)
    os.chmod(path, mode)


def _mkdir(path: bytes, mode: int) -> None:
    os.mkdir(path)
    os.chmod(path, mode)


def _remove(path: bytes) -> None:
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    for name in os.listdir(path):
        if os.path.lexists(os.path.join(path, name)):
            _remove(os.path.join(path, name))
    os.rmdir(path)


def _rename(path: bytes, target: str) -> None:
    other = target.encode("latin-1")
    if stat.S_ISDIR(os.lstat(path).st_mode) or (os.path.lexists(other) and stat.S_ISDIR(os.lstat(other).st_mode)):
        raise OSError(errno.EISDIR, "a directory")
    os.rename(path, other)


OPERATIONS: dict[str, Callable[..., None]] = {
    "touch": _touch,
    "append": _append,
    "chmod": _chmod,
    "mkdir": _mkdir,
    "remove": _remove,
    "rename": _rename,
}


def _do(operations: Sequence[Operation]) -> list[int]:
    errors = []
    for name, path, *arguments in operations:
        try:
            OPERATIONS[str(name)](str(path).encode("latin-1"), *arguments)
            errors.append(0)
        except OSError as e:
            errors.append(e.errno or -1)
    return errors


def _answer(
    real_root: int,
    directory: str,
    lowers: list[str],
    upper: str,
    userxattr: bool,
    operations: list[Operation],
    look: bool,
) -> tuple[list[int], dict[str, list[Any]]]:
    os.chdir(directory)
    for name in ("overlay-work", "overlay-view"):
        os.makedirs(name, exist_ok=True)
    options = f"lowerdir={':'.join(lowers)},upperdir={upper},workdir=overlay-work,index=off,metacopy=off"
    options += ",userxattr" if userxattr else ",redirect_dir=nofollow"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"overlay", b"overlay-view", b"overlay", 0, os.fsencode(options)):
        raise OSError(ctypes.get_errno(), f"mount overlay {options}")
    os.chdir("overlay-view")
    os.chroot(".")
    try:
        return _do(operations), tree(b"/") if look else {}
    finally:
        os.fchdir(real_root)
        os.chroot(".")
        os.chdir(directory)
        if libc.umount2(b"overlay-view", 0):
            raise OSError(ctypes.get_errno(), "umount")
        shutil.rmtree("overlay-work")


def main() -> None:
    """Answer until the questions end."""
    os.umask(0)
    print("ready", flush=True)
    real_root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    for line in sys.stdin:
        print(json.dumps(_answer(real_root, *json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
