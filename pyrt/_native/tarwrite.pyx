"""csrc/prt_tarwrite.h: a directory in overlay form becomes the tar archive of a layer."""

from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from pyrt._native.error cimport prt_error, raise_error

import os


cdef extern from "prt_tarwrite.h" nogil:
    enum:
        PRT_TARWRITE_USERXATTR
        PRT_TARWRITE_ROOT
        PRT_TARWRITE_PLAIN

    struct prt_tarwrite_ids:
        uint32_t inside
        uint32_t outside
        uint32_t count

    struct prt_tarwrite_options:
        const prt_tarwrite_ids *uids
        const prt_tarwrite_ids *gids
        size_t uid_count
        size_t gid_count
        int64_t latest
        unsigned flags

    struct prt_tarwrite_counts:
        uint64_t entries
        uint64_t bytes
        uint64_t sockets_skipped

    struct prt_tarwrite:
        pass

    prt_tarwrite *prt_tarwrite_new(int root, const prt_tarwrite_options *options, prt_error *err)
    int64_t prt_tarwrite_step(prt_tarwrite *self, unsigned char *to, size_t room, prt_error *err)
    prt_tarwrite_counts c_counts "prt_tarwrite_counts"(const prt_tarwrite *self)
    void prt_tarwrite_free(prt_tarwrite *self)


USERXATTR = PRT_TARWRITE_USERXATTR
ROOT = PRT_TARWRITE_ROOT
PLAIN = PRT_TARWRITE_PLAIN


cdef prt_tarwrite_ids *_ids(maps) except NULL:
    """Copy (inside, outside, count) triples; free the result."""
    cdef prt_tarwrite_ids *ids = <prt_tarwrite_ids *>malloc((len(maps) + 1) * sizeof(prt_tarwrite_ids))
    if ids is NULL:
        raise MemoryError
    try:
        for i, (inside, outside, count) in enumerate(maps):
            ids[i].inside, ids[i].outside, ids[i].count = inside, outside, count
    except BaseException:
        free(ids)
        raise
    return ids


cdef class TarWriter:
    """Reads the tree of the directory descriptor `root`, which stays the caller's; for one thread at a time.

    `uids` and `gids` are triples (inside, outside, count); no mtime is later than `latest` seconds; `flags` are
    USERXATTR, ROOT and PLAIN. Raises SyscallError, of `op` "tarwrite" where the tree is to blame.
    """

    cdef prt_tarwrite *_writer
    cdef long _pid
    cdef bint _busy

    def __cinit__(self, int root, unsigned flags=0, *, uids=(), gids=(), int64_t latest=0x7fffffffffffffff):
        cdef prt_tarwrite_options options
        cdef prt_tarwrite_ids *uid_list = NULL
        cdef prt_tarwrite_ids *gid_list = NULL
        cdef prt_error err
        self._writer = NULL
        self._pid = os.getpid()
        try:
            uid_list, gid_list = _ids(uids), _ids(gids)
            options.uids, options.uid_count = uid_list, len(uids)
            options.gids, options.gid_count = gid_list, len(gids)
            options.latest, options.flags = latest, flags
            with nogil:
                self._writer = prt_tarwrite_new(root, &options, &err)
            if self._writer is NULL:
                raise_error(&err)
        finally:
            free(uid_list)
            free(gid_list)

    def __dealloc__(self):
        prt_tarwrite_free(self._writer)

    def step(self, size_t size):
        """Return the next `size` bytes of the archive, fewer at its end, then none."""
        cdef prt_tarwrite *writer = self._take()
        cdef prt_error err
        cdef int64_t rc = -1
        cdef bytes piece
        cdef unsigned char *to
        try:
            piece = PyBytes_FromStringAndSize(NULL, size)
            to = <unsigned char *>PyBytes_AsString(piece)
            with nogil:
                rc = prt_tarwrite_step(writer, to, size, &err)
        finally:
            self._busy = False
        if rc < 0:
            self.close()
            raise_error(&err)
        return piece if <size_t>rc == size else piece[:rc]

    def counts(self):
        """Return how much has been written, in numbers of struct prt_tarwrite_counts."""
        cdef prt_tarwrite_counts counts = c_counts(self._take())
        self._busy = False
        return dict(counts)

    def close(self):
        """Free it. Doing so twice is allowed, but not while another thread is in it."""
        if self._busy:
            raise RuntimeError("another thread is using this TarWriter")
        prt_tarwrite_free(self._writer)
        self._writer = NULL

    cdef prt_tarwrite *_take(self) except NULL:
        if self._writer is NULL:
            raise ValueError("this TarWriter has been closed")
        if self._busy or self._pid != os.getpid():
            raise RuntimeError("a TarWriter is for one thread of the process that made it")
        self._busy = True
        return self._writer
