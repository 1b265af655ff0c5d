"""What a host can give: each gate is probed once, and says why it is shut.

`@pytest.mark.needs("root", "overlay")` skips a test where one of its gates is shut, and fails it where the environment
variable PYRT_MUST_WORK (names, separated by commas) says that this gate must be open here. `--only-needs=GATE` runs
only the tests that ask for GATE.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import getpass
import os
import platform
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pyrt._native.mount import idmapped
from pyrt.errors import PyrtError
from pyrt.runtime.cgroups import Layout
from pyrt.runtime.rootless import UserNamespaces, own_mappings

__all__ = ["GATES", "GET_KEYRING_ID", "SESSION_KEYRING", "SYS_KEYCTL", "must_work", "postgres_directory", "why_shut"]

_SYS_LANDLOCK_CREATE_RULESET = 444
SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}
GET_KEYRING_ID, SESSION_KEYRING = 0, -3  # keyctl(2)
_CAP_SYS_ADMIN = 21
_CAP_SYS_RESOURCE = 24
_FS_IOC_SETFLAGS, _FS_IMMUTABLE = 0x40086602, 0x10


def must_work() -> frozenset[str]:
    """Give the gates that must be open on this host; raise ValueError for a name that is none."""
    names = frozenset(filter(None, os.environ.get("PYRT_MUST_WORK", "").split(",")))
    if unknown := names - GATES.keys():
        raise ValueError(f"PYRT_MUST_WORK names no gate: {', '.join(sorted(unknown))}; gates are {', '.join(GATES)}")
    return names


@functools.cache
def why_shut(gate: str) -> str | None:
    """Give the reason why a gate is shut, or None where it is open."""
    return GATES[gate]()


def _on_path(*programs: str) -> Callable[[], str | None]:
    def probe() -> str | None:
        missing = [program for program in programs if shutil.which(program) is None]
        return f"not on PATH: {', '.join(missing)}" if missing else None

    return probe


def postgres_directory() -> Path | None:
    """Give the directory of PostgreSQL's programs as Debian lays them out, of the newest version; None without."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


def _postgres() -> str | None:
    return None if postgres_directory() else "there is no /usr/lib/postgresql/*/bin/initdb"


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        return f"{command[0]} is not on PATH"
    return None if done.returncode == 0 else f"`{' '.join(command)}` says {done.stderr.strip() or done.returncode}"


def _status(field: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")), "")


def _root() -> str | None:
    if os.geteuid() != 0:
        return "the tests run as an ordinary user"
    return None if int(_status("CapEff"), 16) >> _CAP_SYS_ADMIN & 1 else "uid 0 has no CAP_SYS_ADMIN here"


def _unshare(*flags: str) -> list[str]:
    return ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), *flags]


def _overlay() -> str | None:
    with tempfile.TemporaryDirectory(prefix="pyrt-gate-") as top:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{top}/{name}")
        options = f"lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work"
        options += "" if os.geteuid() == 0 else ",userxattr"
        return _run(*_unshare("--mount"), "mount", "-t", "overlay", "overlay", "-o", options, f"{top}/merged")


def _cgroup_v1() -> str | None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    points = [fields[1] for fields in mounts if fields[2] == "cgroup" and "pids" in fields[3].split(",")]
    if not points:
        return "no v1 hierarchy has the pids controller"
    return None if os.access(points[0], os.W_OK) else f"{points[0]} is not writable"


def _cgroup_v2() -> str | None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    point = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if point is None:
        return "no cgroup2 file system is mounted"
    own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"), "/")
    group = Path(point) if os.geteuid() == 0 else Path(point, own.lstrip("/"))
    lacking = {"cpu", "memory", "pids"} - set((group / "cgroup.controllers").read_text().split())
    if lacking:
        return f"{group} has no controller {', '.join(sorted(lacking))}"
    return None if os.access(group, os.W_OK) else f"{group} is not delegated to this user"


def _pids_limit() -> str | None:
    hierarchies = Layout.detect().hierarchies
    if any(each.base is not None and "pids" in each.controllers for each in hierarchies):
        return None
    return "in no hierarchy with the controller pids this user may make a cgroup"


