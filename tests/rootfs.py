"""Makes the root file system that the tests run: busybox-static, two users, and /bin/nop, which only exits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["make_rootfs"]

_NOP = r"""
void _start(void)
{
#if defined(__x86_64__)
	__asm__ volatile("mov $60, %eax\n\txor %edi, %edi\n\tsyscall");
#elif defined(__aarch64__)
	__asm__ volatile("mov x8, #93\n\tmov x0, #0\n\tsvc 0");
#endif
	__builtin_unreachable();
}
"""
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534:::\n",
    "etc/group": "root:x:0:\napp:x:1000:\nextra:x:2000:app\nnogroup:x:65534:\n",
    "etc/os-release": "ID=pyrt-test\n",
}


def make_rootfs(top: Path) -> Path:
    """Fill the directory `top` and give it; raise RuntimeError where busybox-static or the C compiler lacks."""
    for name in ("bin", "sbin", "usr/bin", "usr/sbin", "etc", "dev", "proc", "sys", "root", "home/app", "var", "tmp"):
        (top / name).mkdir(parents=True, exist_ok=True)
    (top / "tmp").chmod(0o1777)
    for name, text in _FILES.items():
        (top / name).write_text(text)
    _install_busybox(top)
    _compile_nop(top / "bin/nop")
    return top


def _install_busybox(top: Path) -> None:
    source = shutil.which("busybox", path="/bin:/usr/bin")
    if source is None:
        raise RuntimeError("busybox is not on PATH: apt-get install busybox-static")
    program = top / "bin/busybox"
    shutil.copy(source, program)
    if _needs_a_loader(program.read_bytes()):
        raise RuntimeError(f"{source} is not static: apt-get install busybox-static")
    applets = subprocess.run([source, "--list-full"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        link = top / applet
        if not link.exists() and link.parent.is_dir():
            link.symlink_to(os.path.relpath(program, link.parent))


def _needs_a_loader(elf: bytes) -> bool:
    """Say whether a 64-bit ELF file has a program header of type PT_INTERP (3)."""
    offset = int.from_bytes(elf[0x20:0x28], sys.byteorder)
    size, count = (int.from_bytes(elf[at : at + 2], sys.byteorder) for at in (0x36, 0x38))
    starts = range(offset, offset + size * count, size)
    return any(int.from_bytes(elf[start : start + 4], sys.byteorder) == 3 for start in starts)


def _compile_nop(program: Path) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise RuntimeError("no C compiler is on PATH: apt-get install gcc libc6-dev")
    command = [compiler, "-Os", "-static", "-nostdlib", "-Wl,--build-id=none", "-x", "c", "-", "-o", str(program)]
    subprocess.run(command, input=_NOP, text=True, check=True)
