"""csrc/prt_error.h: the one place where a C failure becomes an exception."""

from pyrt.errors import SyscallError


cdef int raise_error(const prt_error *err) except -1:
    path = (<bytes>err.path).decode("utf-8", "surrogateescape")
    raise SyscallError(err.code, (<bytes>err.op).decode(), path or None, err.step, (<bytes>err.msg).decode())


def raise_packed(bytes packed):
    """Raise the SyscallError that a 512-byte struct prt_error describes."""
    cdef const unsigned char[::1] view = packed
    if view.shape[0] != sizeof(prt_error):
        raise ValueError(f"a packed error has {sizeof(prt_error)} bytes, not {len(packed)}")
    raise_error(<const prt_error *>&view[0])
