"""csrc/prt_mount.h: mounts as descriptors."""

from pyrt._native.error cimport prt_error, raise_error

import os


cdef extern from "prt_mount.h" nogil:
    int prt_mount_idmapped(const char *path, int userns, prt_error *err)


def idmapped(path, int userns):
    """Clone the mount at `path`, with ids as the user namespace `userns` sees them; return its descriptor.

    Nothing is attached; the descriptor is the mount. Raises SyscallError, with EINVAL for a file system that cannot.
    """
    cdef bytes name = os.fsencode(path)
    cdef const char *text = name
    cdef prt_error err
    cdef int fd
    with nogil:
        fd = prt_mount_idmapped(text, userns, &err)
    if fd < 0:
        raise_error(&err)
    return fd
