"""csrc/prt_path.h: paths that stay below a root directory, whatever symlinks are there."""

from libc.stdint cimport uint64_t

from pyrt._native.error cimport prt_error, raise_error

import os


cdef extern from "prt_path.h" nogil:
    int prt_path_open(int root, const char *path, int flags, unsigned mode, uint64_t resolve, prt_error *err)
    int prt_path_walk(int root, const char *path, int flags, unsigned mode, uint64_t resolve, prt_error *err)
    int prt_path_mkdirs(int root, const char *path, unsigned mode, prt_error *err)
    int prt_path_mkfile(int root, const char *path, unsigned mode, prt_error *err)


def open_in_root(int root, path, int flags, unsigned mode=0, *, uint64_t resolve=0, bint walk=False):
    """Open `path` as a process chrooted to the directory `root` would; return a descriptor that closes on exec.

    `flags` and `mode` are open(2)'s, `resolve` adds RESOLVE_* bits of openat2(2); magic links are refused. `walk`
    takes the way of kernels without openat2(2). Raises SyscallError.
    """
    cdef bytes name = os.fsencode(path)
    cdef const char *text = name
    cdef prt_error err
    cdef int fd
    with nogil:
        if walk:
            fd = prt_path_walk(root, text, flags, mode, resolve, &err)
        else:
            fd = prt_path_open(root, text, flags, mode, resolve, &err)
    if fd < 0:
        raise_error(&err)
    return fd


def mkdirs_in_root(int root, path, unsigned mode=0o755):
    """Make the directory `path` and its parents below `root` where missing; return a descriptor (O_PATH) of it."""
    cdef bytes name = os.fsencode(path)
    cdef const char *text = name
    cdef prt_error err
    cdef int fd
    with nogil:
        fd = prt_path_mkdirs(root, text, mode, &err)
    if fd < 0:
        raise_error(&err)
    return fd


def mkfile_in_root(int root, path, unsigned mode=0o644):
    """Make an empty file `path` below `root` where nothing is; return a descriptor (O_PATH) of what is there."""
    cdef bytes name = os.fsencode(path)
    cdef const char *text = name
    cdef prt_error err
    cdef int fd
    with nogil:
        fd = prt_path_mkfile(root, text, mode, &err)
    if fd < 0:
        raise_error(&err)
    return fd
