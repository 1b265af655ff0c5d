"""The files of one container with pathlib's manners, without an archive and without a program in it.

Paths are those of the container, absolute or relative to its root; links in them lead on inside it. Errors are the
builtin ones: FileNotFoundError, NotADirectoryError, PermissionError, …, OSError.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Self

from pyrt.errors import InvalidArgument, SyscallError
from pyrt.files.held import HeldFile, dressed, flags_of
from pyrt.files.paths import ABSENT, ContainerPath, text_of
from pyrt.layer import Root

if TYPE_CHECKING:
    from pyrt.files.copy import Copied

__all__ = ["ContainerFS"]

LIMIT_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20


@dataclass(slots=True)
class _Held:
    """A root, and how many calls and open files need it."""

    root: Root
    users: int = 0


class ContainerFS:
    """Reads and writes the files of a container, running or stopped. Thread-safe.

    `open_root` gives what each call works with, and what a `with` block, or `keep`, has for all of its calls. What is
    new belongs to root of the container unless `chown` says otherwise, and has the mode that is asked for, whatever
    the umask. Only regular files are opened: never a fifo, which could wait for ever, nor a device.
    """

    def __init__(self, open_root: Callable[[], Root], *, keep: bool = False) -> None:
        self._open_root = open_root
        self._keep = keep
        self._held: _Held | None = None
        self._block: list[_Held] = []
        self._lock = threading.RLock()  # a file may be closed by the collector, anywhere

    def open(
        self,
        path: ContainerPath,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *,
        permissions: int = 0o644,
    ) -> IO[Any]:
        """Open a file as the builtin open() does; `permissions` are those of a new one. Text is UTF-8 by default.

        A container that has ended is not started before the file is closed.
        """
        flags = flags_of(mode)
        text = text_of(path)
        held = self._acquire()
        try:
            with _builtin():
                fd = held.root.open(text, flags, permissions)
            try:
                if stat.S_ISDIR(os.fstat(fd).st_mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), text)
                raw = HeldFile(fd, mode.replace("b", "").replace("t", ""), lambda: self._release(held))
            except BaseException:
                os.close(fd)
                raise
        except BaseException:
            self._release(held)
            raise
        return dressed(raw, mode, buffering, encoding, errors, newline)

    def read_bytes(self, path: ContainerPath, *, limit_bytes: int = LIMIT_BYTES) -> bytes:
        """Give all of a file. Raises OSError (EFBIG) for one of more than `limit_bytes`, which `open` can read."""
        pieces, size = [], 0
        with self.open(path, "rb", 0) as file:
            while piece := file.read(min(_CHUNK_BYTES, limit_bytes - size + 1)):
                pieces.append(piece)
                size += len(piece)
                if size > limit_bytes:
                    raise OSError(errno.EFBIG, f"it is larger than {limit_bytes} bytes", str(path))
        return b"".join(pieces)

    def read_text(self, path: ContainerPath, encoding: str | None = None, errors: str | None = None) -> str:
        """Give all of a file as text, UTF-8 by default, with `\\n` at the ends of lines."""
        raw = self.read_bytes(path)
        return io.TextIOWrapper(io.BytesIO(raw), encoding or "utf-8", errors).read()

    def write_bytes(self, path: ContainerPath, data: bytes, *, permissions: int = 0o644) -> int:
        """Write a file, instead of what is in it; give the number of bytes."""
        view = memoryview(data).cast("B")
        with self.open(path, "wb", permissions=permissions) as file:
            file.write(view)
        return len(view)

    def write_text(
        self,
        path: ContainerPath,
        data: str,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *,
        permissions: int = 0o644,
    ) -> int:
        """Write text to a file, instead of what is in it; give the number of characters."""
        if not isinstance(data, str):
            raise TypeError(f"data must be str, not {type(data).__name__}")
        with self.open(path, "w", encoding=encoding, errors=errors, newline=newline, permissions=permissions) as file:
            return int(file.write(data))

    def stat(self, path: ContainerPath, *, follow_symlinks: bool = True) -> os.stat_result:
        """Give the status of what a path leads to."""
        with self._used() as root:
            return root.stat(text_of(path), follow=follow_symlinks)

    def lstat(self, path: ContainerPath) -> os.stat_result:
        """Give the status of what is at a path, a link too."""
        return self.stat(path, follow_symlinks=False)

    def exists(self, path: ContainerPath) -> bool:
        """Say whether a path leads to anything."""
        return self._kind(path) != 0

    def is_file(self, path: ContainerPath) -> bool:
        """Say whether a path leads to a regular file."""
        return self._kind(path) == stat.S_IFREG

    def is_dir(self, path: ContainerPath) -> bool:
        """Say whether a path leads to a directory."""
        return self._kind(path) == stat.S_IFDIR

    def is_symlink(self, path: ContainerPath) -> bool:
        """Say whether a symbolic link is at a path."""
        return self._kind(path, follow_symlinks=False) == stat.S_IFLNK

    def listdir(self, path: ContainerPath = "/") -> list[str]:
        """Give the names in a directory, in no order."""
        with self._used() as root:
            fd = root.open(text_of(path), os.O_RDONLY | os.O_DIRECTORY)
            try:
                return os.listdir(fd)
            finally:
                os.close(fd)

    def iterdir(self, path: ContainerPath = "/") -> Iterator[PurePosixPath]:
        """Give the paths of what is in a directory, in no order."""
        above = PurePosixPath(text_of(path))
        return (above / name for name in self.listdir(path))

    def walk(
        self,
        top: ContainerPath = "/",
        top_down: bool = True,
        on_error: Callable[[OSError], object] | None = None,
        follow_symlinks: bool = False,
    ) -> Iterator[tuple[PurePosixPath, list[str], list[str]]]:
        """Give (directory, names of directories in it, other names) for each below `top`, as Path.walk().

        Names may be taken from the first list when `top_down`. A directory that cannot be listed is told to `on_error`.
        """
        paths: list[PurePosixPath | tuple[PurePosixPath, list[str], list[str]]] = [PurePosixPath(text_of(top))]
        while paths:
            path = paths.pop()
            if isinstance(path, tuple):
                yield path
                continue
            try:
                directories, others = self._sorted(path, follow_symlinks)
            except OSError as e:
                if on_error is not None:
                    on_error(e)
                continue
            if top_down:
                yield path, directories, others
            else:
                paths.append((path, directories, others))
            paths += [path / name for name in reversed(directories)]

    def glob(self, pattern: str, *, top: ContainerPath = "/") -> Iterator[PurePosixPath]:
        """Give the paths below `top` that match a pattern as Path.glob() has it: `*`, `?`, `[…]`, and `**` for any."""
        parts = PurePosixPath(text_of(pattern, "pattern")).parts
        if parts and parts[0] == "/":
            raise InvalidArgument(f"{pattern!r} is absolute: give `top` instead", argument="pattern")
        for path, directories, others in self.walk(top):
            for name in sorted(directories + others):
                found = path / name
                if _matches(found.relative_to(PurePosixPath(text_of(top))).parts, parts):
                    yield found

    def mkdir(self, path: ContainerPath, mode: int = 0o755, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a directory, with `parents` (mode 0755) those above it too; `exist_ok` lets one that is there be."""
        text = text_of(path)
        with self._used() as root:
            try:
                root.mkdir(text, mode)
                return
            except SyscallError as e:
                if e.errno == errno.EEXIST and exist_ok and self._is_directory(root, text):
                    return
                if e.errno != errno.ENOENT or not parents:
                    raise
            above = text.rstrip("/").rpartition("/")[0]
        self.mkdir(above or "/", parents=True, exist_ok=True)
        self.mkdir(path, mode, exist_ok=exist_ok)

    def unlink(self, path: ContainerPath, missing_ok: bool = False) -> None:
        """Remove what is no directory; `missing_ok` lets there be nothing."""
        with self._used() as root:
            try:
                root.unlink(text_of(path))
            except SyscallError as e:
                if e.errno != errno.ENOENT or not missing_ok:
                    raise

    remove = unlink

    def rmdir(self, path: ContainerPath) -> None:
        """Remove an empty directory."""
        with self._used() as root:
            root.rmdir(text_of(path))

    def rmtree(self, path: ContainerPath) -> None:
        """Remove a directory with all that is in it; no link is followed, and no mount is entered."""
        with self._used() as root:
            root.rmtree(text_of(path))

    def rename(self, path: ContainerPath, target: ContainerPath) -> PurePosixPath:
        """Give another name, `target`, whose former file is lost; give that path.

        Raises OSError (EXDEV) for a directory of the image, which an overlay does not rename.
        """
        with self._used() as root:
            root.rename(text_of(path), text_of(target, "target"))
        return PurePosixPath(target)

    def readlink(self, path: ContainerPath) -> PurePosixPath:
        """Give what a symbolic link says."""
        with self._used() as root:
            return PurePosixPath(root.readlink(text_of(path)))

    def symlink_to(self, path: ContainerPath, target: ContainerPath) -> None:
        """Make a symbolic link at `path` that says `target`."""
        with self._used() as root:
            root.symlink(text_of(target, "target"), text_of(path))

    def chmod(self, path: ContainerPath, mode: int) -> None:
        """Change the mode of what a path leads to."""
        with self._used() as root:
            root.chmod(text_of(path), mode)

    def chown(self, path: ContainerPath, uid: int = -1, gid: int = -1, *, follow_symlinks: bool = True) -> None:
        """Change the owner, by ids of the container; -1 leaves one as it is."""
        with self._used() as root:
            root.chown(text_of(path), uid, gid, follow=follow_symlinks)

    def copy_in(
        self, source: str | os.PathLike[str], path: ContainerPath, *, archive: bool = False, follow_link: bool = False
    ) -> Copied:
        """Copy `source`, of the host, to `path`, by the rules of `docker cp` (see pyrt.files.copy_in)."""
        from pyrt.files.copy import copy_in

        with self._lent() as root:
            return copy_in(root, source, path, archive=archive, follow_link=follow_link)

    def copy_out(
        self, path: ContainerPath, target: str | os.PathLike[str], *, archive: bool = False, follow_link: bool = False
    ) -> Copied:
        """Copy `path` to `target`, of the host, by the rules of `docker cp` (see pyrt.files.copy_out)."""
        from pyrt.files.copy import copy_out

        with self._lent() as root:
            return copy_out(root, path, target, archive=archive, follow_link=follow_link)

    def close(self) -> None:
        """Let go of what `keep` holds, and keep nothing from now on; files that are open stay so."""
        with self._lock:
            held, self._keep = self._held, False
            if held is None:
                return
            self._held = None
            held.users += 1
        self._release(held)

    def _kind(self, path: ContainerPath, *, follow_symlinks: bool = True) -> int:
        try:
            return stat.S_IFMT(self.stat(path, follow_symlinks=follow_symlinks).st_mode)
        except OSError as e:
            if e.errno in ABSENT or e.errno == errno.ELOOP:
                return 0
            raise

    def _is_directory(self, root: Root, path: str) -> bool:
        return stat.S_ISDIR(root.stat(path).st_mode)

    def _sorted(self, path: PurePosixPath, follow: bool) -> tuple[list[str], list[str]]:
        directories: list[str] = []
        others: list[str] = []
        with self._used() as root:
            fd = root.open(str(path), os.O_RDONLY | os.O_DIRECTORY)
            try:
                with os.scandir(fd) as entries:
                    found = [(entry.name, entry.is_symlink(), _is_directory(entry)) for entry in entries]
            finally:
                os.close(fd)
        for name, is_link, is_directory in found:
            is_directory = self.is_dir(path / name) if follow and is_link else is_directory
            (directories if is_directory else others).append(name)
        return directories, others

    @contextmanager
    def _lent(self) -> Iterator[Root]:
        held = self._acquire()
        try:
            yield held.root
        finally:
            self._release(held)

    @contextmanager
    def _used(self) -> Iterator[Root]:
        with self._lent() as root, _builtin():
            yield root

    def _acquire(self) -> _Held:
        with self._lock:
            if self._held is None:
                self._held = _Held(self._open_root())
            self._held.users += 1
            return self._held

    def _release(self, held: _Held) -> None:
        with self._lock:
            held.users -= 1
            if held.users or (held is self._held and self._keep):
                return
            if held is self._held:
                self._held = None
        held.root.close()

    def __enter__(self) -> Self:
        self._block.append(self._acquire())
        return self

    def __exit__(self, *exception: object) -> None:
        self._release(self._block.pop())


@contextmanager
def _builtin() -> Iterator[None]:
    """Turn a failed call into the builtin error of its errno."""
    try:
        yield
    except SyscallError as e:
        why = f"{e.strerror} ({e.detail})" if e.detail and e.detail != "below the root" else e.strerror
        raise OSError(e.errno, why, e.filename) from e


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _matches(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_matches(names[at:], pattern[1:]) for at in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])
