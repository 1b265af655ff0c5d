"""csrc/prt_spawn.h: start pyrt-init in new namespaces without copying the host program's memory."""

from libc.stdint cimport uint64_t

from pyrt._native.error cimport prt_error, raise_error

import os


cdef extern from "prt_spawn.h" nogil:
    enum: PRT_SPAWN_FDS

    struct prt_spawn_args "prt_spawn":
        int program
        const char *path
        char **argv
        const int *fds
        size_t fd_count
        uint64_t namespaces
        int userns
        int cgroup
        const int *joins
        size_t join_count

    int prt_spawn(const prt_spawn_args *spawn, int *pidfd, prt_error *err)


cdef enum:
    MAX_ARGS = 4
    MAX_JOINS = 32


def spawn(program, argv, fds, uint64_t namespaces=0, *, int userns=-1, int cgroup=-1, joins=()):
    """Execute `program`, a descriptor or (from a read-only mount) a path, in a child; return its pid and a pidfd.

    `argv` are its arguments (at most 4, bytes), `fds` become its descriptors 0, 1, 2, … and it has no others.
    `namespaces` are CLONE_NEW* flags, `userns` a user namespace to be root of, `cgroup` a cgroup2 directory to start
    in, `joins` open `tasks` files of v1 cgroups (cgroups(7)). Raises SyscallError, and then there is no child.
    """
    cdef prt_spawn_args args
    cdef prt_error err
    cdef char *argv_c[MAX_ARGS + 1]
    cdef int fds_c[PRT_SPAWN_FDS]
    cdef int joins_c[MAX_JOINS]
    cdef int pid, pidfd = -1, i
    cdef list words = list(argv)
    cdef bytes word, path
    if len(words) > MAX_ARGS or len(fds) > PRT_SPAWN_FDS or len(joins) > MAX_JOINS:
        raise ValueError("too many arguments, descriptors or cgroups for one spawn")
    for i, word in enumerate(words):
        argv_c[i] = word
    argv_c[len(words)] = NULL
    for i, fd in enumerate(fds):
        fds_c[i] = fd
    for i, fd in enumerate(joins):
        joins_c[i] = fd
    if isinstance(program, int):
        path, args.program = b"", program
    else:
        path, args.program = os.fsencode(program), -1
    args.path, args.argv = path, argv_c
    args.fds, args.fd_count = fds_c, len(fds)
    args.namespaces, args.userns, args.cgroup = namespaces, userns, cgroup
    args.joins, args.join_count = joins_c, len(joins)
    with nogil:
        pid = prt_spawn(&args, &pidfd, &err)
    if pid < 0:
        raise_error(&err)
    return pid, pidfd
