"""Builds pyrt._native._syscalls: syscall(2), for single cold calls that gain nothing from a C function of their own."""

from __future__ import annotations

from cffi import FFI

ffi = FFI()
ffi.cdef("""
    #define SYS_inotify_add_watch ...
    #define SYS_inotify_init1 ...
    #define SYS_mount ...
    #define SYS_prctl ...
    #define SYS_setns ...
    #define SYS_unshare ...
    long syscall(long number, ...);
""")
ffi.set_source("pyrt._native._syscalls", "#include <sys/syscall.h>\n#include <unistd.h>\n")

if __name__ == "__main__":
    ffi.compile(verbose=True)
