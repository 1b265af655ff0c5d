"""Builds csrc as a shared library of its own and opens it with cffi: C called directly, without a door in between."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cffi import FFI

__all__ = ["CSRC", "NATIVE", "Csrc", "Failure", "build", "compile_c"]

NATIVE = Path(__file__).resolve().parent
CSRC = NATIVE.parents[1] / "csrc"
STRICT = """-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wformat=2"""
HEADERS = ("error", "path", "mount", "spawn", "cgroup", "tarwrite")


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
        self.ffi.cdef("\n".join(declarations(CSRC / f"prt_{name}.h") for name in HEADERS))
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
        program: int | Path,
        argv: Sequence[bytes],
        fds: Sequence[int],
        namespaces: int = 0,
        *,
        userns: int = -1,
        cgroup: int = -1,
        joins: Sequence[int] = (),
    ) -> tuple[int, int]:
        """Call prt_spawn with a program by descriptor or by path; give the pid and the pidfd."""
        new = self.ffi.new
        words = [new("char[]", word) for word in argv]
        fields = {
            "program": program if isinstance(program, int) else -1,
            "path": new("char[]", b"" if isinstance(program, int) else bytes(program)),
            "argv": new("char *[]", [*words, self.ffi.NULL]),
            "fds": new("int[]", list(fds)),
            "fd_count": len(fds),
            "namespaces": namespaces,
            "userns": userns,
            "cgroup": cgroup,
            "joins": new("int[]", list(joins)),
            "join_count": len(joins),
        }
        pidfd = new("int *", -1)
        return self.call("prt_spawn", new("struct prt_spawn *", fields), pidfd), pidfd[0]


def declarations(header: Path) -> str:
    """Give what a header declares, without what cffi does not read."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    return re.sub(r"^(#.*|_Static_assert\(.*?\);)$", "", text, flags=re.MULTILINE)


def compile_c(output: Path, sources: Sequence[Path], *flags: str) -> Path:
    """Compile with the strict warnings and with $CFLAGS, which is how sanitizers come in."""
    compiler, more = (shlex.split(os.environ.get(name, given)) for name, given in (("CC", "cc"), ("CFLAGS", "-O2 -g")))
    command = [*compiler, *shlex.split(STRICT), *more, f"-I{CSRC}", *flags, *map(str, sources), "-o", str(output)]
    subprocess.run(command, check=True)
    return output


def build(directory: Path) -> Csrc:
    """Build the library in a directory and open it."""
    return Csrc(compile_c(directory / "csrc.so", sorted(CSRC.glob("prt_*.c")), "-shared", "-fPIC"))
