"""User namespaces: which ids map to which, and the namespaces made from that.

Takes the user, the texts of /etc/subuid and /etc/subgid (subuid(5)) and what the caller asks for; gives IdMappings,
decided by a pure function, and descriptors of namespaces, one for each mapping and made once.
"""

from __future__ import annotations

import errno
import os
import threading
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from pyrt._native.userns import UserNamespace, probe_overlay
from pyrt.errors import InvalidOption, SyscallError, Unsupported
from pyrt.oci.spec import IdMapping

__all__ = ["IdMappings", "UserNamespaces", "mappings", "own_mappings", "subordinate_ids"]

AUTO_FIRST = 0x6FFF0000  # the last block of the range that systemd's users-groups document keeps for containers
AUTO_SIZE = 65536
MAX_ID = 2**32 - 2  # (uid_t)-1 means "no change" to the system calls
MAX_LINES = 340  # user_namespaces(7), since Linux 4.15
_HELPERS = {"newuidmap": "uid_map", "newgidmap": "gid_map"}
_REFUSED = frozenset({errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS, errno.EINVAL, errno.ENOSYS})
_SWITCHES = (
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=16384"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,` for this program",
    ),
)


@dataclass(frozen=True, slots=True)
class IdMappings:
    """The maps of one user namespace; `helpers` says that newuidmap(1) and newgidmap(1) must write them."""

    uids: tuple[IdMapping, ...]
    gids: tuple[IdMapping, ...]
    helpers: bool = False


