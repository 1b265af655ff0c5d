from libc.stdint cimport int32_t


cdef extern from "prt_error.h" nogil:
    struct prt_error:
        int32_t code
        int32_t step
        char op[24]
        char path[256]
        char msg[224]


cdef int raise_error(const prt_error *err) except -1
