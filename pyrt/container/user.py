"""Who a container's program runs as: names and numbers, looked up in the image's own /etc/passwd and /etc/group.

Takes a way to open what is in the image and Docker's `user` (name, uid, name:group, uid:gid), gives numbers and the
home directory. The image's files are untrusted: they must be regular files of a bounded size, and lines that are not
passwd(5) or group(5) are passed over. Nothing of the host's own users is asked.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyrt.container.spec import Identity
from pyrt.errors import InvalidArgument, SyscallError
from pyrt.oci.spec import User

__all__ = ["resolve_user"]

Open = Callable[[str], int]

MAX_FILE_BYTES = 1 << 20
MAX_ID = 2**31 - 1  # Docker's limit, which leaves out (uid_t)-1
MAX_GROUPS = 65536  # NGROUPS_MAX of the kernel
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of passwd (`gid` and `home` are the user's) or of group (`members` are names)."""

    name: str
    id: int
    gid: int = 0
    home: str = ""
    members: tuple[str, ...] = ()


def resolve_user(open_path: Open, user: str, group_add: Iterable[str] = ()) -> Identity:
    """Look up `user` and the groups `group_add` (names or numbers) in the image.

    `open_path` gives an O_PATH descriptor of what a path of the image leads to, or raises SyscallError.
    "" is root. Digits are always a number; a number need not be in the image and then has group 0, a name must be.
    Without a group the user's own counts and all that list it as a member; with one, that one alone. The additional
    groups begin with the group itself, for a process could otherwise lose it and with it what is denied to the group.
    Raises InvalidArgument(argument="user" or "group_add"), also where the image's files cannot be believed.
    """
    name, _, group = user.partition(":")
    if "\0" in user or ":" in group:
        raise InvalidArgument(f"{user!r} is not of the form name, uid, name:group or uid:gid", argument="user")
    found = _find(_read(open_path, "/etc/passwd", _passwd), name or "0", "user", "user", "/etc/passwd")
    groups = _read(open_path, "/etc/group", _group)
    gid = _find(groups, group, "user", "group", "/etc/group").id if group else found.gid
    more = [] if group or not found.name else [entry.id for entry in groups if found.name in entry.members]
    more += [_find(groups, added, "group_add", "group", "/etc/group").id for added in group_add]
    additional = tuple(dict.fromkeys([gid, *more]))
    if len(additional) > MAX_GROUPS:
        message = f"{user!r} is in {len(additional)} groups, and a process has at most {MAX_GROUPS}"
        raise InvalidArgument(message, argument="user")
    return Identity(User(found.id, gid, additional_gids=additional), found.home or "/")


def _find(entries: tuple[_Entry, ...], wanted: str, argument: str, kind: str, file: str) -> _Entry:
    if not _is_number(wanted):
        for entry in entries:
            if entry.name == wanted:
                return entry
        raise InvalidArgument(f"there is no {kind} {wanted!r} in the image's {file}", argument=argument)
    number = _id(wanted)
    if number is None:
        raise InvalidArgument(f"{wanted} is not between 0 and {MAX_ID}", argument=argument)
    return next((entry for entry in entries if entry.id == number), _Entry("", number))


def _read(open_path: Open, path: str, parse: Callable[[list[str]], _Entry | None]) -> tuple[_Entry, ...]:
    text = _text(open_path, path)
    entries = (parse(line.split(":")) for line in text.split("\n") if not line.startswith("#"))
    return tuple(entry for entry in entries if entry is not None)


def _text(open_path: Open, path: str) -> str:
    """Read a file of the image, "" where there is none. What is no regular file is not opened: that could hang."""
    try:
        place = open_path(path)
    except SyscallError as e:
        if e.errno in _ABSENT:
            return ""
        raise InvalidArgument(f"the image's {path} cannot be opened: {e}", argument="user") from e
    try:
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidArgument(f"the image's {path} is not a regular file", argument="user")
        if status.st_size > MAX_FILE_BYTES:
            message = f"the image's {path} has {status.st_size} bytes, more than {MAX_FILE_BYTES}"
            raise InvalidArgument(message, argument="user")
        with open(f"/proc/self/fd/{place}", "rb") as file:
            return file.read(MAX_FILE_BYTES).decode("utf-8", "surrogateescape")
    except OSError as e:
        raise InvalidArgument(f"the image's {path} cannot be read: {e.strerror}", argument="user") from e
    finally:
        os.close(place)


def _passwd(fields: list[str]) -> _Entry | None:
    if len(fields) != 7:
        return None
    uid, gid = _id(fields[2]), _id(fields[3])
    home = fields[5] if fields[5].startswith("/") and "\0" not in fields[5] else ""
    return None if uid is None or gid is None or not fields[0] else _Entry(fields[0], uid, gid, home)


def _group(fields: list[str]) -> _Entry | None:
    gid = _id(fields[2]) if len(fields) == 4 else None
    return None if gid is None or not fields[0] else _Entry(fields[0], gid, members=tuple(fields[3].split(",")))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _id(text: str) -> int | None:
    if not _is_number(text) or len(text) > 10:
        return None
    return int(text) if int(text) <= MAX_ID else None