def subordinate_ids(text: str, names: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Give the (first, count) ranges that /etc/subuid or /etc/subgid has for any of `names` (a login, a decimal uid).

    Lines that are not `name:first:count` give nothing, as with newuidmap(1); of overlapping ranges the first counts.
    """
    wanted = frozenset(names)
    found: list[tuple[int, int]] = []
    for line in text.splitlines():
        name, *numbers = line.strip().split(":")
        if name not in wanted or len(numbers) != 2 or not all(n.isascii() and n.isdigit() for n in numbers):
            continue
        first, count = int(numbers[0]), int(numbers[1])
        overlaps = any(first < start + size and start < first + count for start, size in found)
        if count and first + count - 1 <= MAX_ID and not overlaps:
            found.append((first, count))
    return tuple(found)


def mappings(
    uid: int,
    gid: int,
    *,
    names: Iterable[str] = (),
    subuid: str = "",
    subgid: str = "",
    helpers: bool = False,
    own_uid_map: str = "0 0 4294967295",
    asked: tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]] | None = None,
) -> IdMappings:
    """Decide the maps for the user `uid`:`gid` and the texts of /etc/subuid and /etc/subgid.

    `names` are how those files may call the user; `helpers` says whether newuidmap(1) and newgidmap(1) can be used;
    `own_uid_map` is /proc/self/uid_map; `asked` are maps of uids and of gids that are taken as they are. Root gets its
    ranges, or 65536 ids that nobody else has. A user becomes root inside and has its ranges from 1 on, or is alone.
    Raises InvalidOption.
    """
    alone = IdMappings((IdMapping(0, uid, 1),), (IdMapping(0, gid, 1),))
    names = tuple(names)
    if asked is not None:
        _check(asked[0], "uid_mappings")
        _check(asked[1], "gid_mappings")
        return IdMappings(*asked, helpers=uid != 0 and not _is_alone(asked, uid, gid))
    uids, gids = subordinate_ids(subuid, names), subordinate_ids(subgid, names)
    if uid == 0:
        ranges = (_lined_up(uids, 0), _lined_up(gids, 0)) if uids and gids else (_auto(own_uid_map),) * 2
        return IdMappings(*ranges)
    uids, gids = _without(uids, uid), _without(gids, gid)
    if not helpers or not uids or not gids:
        return alone
    return IdMappings(alone.uids + _lined_up(uids, 1), alone.gids + _lined_up(gids, 1), helpers=True)


def own_mappings(asked: tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]] | None = None) -> IdMappings:
    """Decide the maps for who runs this process: reads /etc/subuid and /etc/subgid and looks for newuidmap(1)."""
    import pwd
    import shutil

    uid, gid = os.geteuid(), os.getegid()
    names = [str(uid)]
    with suppress(KeyError):  # a uid without a name has its ranges by number
        names.append(pwd.getpwuid(uid).pw_name)
    return mappings(
        uid,
        gid,
        names=names,
        subuid=_text("/etc/subuid"),
        subgid=_text("/etc/subgid"),
        helpers=all(_is_privileged(shutil.which(program)) for program in _HELPERS),
        own_uid_map=_text("/proc/self/uid_map"),
        asked=asked,
    )


class UserNamespaces:
    """The user namespaces of one Engine: made when first asked for, kept by their descriptors, closed with it.

    Thread-safe. A child process after fork(2) may go on using them; closing there does not disturb the parent.
    """

    def __init__(self) -> None:
        self._made: dict[IdMappings, UserNamespace] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False

    def get(self, wanted: IdMappings) -> int:
        """Give the descriptor of the namespace with these maps; it stays this object's own.

        Raises Unsupported where the host makes no user namespaces, InvalidOption where it refuses the maps.
        """
        if self._pid != os.getpid():  # another thread may have held the lock at the fork
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            if self._closed:
                raise ValueError("the user namespaces are closed")
            made = self._made.get(wanted)
            if made is None:
                made = self._made[wanted] = _make(wanted)
            return made.fileno()

    def close(self) -> None:
        """Close all descriptors; a second call does nothing."""
        self._closed = True
        while self._made:
            self._made.popitem()[1].close()

    def __enter__(self) -> UserNamespaces:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._made:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()


def _make(wanted: IdMappings) -> UserNamespace:
    try:
        made = UserNamespace()
    except SyscallError as e:
        if e.errno in _REFUSED:
            raise Unsupported("user namespaces", _reason(e)) from e
        raise
    try:
        _map(made, wanted)
        made.seal()
        # AppArmor's switch lets the namespace come to be and takes its capabilities away: only use tells.
        if os.geteuid() != 0 and _text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").strip() == "1":
            _use(made)
    except BaseException:
        made.close()
        raise
    return made


def _map(made: UserNamespace, wanted: IdMappings) -> None:
    if wanted.helpers:
        for program, lines in zip(_HELPERS, (wanted.uids, wanted.gids), strict=True):
            _run_helper(program, made.pid, lines)
        return
    try:
        if os.geteuid() != 0:  # user_namespaces(7): without CAP_SETGID, gids are mapped only once this is denied
            made.write("setgroups", b"deny")
        made.write("uid_map", _lines(wanted.uids))
        made.write("gid_map", _lines(wanted.gids))
    except SyscallError as e:
        shown = f"{_lines(wanted.uids).decode().strip()!r} and {_lines(wanted.gids).decode().strip()!r}"
        raise InvalidOption(f"the kernel refuses the maps {shown}: {e}", argument="userns_mode") from e


def _run_helper(program: str, pid: int, lines: tuple[IdMapping, ...]) -> None:
    numbers = [str(number) for line in lines for number in (line.container_id, line.host_id, line.size)]
    # Not subprocess: a child that another thread forks just then would hold its pipe for errors open, and us up.
    with open(os.devnull, "r+b", 0) as null, open(os.memfd_create(program), "w+") as stderr:
        streams = [(os.POSIX_SPAWN_DUP2, file.fileno(), fd) for fd, file in enumerate((null, null, stderr))]
        code = _exit_code(os.posix_spawnp(program, [program, str(pid), *numbers], os.environ, file_actions=streams))
        stderr.seek(0)
        said = stderr.read().strip() or f"exit status {code}"
    is_written = code == 0 or (code is None and _text(f"/proc/{pid}/{_HELPERS[program]}"))
    if not is_written:
        files = "/etc/subuid" if program == "newuidmap" else "/etc/subgid"
        raise InvalidOption(f"{program} refuses the maps: {said}; {files} says what it allows", argument="userns_mode")


def _exit_code(pid: int) -> int | None:
    """Wait for a child; None where the host program, which waits for any child, has been quicker."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None


def _use(made: UserNamespace) -> None:
    try:
        probe_overlay(None, made.fileno())
    except SyscallError as e:
        raise Unsupported("user namespaces", _reason(e)) from e


def _reason(failure: SyscallError, sysctls: str = "/proc/sys") -> str:
    """Say which switch of the host refuses user namespaces, and how it is set."""
    for name, bad, mend in _SWITCHES:
        if _text(f"{sysctls}/{name}").strip() == bad:
            return f"{failure}: {name.replace('/', '.')} is {bad}; as root: {mend}"
    if failure.errno == errno.ENOSPC:
        return f"{failure}: user.max_user_namespaces are in use; as root: sysctl user.max_user_namespaces=16384"
    if failure.errno == errno.EUSERS:
        return f"{failure}: user namespaces are nested 32 deep"
    if failure.errno == errno.EINVAL:
        return f"{failure}: the kernel is built without CONFIG_USER_NS"
    if _field("/proc/self/status", "Seccomp") == "2":
        return f"{failure}: a seccomp filter around this process forbids them; allow clone and unshare of CLONE_NEWUSER"
    return f"{failure}: a security module, or a chroot around this process, forbids them"


def _auto(own_map: str) -> tuple[IdMapping, ...]:
    """Map ids that nobody else has; where this process does not have them itself, those that it has, one to one."""
    extents = [tuple(map(int, line.split())) for line in own_map.splitlines() if line.split()]
    if any(first <= AUTO_FIRST and first + size >= AUTO_FIRST + AUTO_SIZE for first, _, size in extents):
        return (IdMapping(0, AUTO_FIRST, AUTO_SIZE),)
    return tuple(IdMapping(first, first, size) for first, _, size in extents)


def _lined_up(ranges: Iterable[tuple[int, int]], start: int) -> tuple[IdMapping, ...]:
    lines = []
    for first, count in list(ranges)[: MAX_LINES - 1]:
        size = min(count, MAX_ID + 1 - start)
        if size > 0:
            lines.append(IdMapping(start, first, size))
        start += size
    return tuple(lines)


def _without(ranges: Iterable[tuple[int, int]], own: int) -> tuple[tuple[int, int], ...]:
    """Leave out the ranges with the user's own id: it is mapped already, and the kernel refuses an id mapped twice."""
    return tuple((first, count) for first, count in ranges if not first <= own < first + count)


def _is_alone(asked: tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]], uid: int, gid: int) -> bool:
    return all(len(m) == 1 and (m[0].host_id, m[0].size) == (own, 1) for m, own in zip(asked, (uid, gid), strict=True))


