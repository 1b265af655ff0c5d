"""csrc/prt_cgroup.h: the directories of one container in every cgroup hierarchy, one call for all."""

from libc.stdint cimport uint32_t

from pyrt._native.error cimport prt_error, raise_error

cdef enum:
    MAX_FDS = 16
    MAX_TEXTS = 8192


cdef extern from "prt_cgroup.h" nogil:
    struct prt_cgroup_order:
        const char *ops
        size_t size
        const char *name

    struct prt_cgroup_result:
        int *fds
        size_t max_fds
        size_t n_fds
        char *texts
        size_t max_texts
        size_t n_texts

    int prt_cgroup_create(const prt_cgroup_order *order, prt_cgroup_result *result, prt_error *err)
    int prt_cgroup_remove(const prt_cgroup_order *order, unsigned patience_us, prt_error *err)
    int prt_cgroup_load_device_program(const void *instructions, uint32_t count, prt_error *err)
    int prt_cgroup_attach_device_program(int cgroup, int program, prt_error *err)


def create(bytes ops, bytes name):
    """Execute an order of prt_cgroup.h; return its descriptors and what it read back.

    `step` of the SyscallError that it raises numbers the failed operation from 1; then nothing is left behind.
    """
    cdef prt_cgroup_order order
    cdef prt_cgroup_result result
    cdef prt_error err
    cdef int[MAX_FDS] fds
    cdef char[MAX_TEXTS] texts
    cdef int rc
    order.ops, order.size, order.name = ops, <size_t>len(ops), name
    result.fds, result.max_fds = fds, MAX_FDS
    result.texts, result.max_texts = texts, MAX_TEXTS
    with nogil:
        rc = prt_cgroup_create(&order, &result, &err)
    if rc < 0:
        raise_error(&err)
    return [fds[i] for i in range(<int>result.n_fds)], (<bytes>texts[:result.n_texts]).split(b"\0")[:-1]


def remove(bytes parents, bytes name, *, unsigned patience_us=0):
    """Remove the directory `name` below each of the NUL-terminated `parents`, waiting for the busy ones.

    Raises the SyscallError of the first that could not be removed, after all have been tried.
    """
    cdef prt_cgroup_order order
    cdef prt_error err
    cdef int rc
    order.ops, order.size, order.name = parents, <size_t>len(parents), name
    with nogil:
        rc = prt_cgroup_remove(&order, patience_us, &err)
    if rc < 0:
        raise_error(&err)


def load_device_program(bytes instructions):
    """Load the eBPF instructions of a device list and return the program's descriptor. Raises SyscallError."""
    cdef const char *code = instructions
    cdef uint32_t count = <uint32_t>(len(instructions) // 8)
    cdef prt_error err
    cdef int fd
    with nogil:
        fd = prt_cgroup_load_device_program(code, count, &err)
    if fd < 0:
        raise_error(&err)
    return fd


def attach_device_program(int cgroup, int program):
    """Attach a loaded device program to the v2 cgroup of a directory descriptor, for good. Raises SyscallError."""
    cdef prt_error err
    cdef int rc
    with nogil:
        rc = prt_cgroup_attach_device_program(cgroup, program, &err)
    if rc < 0:
        raise_error(&err)
