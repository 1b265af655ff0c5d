"""csrc/prt_untar.h: a tar archive becomes a layer, a directory in overlay form."""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint64_t

from pyrt._native.error cimport prt_error, raise_error

import os


cdef extern from "prt_untar.h" nogil:
    enum:
        PRT_UNTAR_NO_OWNER
        PRT_UNTAR_UNPRIVILEGED
        PRT_UNTAR_EVENT
        PRT_UNTAR_DONE
        PRT_UNTAR_IMPLIED_DIRECTORY
        PRT_UNTAR_MISSING_LINK
        PRT_UNTAR_OPAQUE_ROOT

    struct prt_untar_limits:
        uint64_t bytes
        uint64_t headers
        uint64_t metadata_bytes
        uint64_t memory_bytes

    struct prt_untar_counts:
        uint64_t entries
        uint64_t bytes
        uint64_t devices_skipped
        uint64_t xattrs_skipped
        uint64_t overlay_xattrs_dropped
        uint64_t set_ids_dropped
        uint64_t aufs_skipped

    struct prt_untar_event:
        int kind
        const char *path
        const char *target

    struct prt_untar:
        pass

    prt_untar *prt_untar_new(int root, unsigned flags, const prt_untar_limits *limits, prt_error *err)
    int prt_untar_feed(prt_untar *self, const void *bytes, size_t size, prt_error *err)
    int prt_untar_finish(prt_untar *self, prt_untar_event *event, prt_error *err)
    const prt_untar_counts *prt_untar_counted(const prt_untar *self)
    void prt_untar_free(prt_untar *self)


NO_OWNER = PRT_UNTAR_NO_OWNER
UNPRIVILEGED = PRT_UNTAR_UNPRIVILEGED
IMPLIED_DIRECTORY = PRT_UNTAR_IMPLIED_DIRECTORY
MISSING_LINK = PRT_UNTAR_MISSING_LINK
OPAQUE_ROOT = PRT_UNTAR_OPAQUE_ROOT


cdef class Untar:
    """Unpacks one archive below the directory descriptor `root`, which it duplicates; for one thread at a time.

    `flags` are NO_OWNER and UNPRIVILEGED. feed() and finish() raise SyscallError, of `op` "untar" where the archive
    is to blame; then, and after close(), nothing more can be done with it.
    """

    cdef prt_untar *_untar
    cdef long _pid
    cdef bint _busy

    def __cinit__(self, int root, unsigned flags=0, *, uint64_t bytes_limit, uint64_t headers_limit,
                  uint64_t metadata_bytes_limit, uint64_t memory_bytes_limit):
        cdef prt_untar_limits limits
        cdef prt_error err
        limits.bytes, limits.headers = bytes_limit, headers_limit
        limits.metadata_bytes, limits.memory_bytes = metadata_bytes_limit, memory_bytes_limit
        self._untar = NULL
        self._pid = os.getpid()
        with nogil:
            self._untar = prt_untar_new(root, flags, &limits, &err)
        if self._untar is NULL:
            raise_error(&err)

    def __dealloc__(self):
        prt_untar_free(self._untar)

    def feed(self, const unsigned char[::1] chunk not None):
        """Take a piece of the archive; return whether its end mark has been read."""
        cdef prt_untar *untar = self._take()
        cdef const void *data = &chunk[0] if chunk.shape[0] else NULL
        cdef size_t size = <size_t>chunk.shape[0]
        cdef prt_error err
        cdef int rc
        with nogil:
            rc = prt_untar_feed(untar, data, size, &err)
        self._give(rc, &err)
        return rc == PRT_UNTAR_DONE

    def finish(self):
        """Settle what waits for the end; return a list of (kind, path, target), children before their directory."""
        cdef prt_untar_event event
        cdef prt_untar *untar
        cdef prt_error err
        cdef int rc = 0
        events = []
        while rc != PRT_UNTAR_DONE:
            untar = self._take()
            with nogil:
                rc = prt_untar_finish(untar, &event, &err)
            self._give(rc, &err)
            if rc == PRT_UNTAR_EVENT:
                events.append((event.kind, <bytes>event.path, <bytes>event.target))
            PyErr_CheckSignals()
        return events

    def counts(self):
        """Return what was made, in numbers of struct prt_untar_counts."""
        cdef prt_untar *untar = self._take()
        cdef prt_untar_counts counts = prt_untar_counted(untar)[0]
        self._busy = False
        return dict(counts)

    def close(self):
        """Free it; what was unpacked stays. Doing so twice is allowed, but not while another thread feeds it."""
        if self._busy:
            raise RuntimeError("another thread is using this Untar")
        prt_untar_free(self._untar)
        self._untar = NULL

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    cdef prt_untar *_take(self) except NULL:
        if self._untar is NULL:
            raise ValueError("this Untar has been closed")
        if self._busy or self._pid != os.getpid():
            raise RuntimeError("an Untar is for one thread of the process that made it")
        self._busy = True
        return self._untar

    cdef int _give(self, int rc, const prt_error *err) except -1:
        self._busy = False
        if rc < 0:
            prt_untar_free(self._untar)
            self._untar = NULL
            raise_error(err)
        return 0