def _check(lines: tuple[IdMapping, ...], argument: str) -> None:
    if not 0 < len(lines) <= MAX_LINES:
        raise InvalidOption(f"1 to {MAX_LINES} ranges are needed, not {len(lines)}", argument=argument)
    for line in lines:
        if line.size < 1 or min(line.container_id, line.host_id) < 0:
            raise InvalidOption(f"{line} is no range of ids", argument=argument)
        if max(line.container_id, line.host_id) + line.size - 1 > MAX_ID:
            raise InvalidOption(f"{line} goes beyond the highest id, {MAX_ID}", argument=argument)
    for side in ("container_id", "host_id"):
        starts = sorted((getattr(line, side), line.size) for line in lines)
        for (first, size), (second, _) in pairwise(starts):
            if first + size > second:
                raise InvalidOption(f"id {second} is mapped twice ({side})", argument=argument)


def _lines(lines: tuple[IdMapping, ...]) -> bytes:
    return "".join(f"{line.container_id} {line.host_id} {line.size}\n" for line in lines).encode()


def _is_privileged(program: str | None) -> bool:
    """Say whether a program is set-user-ID or has file capabilities, without which it can write no maps."""
    if program is None:
        return False
    if os.stat(program).st_mode & 0o4000:
        return True
    try:
        return bool(os.getxattr(program, "security.capability"))
    except OSError:
        return False


def _field(path: str, name: str) -> str:
    lines = _text(path).splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), "")


def _text(path: str) -> str:
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
