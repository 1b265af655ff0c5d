"""Make what the benchmarks run: a root file system, the floor program, OCI bundles; and remove every trace of a run.

Everything lies in one temporary directory, whose name also begins the name of each cgroup that a benchmark makes, so
that what a run made can be told apart from all else and removed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Missing

__all__ = ["ARCHITECTURES", "MEMORY_BYTES", "PIDS", "Fixtures", "fixtures", "seccomp_filter", "seccomp_profile", "spec"]

MEMORY_BYTES = 256 << 20
PIDS = 64
ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32")  # those that Docker filters on x86-64

_NOP = """
__attribute__((noreturn)) void _start(void)
{
	__asm__ volatile("syscall" : : "a"(60), "D"(0) : "rcx", "r11", "memory");
	__builtin_unreachable();
}
"""
_PROFILES = ("/usr/share/containers/seccomp.json", "/etc/containers/seccomp.json")
_CAPABILITIES = """
    CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_NET_BIND_SERVICE
    CAP_NET_RAW CAP_SYS_CHROOT CAP_MKNOD CAP_AUDIT_WRITE CAP_SETFCAP
"""
_MASKED = (
    "/proc/acpi /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug "
    "/proc/scsi /sys/firmware"
)
_READ_ONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"


@dataclass(frozen=True, slots=True)
class Fixtures:
    """The directory of a run: `rootfs` holds /bin/nop (a static "exit 0") and busybox, `floor` is floor.c compiled."""

    top: Path

    @property
    def name(self) -> str:
        """The prefix of every cgroup that this run makes."""
        return self.top.name

    @property
    def rootfs(self) -> Path:
        """The root file system, never written by a benchmark."""
        return self.top / "rootfs"

    @property
    def nop(self) -> Path:
        """The program that every container runs."""
        return self.rootfs / "bin/nop"

    @property
    def floor(self) -> Path:
        """The program of floor.c."""
        return self.top / "floor"

    def archive(self) -> Path:
        """Give the root file system as a tar file, for engines that import images."""
        path = self.top / "rootfs.tar"
        if not path.exists():
            with tarfile.open(path, "w") as archive:
                archive.add(self.rootfs, arcname=".")
        return path

    def bundle(self, name: str, root: Path, architectures: Sequence[str]) -> Path:
        """Write an OCI bundle whose root is the directory `root`, and give its path; its cgroup has the same name."""
        path = self.top / re.sub(r"[^a-z0-9]+", "-", f"bundle {name}")
        path.mkdir()
        config = spec(str(root), f"/{self.name}/{path.name}", seccomp_filter(seccomp_profile(), architectures))
        (path / "config.json").write_text(json.dumps(config))
        return path


@contextmanager
def fixtures(directory: Path | None = None) -> Iterator[Fixtures]:
    """Make the fixtures and remove them at the end, with the cgroups of the run; raise Missing without a compiler.

    They lie in a new directory below `directory`; None: where temporary files are.
    """
    made = Fixtures(Path(tempfile.mkdtemp(prefix="pyrt-bench-", dir=directory)))
    try:
        _fill_rootfs(made)
        source = Path(__file__).with_name("floor.c")
        _compile(["-std=gnu11", "-O2", "-D_GNU_SOURCE", "-pthread", "-o", str(made.floor), str(source)])
        yield made
    finally:
        _remove_cgroups(made.name)
        shutil.rmtree(made.top)


def seccomp_profile() -> dict[str, Any]:
    """Read the default profile that the distribution ships for its engines, in Docker's form; raise Missing without."""
    for path in _PROFILES:
        if os.path.exists(path):
            profile: dict[str, Any] = json.loads(Path(path).read_text())
            return profile
    raise Missing(f"no default seccomp profile at {' or '.join(_PROFILES)} (package golang-github-containers-common)")


