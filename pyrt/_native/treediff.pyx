"""csrc/prt_treediff.h: how two trees differ."""

from pyrt._native.error cimport prt_error, raise_error

from array import array


cdef extern from "prt_treediff.h" nogil:
    struct prt_layers:
        const int *fds
        int count
        int userxattr
    struct prt_treediff:
        prt_layers before
        prt_layers after
        int is_upper
        char *text
        size_t size
    int prt_treediff_begin(prt_treediff *self, prt_error *err)
    int prt_treediff_step(prt_treediff *self, int limit, prt_error *err)
    void prt_treediff_close(prt_treediff *self)


cdef class TreeDiff:
    """A comparison under way, of descriptors that stay the caller's and must be open as long as this is used.

    `before` and `after` are layers, topmost first; with `is_upper` the one layer of `after` lies on top of `before`.
    """

    cdef prt_treediff _c
    cdef object _fds
    cdef bint _more

    def __init__(self, before, after, *, bint is_upper=False, bint userxattr=False):
        """Begin at the roots. Raises SyscallError."""
        cdef prt_error err
        cdef int rc
        self.close()
        self._fds = array("i", [*before, *after, -1])
        cdef const int[::1] view = self._fds
        self._c.before.fds = &view[0]
        self._c.before.count = len(before)
        self._c.after.fds = &view[len(before)]
        self._c.after.count = len(after)
        self._c.before.userxattr = self._c.after.userxattr = userxattr
        self._c.is_upper = is_upper
        with nogil:
            rc = prt_treediff_begin(&self._c, &err)
        if rc < 0:
            self.close()
            raise_error(&err)
        self._more = True

    def step(self, int limit):
        """Compare so many entries at most; give the changes found, each a letter, a path and a zero byte, and whether
        there is more to do. Raises SyscallError."""
        cdef prt_error err
        cdef int rc
        cdef bytes found
        if not self._more:
            return b"", False
        with nogil:
            rc = prt_treediff_step(&self._c, limit, &err)
        self._more = rc > 0
        if rc < 0:
            raise_error(&err)
        found = self._c.text[:self._c.size] if self._c.size else b""
        self._c.size = 0
        return found, self._more

    def close(self):
        """Let go of everything."""
        self._more = False
        with nogil:
            prt_treediff_close(&self._c)

    def __dealloc__(self):
        prt_treediff_close(&self._c)
