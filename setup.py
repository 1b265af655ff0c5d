"""The list of what is compiled: the doors (Cython), the system calls (cffi) and pyrt-init (C alone).

PYRT_ABI3=1 builds for the stable ABI of CPython 3.11, which is how wheels are released; without it the full API is
used, which is how pyrt is developed. PYRT_DEBUG=1 adds line tracing to the doors.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from glob import glob
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

ABI3 = os.environ.get("PYRT_ABI3") == "1"
DEBUG = os.environ.get("PYRT_DEBUG") == "1"
HEADERS = sorted(glob("csrc/**/*.h", recursive=True))
STRICT = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wstrict-prototypes", "-Wmissing-prototypes"]
# No libc and no relocations: the program starts in 10 µs. GCC would otherwise turn the loop inside memset into memset.
FREESTANDING = shlex.split("""-std=gnu11 -Os -ffreestanding -fno-tree-loop-distribute-patterns -fno-stack-protector
    -fno-asynchronous-unwind-tables -fno-pic -no-pie -nostdlib -static -fvisibility=hidden -ffunction-sections
    -Wl,--gc-sections,--build-id=none,-z,noseparate-code,-z,norelro,-z,noexecstack,--strip-all,--fatal-warnings""")


def door(name: str, *c_sources: str) -> Extension:
    """Give the extension pyrt._native.<name>: its .pyx and the csrc files that are compiled into it."""
    macros: list[tuple[str, str | None]] = [("_GNU_SOURCE", None)]
    if ABI3:
        macros += [("Py_LIMITED_API", "0x030b0000"), ("CYTHON_LIMITED_API", "1")]
    if DEBUG:
        macros += [("CYTHON_TRACE_NOGIL", "1")]
    return Extension(
        f"pyrt._native.{name}",
        [f"pyrt/_native/{name}.pyx", *(f"csrc/{source}" for source in c_sources)],
        include_dirs=["csrc"],
        define_macros=macros,
        extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
        extra_link_args=["-Wl,--strip-all"] if ABI3 else [],
        depends=HEADERS,
        py_limited_api=ABI3,
    )


TAR = [f"prt_tar{part}.c" for part in ("", "_life", "_number", "_pax", "_sparse")]
TARWRITE = [f"prt_tarwrite{part}.c" for part in ("", "_header", "_links", "_walk", "_xattr")]
UNTAR = [f"prt_untar{part}.c" for part in ("", "_attributes", "_later", "_link", "_make", "_place", "_remove")]
DOORS = [
    door("cgroup", "prt_cgroup.c", "prt_error.c"),
    door("copyup", "prt_copyup.c", "prt_upper.c", "prt_removal.c", "prt_merged.c", "prt_copy.c", "prt_error.c"),
    door("error", "prt_error.c"),
    door("mount", "prt_mount.c", "prt_error.c"),
    door("path", "prt_path.c", "prt_error.c"),
    door("spawn", "prt_mount.c", "prt_spawn.c", "prt_error.c"),
    door("tarwrite", *TARWRITE, "prt_copy.c", "prt_path.c", "prt_error.c"),
    door("treediff", "prt_treediff.c", "prt_merged.c", "prt_names.c", "prt_error.c"),
    door("untar", *TAR, *UNTAR, "prt_path.c", "prt_error.c"),
    door("userns", "prt_userns.c", "prt_probe.c", "prt_error.c"),
]
CFFI_MODULES = [f"{path}:ffi" for path in sorted(glob("pyrt/_native/_*_build.py"))]


class Build(build_ext):
    """Builds the extensions, and beside them pyrt/_native/pyrt-init."""

    def run(self) -> None:
        super().run()
        in_place = self.inplace or getattr(self, "editable_mode", False)
        self.build_init(Path("." if in_place else self.build_lib, "pyrt/_native/pyrt-init"))

    def build_init(self, program: Path) -> None:
        """Compile the static program that becomes the first process of a container, if a source is newer than it."""
        shared = [f"csrc/prt_{name}.c" for name in ("mount", "path", "spawn", "error")]
        sources = [*sorted(glob("csrc/init/*.c")), *shared]
        newest = max(os.path.getmtime(path) for path in [*sources, *HEADERS, "setup.py"])
        if program.exists() and program.stat().st_mtime >= newest and not self.force:
            return
        compiler = shlex.split(os.environ.get("CC", "cc"))
        command = [*compiler, *STRICT, "-Wformat=2", "-D_GNU_SOURCE", "-DPRT_FREESTANDING", "-Icsrc", *FREESTANDING]
        program.parent.mkdir(parents=True, exist_ok=True)
        self.announce(f"building {program}", level=2)
        if subprocess.run([*command, *sources, "-o", str(program)]).returncode != 0:
            raise CompileError(f"{program} was not built: the compiler's messages stand above")


if not sys.platform.startswith("linux"):
    raise SystemExit("pyrt is made of Linux namespaces and cgroups: it builds on Linux only")

directives: dict[str, Any] = {"language_level": "3", "embedsignature": True, "binding": True, "linetrace": DEBUG}
setup(
    ext_modules=cythonize(DOORS, build_dir="build/cython", compiler_directives=directives, annotate=DEBUG),
    cffi_modules=CFFI_MODULES,
    cmdclass={"build_ext": Build},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
)