def _landlock() -> str | None:
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(ctypes.c_long(_SYS_LANDLOCK_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return None if version >= 1 else f"landlock_create_ruleset: {os.strerror(ctypes.get_errno())}"


def _seccomp() -> str | None:
    return None if _status("Seccomp") else "the kernel has no seccomp"


def _newuidmap() -> str | None:
    names = {getpass.getuser(), str(os.geteuid())}
    for program, ranges in (("newuidmap", "/etc/subuid"), ("newgidmap", "/etc/subgid")):
        if shutil.which(program) is None:
            return f"{program} is not on PATH"
        lines = Path(ranges).read_text().splitlines() if os.path.exists(ranges) else []
        if not any(line.split(":")[0] in names for line in lines):
            return f"{ranges} has no range for {' or '.join(sorted(names))}"
    return None


def _other_ids() -> str | None:
    return None if os.geteuid() == 0 else _newuidmap()


def _exists(path: str) -> str | None:
    return None if os.path.exists(path) else f"there is no {path}"


def _block_devices() -> list[Path]:
    return [path for path in Path("/dev").iterdir() if path.is_block_device()]


def _has_capability(name: str, number: int) -> str | None:
    return f"this process has CAP_{name}" if int(_status("CapEff"), 16) >> number & 1 else None


def _every_capability() -> str | None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return "this process may have every capability" if int(_status("CapBnd"), 16) == (2 << last) - 1 else None


def _hard_nproc() -> str | None:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return "the number of processes has no hard limit" if hard == resource.RLIM_INFINITY else None


def _session_keyring() -> str | None:
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(SYS_KEYCTL[platform.machine()], GET_KEYRING_ID, SESSION_KEYRING, 1)
    return None if found >= 0 else f"keyctl: {os.strerror(ctypes.get_errno())}"


def _exit_status_is_kept() -> str | None:
    is_new = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)
    return None if is_new else "before Linux 6.15 a pidfd forgets the status of a child that others have reaped"


def _dev_shm() -> str | None:
    if not os.path.isdir("/dev/shm"):
        return "there is no /dev/shm"
    own = os.stat("/dev/shm").st_dev != os.stat(tempfile.gettempdir()).st_dev
    return None if own else "/dev/shm is no file system of its own"


def _idmapped_host() -> str | None:
    """A user namespace of root shows the host's files by idmapped mounts; an ordinary user's needs none."""
    if os.geteuid() != 0:
        return None
    with UserNamespaces() as namespaces:
        for directory in ("/etc", sys.prefix):
            try:
                os.close(idmapped(directory, namespaces.get(own_mappings())))
            except PyrtError as error:
                return str(error)
    return None


def _immutable_files() -> str | None:
    with tempfile.NamedTemporaryFile() as file:
        try:
            fcntl.ioctl(file.fileno(), _FS_IOC_SETFLAGS, struct.pack("l", _FS_IMMUTABLE))
        except OSError as e:
            return f"no file of {tempfile.gettempdir()} can be made immutable: {e.strerror}"
        fcntl.ioctl(file.fileno(), _FS_IOC_SETFLAGS, struct.pack("l", 0))
        return None


def _libseccomp() -> str | None:
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError as e:
        return str(e)
    return None


def _vm() -> str | None:
    return None if os.environ.get("VM_RUN") == "1" else "the tests do not run inside a throw-away virtual machine"


def _sse4_2() -> str | None:
    flags = Path("/proc/cpuinfo").read_text().split()
    return None if "sse4_2" in flags else "the processor has no SSE4.2"


GATES: dict[str, Callable[[], str | None]] = {
    "root": _root,
    "ordinary_user": lambda: "the tests run as root" if os.geteuid() == 0 else None,
    "other_ids": _other_ids,
    "no_sys_resource": lambda: _has_capability("SYS_RESOURCE", _CAP_SYS_RESOURCE),
    "fewer_capabilities": _every_capability,
    "hard_nproc": _hard_nproc,
    "block_device": lambda: None if _block_devices() else "no block device is in /dev",
    "session_keyring": _session_keyring,
    "memfd_noexec": lambda: _exists("/proc/sys/vm/memfd_noexec"),
    "exit_status_is_kept": _exit_status_is_kept,
    "dev_shm": _dev_shm,
    "idmapped_host": _idmapped_host,
    "immutable_files": _immutable_files,
    "userns": lambda: _run("unshare", "--user", "--map-root-user", "true"),
    "overlay": _overlay,
    "net": lambda: _run(*_unshare("--net"), "true"),
    "cgroup_v1": _cgroup_v1,
    "cgroup_v2": _cgroup_v2,
    "pids_limit": _pids_limit,
    "landlock": _landlock,
    "seccomp": _seccomp,
    "newuidmap": _newuidmap,
    "libseccomp": _libseccomp,
    "docker": _on_path("docker", "dockerd"),
    "podman": _on_path("podman"),
    "crun": _on_path("crun"),
    "runc": _on_path("runc"),
    "bwrap": _on_path("bwrap"),
    "bsdtar": _on_path("bsdtar"),
    "docker-registry": _on_path("docker-registry"),
    "skopeo": _on_path("skopeo"),
    "umoci": _on_path("umoci"),
    "postgres": _postgres,
    "sse4_2": _sse4_2,
    "vm": _vm,
}