def spec(root: str, cgroup: str, seccomp: Mapping[str, Any]) -> dict[str, Any]:
    """Give the config.json of a container as isolated as Docker's default: see runtime-spec, config-linux.md."""
    capabilities = dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES.split())
    kinds = ("mount", "pid", "uts", "ipc", "network", "cgroup")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": ["/bin/nop"],
            "cwd": "/",
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": capabilities,
        },
        "root": {"path": root},
        "hostname": "bench",
        "mounts": _mounts(),
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            "cgroupsPath": cgroup,
            "resources": {
                "devices": _device_rules(),
                "memory": {"limit": MEMORY_BYTES},
                "pids": {"limit": PIDS},
            },
            "maskedPaths": _MASKED.split(),
            "readonlyPaths": _READ_ONLY.split(),
            "seccomp": seccomp,
        },
    }


def seccomp_filter(profile: Mapping[str, Any], architectures: Sequence[str] = ARCHITECTURES) -> dict[str, Any]:
    """Turn a profile of Docker's form into the runtime-spec's, for x86-64 and the default capabilities."""
    held = frozenset(_CAPABILITIES.split())

    def applies(rule: Mapping[str, Any]) -> bool:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        needed, refused = includes.get("caps") or [], excludes.get("caps") or []
        arches = includes.get("arches") or ["amd64"]
        return held.issuperset(needed) and held.isdisjoint(refused) and "amd64" in arches

    keys = ("names", "action", "args", "errnoRet")
    rules = [{key: rule[key] for key in keys if rule.get(key)} for rule in profile["syscalls"] if applies(rule)]
    made: dict[str, Any] = {"defaultAction": profile["defaultAction"], "syscalls": rules}
    made["architectures"] = list(architectures)
    return made | ({"defaultErrnoRet": profile["defaultErrnoRet"]} if "defaultErrnoRet" in profile else {})


def _mounts() -> list[dict[str, Any]]:
    locked = ["nosuid", "noexec", "nodev"]
    shm = [*locked, "mode=1777", "size=65536k"]
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    table: list[tuple[str, str, str, list[str]]] = [
        ("/proc", "proc", "proc", locked),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", "devpts", pts),
        ("/dev/shm", "tmpfs", "shm", shm),
        ("/dev/mqueue", "mqueue", "mqueue", locked),
        ("/sys", "sysfs", "sysfs", [*locked, "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", [*locked, "ro"]),
    ]
    return [
        {"destination": where, "type": kind, "source": source, "options": how} for where, kind, source, how in table
    ]


def _device_rules() -> list[dict[str, Any]]:
    nodes = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)]
    allowed = [{"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"} for major, minor in nodes]
    ptys = {"allow": True, "type": "c", "major": 136, "access": "rwm"}
    any_node = [{"allow": True, "type": kind, "access": "m"} for kind in "bc"]
    return [{"allow": False, "access": "rwm"}, *any_node, *allowed, ptys]


def _fill_rootfs(made: Fixtures) -> None:
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
        (made.rootfs / name).mkdir(parents=True)
    (made.rootfs / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (made.rootfs / "etc/group").write_text("root:x:0:\n")
    source = made.top / "nop.c"
    source.write_text(_NOP)
    _compile(["-Os", "-static", "-nostdlib", "-o", str(made.nop), str(source)])
    busybox = shutil.which("busybox")
    if busybox is None:
        raise Missing("busybox is not on PATH (Debian's package busybox-static)")
    shutil.copy(busybox, made.rootfs / "bin/busybox")
    for name in ("sh", "sleep"):
        os.link(made.rootfs / "bin/busybox", made.rootfs / "bin" / name)


def _compile(arguments: list[str]) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Missing("no C compiler on PATH")
    subprocess.run([compiler, *arguments], check=True)


def _remove_cgroups(prefix: str) -> None:
    """Remove the run's cgroups in every hierarchy, leaves first; a last member may take a moment to be gone."""
    deadline = time.monotonic() + 5
    for top in (path for mount in _hierarchies() for path in mount.glob(f"{prefix}*")):
        for directory, _, _ in os.walk(top, topdown=False):
            while True:
                try:
                    os.rmdir(directory)
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)


def _hierarchies() -> list[Path]:
    fields = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(entry[1]) for entry in fields if entry[2] in ("cgroup", "cgroup2")]
