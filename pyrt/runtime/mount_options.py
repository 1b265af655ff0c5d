"""The words of mount options, as mount(8) and the runtime-spec have them, as what the kernel takes.

A word is an attribute of the mount, a propagation, or it belongs to the file system's own data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["MS_PRIVATE", "MS_REC", "MountOptions", "parse"]

RDONLY, NOSUID, NODEV, NOEXEC = 0x1, 0x2, 0x4, 0x8  # MOUNT_ATTR_* of mount_setattr(2)
NOATIME, STRICTATIME, NODIRATIME, NOSYMFOLLOW = 0x10, 0x20, 0x80, 0x200000
MS_REC, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 0x4000, 1 << 17, 1 << 18, 1 << 19, 1 << 20

ATTRIBUTES = {
    "ro": RDONLY,
    "nosuid": NOSUID,
    "nodev": NODEV,
    "noexec": NOEXEC,
    "noatime": NOATIME,
    "strictatime": STRICTATIME,
    "nodiratime": NODIRATIME,
    "nosymfollow": NOSYMFOLLOW,
}
RECURSIVE_ATTRIBUTES = {f"r{word}": bit for word, bit in ATTRIBUTES.items()}
CLEARED = {"rw": RDONLY, "suid": NOSUID, "dev": NODEV, "exec": NOEXEC, "symfollow": NOSYMFOLLOW}
WITHOUT_EFFECT = {"defaults", "relatime", "rrelatime", "async", "atime", "diratime", "nomand", "rrw", "rsuid", "rdev"}
PROPAGATION = {"unbindable": MS_UNBINDABLE, "private": MS_PRIVATE, "slave": MS_SLAVE, "shared": MS_SHARED}


@dataclass(frozen=True, slots=True)
class MountOptions:
    """What a list of options says. `is_bind` comes with `is_recursive` for rbind."""

    attributes: int
    recursive_attributes: int
    propagation: int
    is_propagation_recursive: bool
    is_bind: bool
    is_recursive: bool
    data: tuple[tuple[str, str], ...]

    def packed_data(self) -> bytes:
        """Give the data as the plan holds it: key, NUL, value, NUL, …, NUL."""
        return b"".join(f"{k}\0{v}\0".encode("utf-8", "surrogateescape") for k, v in self.data) + b"\0"


def parse(options: Iterable[str]) -> MountOptions:
    """Sort the words of `options`; a later word overrides an earlier one, as in mount(8)."""
    attributes = recursive = propagation = 0
    is_propagation_recursive = is_bind = is_recursive = False
    data = []
    for option in options:
        if option in ATTRIBUTES:
            attributes |= ATTRIBUTES[option]
        elif option in CLEARED:
            attributes &= ~CLEARED[option]
        elif option in RECURSIVE_ATTRIBUTES:
            recursive |= RECURSIVE_ATTRIBUTES[option]
        elif option in ("bind", "rbind"):
            is_bind, is_recursive = True, option == "rbind"
        elif option.removeprefix("r") in PROPAGATION and option not in WITHOUT_EFFECT:
            is_propagation_recursive = option not in PROPAGATION
            propagation = PROPAGATION[option.removeprefix("r") if is_propagation_recursive else option]
        elif option and option not in WITHOUT_EFFECT:
            key, _, value = option.partition("=")
            data.append((key, value))
    return MountOptions(
        attributes, recursive, propagation, is_propagation_recursive, is_bind, is_recursive, tuple(data)
    )
