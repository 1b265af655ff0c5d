"""csrc/prt_copyup.h and prt_upper.h: writing into the upper directory of an overlay that is not mounted."""

from libc.stdint cimport int64_t

from pyrt._native.error cimport prt_error, raise_error

import os
from array import array


cdef extern from "prt_merged.h" nogil:
    enum:
        PATH_MAX
        PRT_NOFOLLOW
    struct prt_layers:
        const int *fds
        int count
        int userxattr
    struct prt_entry:
        int layer
        int fd
    int prt_merged_resolve(const prt_layers *layers, const char *path, unsigned flags, char *resolved, prt_error *err)


cdef extern from "prt_upper.h" nogil:
    enum:
        PRT_MORE
        PRT_OWN_IDS
        PRT_USERXATTR
    struct prt_upper:
        prt_layers layers
        int work
        unsigned flags
        int is_durable
    struct prt_removal:
        int at
    int prt_upper_look(const prt_upper *self, const char *resolved, prt_entry *entry, prt_error *err)
    int prt_upper_mkdir(const prt_upper *self, const char *path, unsigned mode, prt_error *err)
    int prt_upper_remove(const prt_upper *self, const char *path, prt_removal *removal, prt_error *err)
    int prt_removal_step(prt_removal *self, int limit, prt_error *err)
    void prt_removal_close(prt_removal *self)


cdef extern from "prt_copyup.h" nogil:
    struct prt_copyup:
        char *temporary
    const prt_copyup PRT_COPYUP_NONE
    int prt_copyup_begin(prt_copyup *self, const prt_upper *upper, const char *path, const char *target, prt_error *err)
    int prt_copyup_step(prt_copyup *self, int64_t limit, prt_error *err)
    void prt_copyup_close(prt_copyup *self)


cdef class Upper:
    """An upper directory over its lowers, by descriptors that stay the caller's and must be open while this is used.

    `layers` are the upper (-1: none, to look things up only) and the lowers, topmost first; `work` is where temporary
    names are made, -1: beside what is made.
    """

    cdef prt_upper _c
    cdef object _fds

    def __init__(self, layers, *, int work=-1, bint userxattr=False, bint own_ids=False, bint durable=True):
        self._fds = array("i", layers)
        cdef const int[::1] view = self._fds
        if view.shape[0] == 0:
            raise ValueError("an upper has at least one layer, itself")
        self._c.layers.fds = &view[0]
        self._c.layers.count = <int>view.shape[0]
        self._c.layers.userxattr = userxattr
        self._c.work = work
        self._c.flags = (PRT_OWN_IDS if own_ids else 0) | (PRT_USERXATTR if userxattr else 0)
        self._c.is_durable = durable

    def find(self, path, *, bint follow=True):
        """Resolve a path in the merged tree; give (the index of the topmost layer that has it, its path without links).

        `follow` follows a symbolic link that the path ends in. Raises SyscallError.
        """
        cdef bytes name = os.fsencode(path)
        cdef const char *text = name
        cdef char resolved[PATH_MAX]
        cdef prt_entry entry
        cdef prt_error err
        cdef int rc
        entry.fd = -1
        with nogil:
            rc = prt_merged_resolve(&self._c.layers, text, 0 if follow else PRT_NOFOLLOW, resolved, &err)
            if rc >= 0:
                rc = prt_upper_look(&self._c, resolved, &entry, &err)
        if rc < 0:
            raise_error(&err)
        if entry.fd >= 0:
            os.close(entry.fd)
        return entry.layer, os.fsdecode(<bytes>resolved)

    def mkdir(self, path, unsigned mode=0o755):
        """Make a directory and those above it; it hides what a lower layer has there. Raises SyscallError."""
        cdef bytes name = os.fsencode(path)
        cdef const char *text = name
        cdef prt_error err
        cdef int rc
        with nogil:
            rc = prt_upper_mkdir(&self._c, text, mode, &err)
        if rc < 0:
            raise_error(&err)


cdef class CopyUp:
    """A copy-up under way: steps, until one gives False. Closed before that, nothing stays of it."""

    cdef prt_copyup _c
    cdef Upper _upper  # keeps the array of descriptors
    cdef bint _more
    cdef int _owner  # after a fork the temporary name is not ours to remove

    def __cinit__(self):
        self._c = PRT_COPYUP_NONE
        self._owner = os.getpid()

    def __init__(self, Upper upper, path, target=None):
        """Begin to copy up `path`, so that it appears as `target`, by default as itself. Raises SyscallError."""
        cdef bytes name = os.fsencode(path), other = b"" if target is None else os.fsencode(target)
        cdef const char *text = name
        cdef const char *other_text = NULL
        cdef prt_error err
        cdef int rc
        if target is not None:
            other_text = other
        self.close()
        self._upper = upper
        with nogil:
            rc = prt_copyup_begin(&self._c, &upper._c, text, other_text, &err)
        self._more = rc == PRT_MORE
        if rc < 0:
            self.close()
            raise_error(&err)

    def step(self, int64_t limit_bytes):
        """Copy so many bytes at most; say whether there is more to do. Raises SyscallError."""
        cdef prt_error err
        cdef int rc
        if not self._more:
            return False
        with nogil:
            rc = prt_copyup_step(&self._c, limit_bytes, &err)
        self._more = rc == PRT_MORE
        if rc < 0:
            raise_error(&err)
        return self._more

    def close(self):
        """Let go of everything; what is not done leaves nothing."""
        self._more = False
        if self._owner != os.getpid():
            self._c.temporary[0] = 0
        with nogil:
            prt_copyup_close(&self._c)

    def __dealloc__(self):
        if self._owner != os.getpid():
            self._c.temporary[0] = 0
        prt_copyup_close(&self._c)


cdef class Removal:
    """A removal: what is removed has gone from the tree when this is made, and steps free what it held."""

    cdef prt_removal _c
    cdef bint _more

    def __cinit__(self):
        self._c.at = -1

    def __init__(self, Upper upper, path):
        """Remove `path`, a directory with all that is in it. Raises SyscallError."""
        cdef bytes name = os.fsencode(path)
        cdef const char *text = name
        cdef prt_error err
        cdef int rc
        self.close()
        with nogil:
            rc = prt_upper_remove(&upper._c, text, &self._c, &err)
        self._more = rc == PRT_MORE
        if rc < 0:
            self.close()
            raise_error(&err)

    def step(self, int limit):
        """Remove so many entries at most; say whether there is more to do. Raises SyscallError."""
        cdef prt_error err
        cdef int rc
        if not self._more:
            return False
        with nogil:
            rc = prt_removal_step(&self._c, limit, &err)
        self._more = rc == PRT_MORE
        if rc < 0:
            raise_error(&err)
        return self._more

    def close(self):
        """Let go of everything; temporary names that have not been removed stay in the work directory."""
        self._more = False
        with nogil:
            prt_removal_close(&self._c)

    def __dealloc__(self):
        prt_removal_close(&self._c)
