"""The content of one file, copied between two descriptors in the cheapest way that the file systems have."""

from __future__ import annotations

import errno
import fcntl
import os

__all__ = ["clear_xattrs", "copy_data", "copy_xattrs"]

_FICLONE = 0x40049409  # ioctl_ficlone(2): _IOW(0x94, 9, int)
_CHUNK = 1 << 30  # copy_file_range(2) takes no more than 2 GiB; a smaller step lets Ctrl-C in
_BUFFER = 1 << 20
_NO_CLONE = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM})
_NO_RANGE = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF})
_NO_XATTR = frozenset({errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENODATA, errno.EINVAL})


def copy_data(source: int, target: int) -> None:
    """Make the empty file `target` equal to the regular file `source`: shared blocks, else data without the holes."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError as e:
        if e.errno not in _NO_CLONE:
            raise
    size = os.fstat(source).st_size
    at = 0
    while at < size and (start := _seek(source, at, os.SEEK_DATA)) is not None:
        end = _seek(source, start, os.SEEK_HOLE)
        at = min(size, size if end is None else end)
        _copy_range(source, target, start, at)
    os.ftruncate(target, size)


def copy_xattrs(source: int | str, target: int | str, *, plain: bool = False) -> None:
    """Copy the extended attributes that may be read here and written there; an overlay's own stay behind.

    `plain` copies these too. Both are descriptors, or both paths, at whose end no link is followed.
    """
    is_followed = isinstance(source, int)
    try:
        names = os.listxattr(source, follow_symlinks=is_followed)
    except OSError as e:
        if e.errno not in _NO_XATTR:
            raise
        return
    for name in names:
        if name.startswith(("trusted.overlay.", "user.overlay.")) and not plain:
            continue
        try:
            value = os.getxattr(source, name, follow_symlinks=is_followed)
            os.setxattr(target, name, value, follow_symlinks=is_followed)
        except OSError as e:
            if e.errno not in _NO_XATTR:
                raise


def clear_xattrs(fd: int) -> None:
    """Remove the extended attributes that may be removed."""
    try:
        names = os.listxattr(fd)
    except OSError as e:
        if e.errno not in _NO_XATTR:
            raise
        return
    for name in names:
        try:
            os.removexattr(fd, name)
        except OSError as e:
            if e.errno not in _NO_XATTR:
                raise


def _seek(fd: int, at: int, whence: int) -> int | None:
    try:
        return os.lseek(fd, at, whence)
    except OSError as e:
        if e.errno == errno.ENXIO:  # lseek(2): no data beyond
            return None
        if e.errno == errno.EINVAL:  # a file system that knows no holes
            return at if whence == os.SEEK_DATA else None
        raise


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        try:
            done = os.copy_file_range(source, target, min(end - start, _CHUNK), start, start)
        except OSError as e:
            if e.errno not in _NO_RANGE:
                raise
            done = 0
        # 0 is also what some kernels say for files of procfs and its like, which have data all the same.
        done = done or _copy_buffer(source, target, start, end)
        if not done:  # the file has become shorter
            return
        start += done


def _copy_buffer(source: int, target: int, start: int, end: int) -> int:
    data = os.pread(source, min(end - start, _BUFFER), start)
    written = 0
    while written < len(data):
        written += os.pwrite(target, data[written:], start + written)
    return written
