"""Private copies of directories, for where the kernel refuses an overlay.

Takes a chain of directories, gives the bind Mount of one full copy: slower to make than an overlay, and equal in what
it shows. Data are shared with the sources where the file system can (reflinks).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from pyrt._native.path import open_in_root
from pyrt.errors import NameInUse, SyscallError
from pyrt.layer import remove_child, remove_tree
from pyrt.oci.spec import Mount
from pyrt.snapshot.filecopy import clear_xattrs, copy_data, copy_xattrs
from pyrt.snapshot.key import check_key, check_lowers
from pyrt.snapshot.merged import is_opaque, is_whiteout, visible

__all__ = ["Copying", "copy_tree"]

MAX_DEPTH = 256  # two descriptors and some stack for each
_RESOLVE_NO_XDEV = 1  # openat2(2)
_RESOLVE_NO_SYMLINKS = 4
_ROOT = "root"
_PARTIAL = ".partial"


def copy_tree(lowers: Sequence[str], target: str, destination: str = "", *, plain: bool = False) -> Mount:
    """Copy what `lowers` (the topmost first) show to the new directory `target`; give its bind mount at `destination`.

    Everything comes over as far as the privileges allow: without them, other users' files become the caller's and lose
    set-id bits, and device nodes are left out. Symbolic links are copied, not followed. What is an overlay's own, as
    whiteouts are, is acted upon and stays behind; `plain` copies it as it is, for one directory that is no layer.
    `target` comes to be by a rename of the finished copy. Raises NameInUse where it exists, and SyscallError.
    """
    check_lowers(lowers)
    if os.path.lexists(target):
        raise NameInUse(f"{target} exists already")
    partial = target + _PARTIAL
    try:
        os.mkdir(partial, 0o700)
    except OSError as e:
        raise _named(e, partial) from e
    source = lowers[0]
    try:
        for depth, source in enumerate(reversed(visible(lowers))):  # what is above replaces what is there
            _copy_into(partial, source, is_first=depth == 0, plain=plain)
        os.rename(partial, target)
    except OSError as e:
        remove_tree(partial)
        if e.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise NameInUse(f"{target} exists already") from e
        raise _named(e, source) from e
    except BaseException:
        remove_tree(partial)
        raise
    return Mount(destination, "bind", target, ("bind",))


class Copying:
    """The snapshotter that copies: views are directories below `directory`, one for each key and destination."""

    name = "copying"

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def prepare(self, key: str, lowers: Sequence[str], destination: str = "") -> Mount:
        """Copy `lowers` (see Snapshotter)."""
        check_key(key)
        check_lowers(lowers)
        views = os.path.join(self._directory, key)
        target = os.path.join(views, destination.replace("%", "%25").replace("/", "%2f") or _ROOT)
        try:
            os.makedirs(views, 0o700, exist_ok=True)
        except OSError as e:
            raise _named(e, views) from e
        try:
            return copy_tree(lowers, target, destination)
        except BaseException:
            with suppress(OSError):  # other views of this key keep the directory
                os.rmdir(views)
            raise

    def remove(self, key: str) -> None:
        """Remove the copies of `key` (see Snapshotter)."""
        check_key(key)
        remove_tree(os.path.join(self._directory, key))


def _copy_into(target: str, source: str, *, is_first: bool, plain: bool) -> None:
    if not is_first:
        os.chmod(target, 0o700)
    with _opened(os.open(source, os.O_RDONLY | os.O_DIRECTORY)) as top, _opened(_directory(target)) as copy:
        clear_xattrs(copy)
        _Copier(top, copy, is_first=is_first, plain=plain).run()


class _Copier:
    """The copy of one lower onto those below it: a stack of open directories, so that no path leads outside."""

    def __init__(self, source: int, target: int, *, is_first: bool, plain: bool) -> None:
        self._source = source
        self._target = target
        self._is_first = is_first
        self._plain = plain
        self._links: dict[tuple[int, int], str] = {}  # inodes with several names → first name below the target
        self._is_root = os.geteuid() == 0

    def run(self) -> None:
        self._directory(self._source, self._target, "")

    def _directory(self, source: int, target: int, path: str) -> None:
        if path.count("/") > MAX_DEPTH:
            raise OSError(errno.ENAMETOOLONG, f"directories are nested more than {MAX_DEPTH} deep", path)
        for name in os.listdir(source):
            self._entry(source, target, name, f"{path}/{name}" if path else name)
        status = os.fstat(source)
        self._give(status, target, source)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _entry(self, source: int, target: int, name: str, path: str) -> None:
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        first = (status.st_dev, status.st_ino)
        if kind == stat.S_IFDIR:
            with _inside(source, name, os.O_DIRECTORY) as inner, _opened(self._merge(name, target, inner)) as copy:
                if inner is None:  # another file system is mounted here: what it covers cannot be seen
                    self._give(status, copy, None)
                else:
                    self._directory(inner, copy, path)
            return
        if not self._is_first:
            _discard(name, target)
        if is_whiteout(status) and not self._plain:
            return
        if status.st_nlink > 1 and first in self._links:
            os.link(self._links[first], name, src_dir_fd=self._target, dst_dir_fd=target, follow_symlinks=False)
            return
        if kind == stat.S_IFREG:
            self._file(source, target, name, status)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            self._own(status, name, target)
        elif self._special(target, name, status):
            self._own(status, name, target)
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
        else:
            return
        if kind != stat.S_IFREG:
            copy_xattrs(f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{target}/{name}", plain=self._plain)
            os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        if status.st_nlink > 1:
            self._links[first] = path

    def _merge(self, name: str, target: int, source: int | None) -> int:
        """Open the directory `name` in `target` for the entries of `source`: a new one, or what is there by lowers."""
        kind = 0 if self._is_first else _kind(name, target)
        if kind and (kind != stat.S_IFDIR or (source is not None and is_opaque(source))):
            _discard(name, target)
            kind = 0
        if not kind:
            os.mkdir(name, 0o700, dir_fd=target)
            return _directory(name, target)
        os.chmod(name, 0o700, dir_fd=target)
        fd = _directory(name, target)
        try:
            clear_xattrs(fd)  # those above count alone, and a default ACL would go over to new entries
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _file(self, source: int, target: int, name: str, status: os.stat_result) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with _inside(source, name, os.O_NONBLOCK) as data, _opened(os.open(name, flags, 0o600, dir_fd=target)) as copy:
            if data is not None and stat.S_ISREG(os.fstat(data).st_mode):
                status = os.fstat(data)
                copy_data(data, copy)
            self._give(status, copy, data)
            os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _special(self, target: int, name: str, status: os.stat_result) -> bool:
        try:
            os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=target)
        except PermissionError:
            if self._is_root or not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
                raise
            return False
        return True

    def _give(self, status: os.stat_result, fd: int, source: int | None) -> None:
        """Set owner, attributes, mode: a new owner clears capabilities and set-id bits, a mode forbids attributes."""
        mode = stat.S_IMODE(status.st_mode)
        try:
            os.chown(fd, status.st_uid, status.st_gid)
        except PermissionError:
            if self._is_root:
                raise
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
        if source is not None:
            copy_xattrs(source, fd, plain=self._plain)
        os.chmod(fd, mode)

    def _own(self, status: os.stat_result, name: str, target: int) -> None:
        try:
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        except PermissionError:
            if self._is_root:
                raise


@contextmanager
def _opened(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _inside(directory: int, name: str, flags: int) -> Iterator[int | None]:
    """Open an entry of a directory for reading; None where it is a mount point."""
    resolve = _RESOLVE_NO_XDEV | _RESOLVE_NO_SYMLINKS
    try:
        fd = open_in_root(directory, name, os.O_RDONLY | os.O_NOFOLLOW | flags, resolve=resolve)
    except SyscallError as e:
        if e.errno != errno.EXDEV:
            raise
        yield None
        return
    with _opened(fd):
        yield fd


def _kind(name: str, directory: int) -> int:
    """Give the S_IFMT of an entry; 0 where there is none."""
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return 0


def _discard(name: str, target: int) -> None:
    """Remove what a lower has at a place that now belongs to the one above it."""
    try:
        os.unlink(name, dir_fd=target)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        with _opened(_directory(".", target)) as top:
            remove_child(top, name)


def _directory(path: str, at: int | None = None) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)


def _named(failure: OSError, path: str) -> SyscallError:
    if isinstance(failure, SyscallError):
        return failure
    return SyscallError(failure.errno or errno.EIO, "copy", path, detail=str(failure.filename or ""))
