"""Hand out compiled filters, each compiled once.

Takes a profile and the capabilities of a container, gives a Program. A program is kept in memory and, given a
directory, in a file named by all it depends on (a custom profile by its SHA-256), so that a process that starts does
not compile either. A file that is damaged, not ours or writable by others counts as absent. A cache that cannot be
written costs time, not correctness, and is no error.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import stat
import struct
import sys
import threading
from dataclasses import dataclass

from pyrt.errors import InvalidOption
from pyrt.runtime.capabilities import mask

__all__ = ["UNCONFINED", "Filters", "Program", "read_profile"]

UNCONFINED = b"unconfined"  # the profile that is no filter

_GENERATION = 2  # raise when the compiler, the tables or the default profile give other programs than before
_MAGIC = b"pyrtbpf2"
_HEADER = struct.Struct("=8sII")  # magic, flags, checksum
_MAX_PROFILE_BYTES = 1 << 20
_MAX_PROGRAM_BYTES = 8 * 4096
_KEPT = 64
_SPELLINGS = {
    "i386": "i686",
    "i486": "i686",
    "i586": "i686",
    "armv6l": "armv7l",
    "armv8l": "armv7l",
    "arm64": "aarch64",
}


@dataclass(frozen=True, slots=True)
class Program:
    """What seccomp(2) takes: an array of struct sock_filter in host byte order, and SECCOMP_FILTER_FLAG_* flags."""

    code: bytes
    flags: int = 0

    @property
    def instructions(self) -> int:
        """The length that struct sock_fprog wants."""
        return len(self.code) // 8


class Filters:
    """The filters of one engine. Safe for use by several threads and, on one directory, by several processes."""

    def __init__(
        self,
        cache_dir: str | os.PathLike[str] | None = None,
        *,
        machine: str | None = None,
        kernel: tuple[int, int] | None = None,
    ) -> None:
        system = os.uname()
        self._cache_dir = None if cache_dir is None else os.fspath(cache_dir)
        self._machine = machine or _native(system.machine)
        self._kernel = kernel or _version(system.release)
        self._programs: dict[tuple[bytes | None, frozenset[str]], Program] = {}
        self._lock = threading.Lock()

    def program(self, profile: bytes | None = None, capabilities: frozenset[str] = frozenset()) -> Program | None:
        """Return the filter for a profile, or None for UNCONFINED.

        `profile` is JSON in Docker's or in OCI form, None the default one; `capabilities` is the container's bounding
        set. Raises InvalidSpec naming the place in the profile, Unsupported for what this machine cannot have.
        """
        if profile == UNCONFINED:
            return None
        found = self._programs.get((profile, capabilities))
        if found is None:
            found = self._load_or_compile(profile, capabilities)
            with self._lock:
                if len(self._programs) >= _KEPT:
                    del self._programs[next(iter(self._programs))]
                self._programs[profile, capabilities] = found
        return found

    def document(self, profile: bytes | None = None, capabilities: frozenset[str] = frozenset()) -> bytes | None:
        """Return the OCI document that stands for a profile in config.json, or None for UNCONFINED."""
        from pyrt.runtime.seccomp.profile import oci_document

        if profile == UNCONFINED:
            return None
        return oci_document(profile, capabilities=capabilities, kernel=self._kernel, machine=self._machine)

    def _load_or_compile(self, profile: bytes | None, capabilities: frozenset[str]) -> Program:
        path = None if self._cache_dir is None else f"{self._cache_dir}/{self._name(profile, capabilities)}"
        found = None if path is None else _load(path)
        if found is None:
            found = self._compile(profile, capabilities)
            if path is not None:
                _save(path, found)
        return found

    def _compile(self, profile: bytes | None, capabilities: frozenset[str]) -> Program:
        from pyrt.runtime.seccomp.compiler import compile_policy  # not before: most processes find what they need
        from pyrt.runtime.seccomp.document import read
        from pyrt.runtime.seccomp.profile import oci_document

        document = oci_document(profile, capabilities=capabilities, kernel=self._kernel, machine=self._machine)
        policy = read(document)
        return Program(compile_policy(policy, self._machine), policy.flags)

    def _name(self, profile: bytes | None, capabilities: frozenset[str]) -> str:
        """Give the name of a file by all that its program depends on."""
        kind = "default"
        if profile is not None:
            import hashlib  # OpenSSL takes milliseconds to load, and the default profile needs none of it

            kind = hashlib.sha256(profile).hexdigest()
        major, minor = self._kernel
        return f"{_GENERATION}-{self._machine}-{major}.{minor}-{mask(capabilities):x}-{kind}"


def read_profile(option: str) -> bytes | None:
    """Return the profile that `--security-opt seccomp=` names, as `Filters.program` takes it.

    `unconfined`, `builtin` (the default), a profile as JSON, or the path of one. Raises InvalidOption.
    """
    if option == "unconfined":
        return UNCONFINED
    if option in ("builtin", "default"):
        return None
    if option.lstrip().startswith("{"):
        return option.encode()
    try:
        with open(option, "rb") as file:
            profile = file.read(_MAX_PROFILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidOption(
            f"cannot read the profile {option!r}: {reason}; give unconfined, builtin, a file or JSON",
            argument="seccomp",
        ) from error
    if len(profile) > _MAX_PROFILE_BYTES:
        raise InvalidOption(f"the profile {option!r} is longer than {_MAX_PROFILE_BYTES} bytes", argument="seccomp")
    return profile


def _native(machine: str) -> str:
    machine = _SPELLINGS.get(machine, machine)
    if sys.maxsize > 2**32:  # setarch(8) makes a 64-bit kernel name itself after its 32-bit side
        return {"i686": "x86_64", "armv7l": "aarch64"}.get(machine, machine)
    return machine


def _version(release: str) -> tuple[int, int]:
    major, _, rest = release.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return int(major), int(digits or 0)


def _load(path: str) -> Program | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
        content = os.read(fd, _HEADER.size + _MAX_PROGRAM_BYTES + 1) if ours else b""
    except OSError:
        return None
    finally:
        os.close(fd)
    if len(content) <= _HEADER.size:
        return None
    magic, flags, checksum = _HEADER.unpack_from(content)
    code = content[_HEADER.size :]
    if magic != _MAGIC or checksum != _checksum(path, flags, code):
        return None
    return Program(code, flags)


def _save(path: str, program: Program) -> None:
    content = _HEADER.pack(_MAGIC, program.flags, _checksum(path, program.flags, program.code)) + program.code
    directory, name = os.path.split(path)
    draft = f"{directory}/.{name}.{os.getpid()}.{threading.get_ident()}"
    with contextlib.suppress(OSError):
        os.makedirs(directory, mode=0o700, exist_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
            os.replace(draft, path)
        except OSError:
            os.unlink(draft)
            raise


def _checksum(path: str, flags: int, code: bytes) -> int:
    """Find damage, and files that were renamed; whoever may write here is us, and needs no forgery."""
    return binascii.crc32(f"{os.path.basename(path)}\0{flags}\0".encode() + code)
