"""csrc/prt_userns.h and prt_probe.h: user namespaces that live by their descriptor, and what works inside them."""

from posix.types cimport pid_t

from pyrt._native.error cimport prt_error, raise_error

import os
import threading


cdef extern from "prt_userns.h" nogil:
    struct prt_userns:
        pid_t pid
        int pidfd
        int proc
        int ns
        void *stack
    int prt_userns_begin(prt_userns *self, prt_error *err)
    int prt_userns_write(const prt_userns *self, const char *name, const char *text, size_t size, prt_error *err)
    void prt_userns_end(prt_userns *self)
    void prt_userns_close(prt_userns *self)


cdef extern from "prt_probe.h" nogil:
    int prt_probe_overlay(const char *lower, int userns, prt_error *err)


cdef class UserNamespace:
    """A user namespace: new with a waiting child whose maps are to be written, sealed once they are.

    One thread makes, writes and seals it: the child ends with the thread that made it.
    """

    cdef prt_userns _c
    cdef int _owner  # after a fork the child process is not ours to end

    def __cinit__(self):
        self._c.pid = 0
        self._c.stack = NULL
        self._c.pidfd = self._c.proc = self._c.ns = -1
        self._owner = os.getpid()

    def __init__(self):
        """Make the namespace. Raises SyscallError with EPERM, ENOSPC, EUSERS or EINVAL where the host forbids it."""
        cdef prt_error err
        cdef int rc
        if self._c.ns >= 0:
            raise ValueError("the user namespace has been made")
        with nogil:
            rc = prt_userns_begin(&self._c, &err)
        if rc < 0:
            raise_error(&err)

    @property
    def pid(self):
        """The process id of the waiting child, for newuidmap(1); 0 when it has ended."""
        return self._c.pid

    def write(self, str name, bytes text):
        """Write one of uid_map, gid_map and setgroups (user_namespaces(7)). Raises SyscallError."""
        cdef bytes file = name.encode()
        cdef const char *c_name = file
        cdef const char *c_text = text
        cdef size_t size = len(text)
        cdef prt_error err
        cdef int rc
        if self._c.pid == 0:
            raise ValueError("the user namespace is sealed or closed")
        with nogil:
            rc = prt_userns_write(&self._c, c_name, c_text, size, &err)
        if rc < 0:
            raise_error(&err)

    def seal(self):
        """End the waiting child; the namespace stays."""
        if self._owner != os.getpid():
            raise ValueError("the user namespace was made before a fork")
        with nogil:
            prt_userns_end(&self._c)

    def fileno(self):
        """Give the descriptor of the namespace; it stays the object's own."""
        if self._c.ns < 0:
            raise ValueError("the user namespace is closed")
        return self._c.ns

    def close(self):
        """Close the descriptor; the namespace ends with its last process."""
        if self._owner != os.getpid():
            self._c.pid = 0
        with nogil:
            prt_userns_close(&self._c)

    def __dealloc__(self):
        if self._owner != os.getpid():
            self._c.pid = 0
        prt_userns_close(&self._c)


# A probe puts the process's dumpable flag right again; two at once would take each other's for the first.
one_probe = threading.Lock()


def probe_overlay(lower, int userns=-1):
    """Mount an overlay of the directory `lower` where nobody sees it. Raises SyscallError where that does not work.

    `userns` is the descriptor of the user namespace to try in, or -1; None as `lower` tries a tmpfs alone.
    """
    cdef bytes name = b"" if lower is None else os.fsencode(lower)
    cdef const char *text = NULL
    cdef prt_error err
    cdef int rc
    if lower is not None:
        text = name
    with one_probe:
        with nogil:
            rc = prt_probe_overlay(text, userns, &err)
    if rc < 0:
        raise_error(&err)
