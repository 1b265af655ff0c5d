"""Builds csrc as a shared library of its own and opens it with cffi: C called directly, without a door in between."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cffi import FFI

__all__ = ["CSRC", "NATIVE", "Csrc", "Failure", "build", "compile_c"]

NATIVE = Path(__file__).resolve().parent
CSRC = NATIVE.parents[1] / "csrc"
STRICT = """-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
    -Wformat=2"""
DECLARATIONS = """
struct prt_error { int32_t code; int32_t step; char op[24]; char path[256]; char msg[224]; };
int prt_fail(struct prt_error *err, int code, const char *op, const char *path, const char *msg);

int prt_path_open(int root, const char *path, int flags, unsigned mode, uint64_t resolve, struct prt_error *err);
int prt_path_walk(int root, const char *path, int flags, unsigned mode, uint64_t resolve, struct prt_error *err);
int prt_path_mkdirs(int root, const char *path, unsigned mode, struct prt_error *err);
int prt_path_mkfile(int root, const char *path, unsigned mode, struct prt_error *err);
int prt_path_parent(int root, const char *path, unsigned mode, const char **name, struct prt_error *err);

int prt_mount_new(const char *type, const char *source, const char *options, uint64_t attributes,
                  struct prt_error *err);
int prt_mount_clone(int dirfd, const char *path, int recursive, struct prt_error *err);
int prt_mount_set(int fd, uint64_t attributes, uint64_t propagation, int recursive, struct prt_error *err);
int prt_mount_attach(int fd, int target, const char *path, struct prt_error *err);

struct prt_spawn {
    int program; char *const *argv; const int *fds; size_t fd_count; uint64_t namespaces; int userns; int cgroup;
    const int *joins; size_t join_count;
};
int prt_spawn(const struct prt_spawn *spawn, int *pidfd, struct prt_error *err);

struct prt_cgroup_order { const char *ops; size_t size; const char *name; };
struct prt_cgroup_result {
    int *fds; size_t max_fds; size_t n_fds; char *texts; size_t max_texts; size_t n_texts;
};
int prt_cgroup_create(const struct prt_cgroup_order *order, struct prt_cgroup_result *result, struct prt_error *err);
int prt_cgroup_remove(const struct prt_cgroup_order *order, unsigned patience_us, struct prt_error *err);
"""


class Failure(Exception):
    """What a struct prt_error says."""

    def __init__(self, code: int, op: str, path: str, msg: str, step: int = 0) -> None:
        super().__init__(code, op, path, msg, step)
        self.code, self.op, self.path, self.msg, self.step = code, op, path, msg, step

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Failure) and self.args == other.args

    __hash__ = Exception.__hash__


class Csrc:
    """The library: `ffi`, `lib`, and calls that raise Failure where C answers less than 0."""

    def __init__(self, path: Path) -> None:
        self.ffi = FFI()
        self.ffi.cdef(DECLARATIONS)
        self.lib: Any = self.ffi.dlopen(str(path))

    def call(self, name: str, *arguments: Any) -> int:
        """Call a function whose last parameter is the error."""
        err = self.ffi.new("struct prt_error *")
        result: int = getattr(self.lib, name)(*arguments, err)
        if result < 0:
            raise self.failure(err)
        return result

    def failure(self, err: Any) -> Failure:
        """Give an error struct as a value."""
        op, path, msg = (os.fsdecode(self.ffi.string(text)) for text in (err.op, err.path, err.msg))
        return Failure(err.code, op, path, msg, err.step)

    def spawn(
        self,
        program: int,
        argv: Sequence[bytes],
        fds: Sequence[int],
        namespaces: int = 0,
        *,
        userns: int = -1,
        cgroup: int = -1,
        joins: Sequence[int] = (),
    ) -> tuple[int, int]:
        """Call prt_spawn; give the pid and the pidfd."""
        words = [self.ffi.new("char[]", word) for word in argv]
        argv_c = self.ffi.new("char *[]", [*words, self.ffi.NULL])
        fds_c, joins_c = self.ffi.new("int[]", list(fds)), self.ffi.new("int[]", list(joins))
        values = (program, argv_c, fds_c, len(fds), namespaces, userns, cgroup, joins_c, len(joins))
        order, pidfd = self.ffi.new("struct prt_spawn *", values), self.ffi.new("int *", -1)
        return self.call("prt_spawn", order, pidfd), pidfd[0]


def compile_c(output: Path, sources: Sequence[Path], *flags: str) -> Path:
    """Compile with the strict warnings and with $CFLAGS, which is how sanitizers come in."""
    compiler, more = (shlex.split(os.environ.get(name, given)) for name, given in (("CC", "cc"), ("CFLAGS", "-O2 -g")))
    command = [*compiler, *shlex.split(STRICT), *more, f"-I{CSRC}", *flags, *map(str, sources), "-o", str(output)]
    subprocess.run(command, check=True)
    return output


def build(directory: Path) -> Csrc:
    """Build the library in a directory and open it."""
    return Csrc(compile_c(directory / "csrc.so", sorted(CSRC.glob("prt_*.c")), "-shared", "-fPIC"))
