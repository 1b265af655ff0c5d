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

ATIME = 0x70  # the field that NOATIME, STRICTATIME and 0 (relatime) are values of

ATTRIBUTES = {  # what a word clears, and what it sets then
    "ro": (0, RDONLY),
    "rw": (RDONLY, 0),
    "nosuid": (0, NOSUID),
    "suid": (NOSUID, 0),
    "nodev": (0, NODEV),
    "dev": (NODEV, 0),
    "noexec": (0, NOEXEC),
    "exec": (NOEXEC, 0),
    "noatime": (ATIME, NOATIME),
    "atime": (NOATIME, 0),
    "relatime": (ATIME, 0),
    "norelatime": (0, 0),
    "strictatime": (ATIME, STRICTATIME),
    "nostrictatime": (STRICTATIME, 0),
    "nodiratime": (0, NODIRATIME),
    "diratime": (NODIRATIME, 0),
    "nosymfollow": (0, NOSYMFOLLOW),
    "symfollow": (NOSYMFOLLOW, 0),
}
RECURSIVE_ATTRIBUTES = {f"r{word}": change for word, change in ATTRIBUTES.items()}
WITHOUT_EFFECT = {"", "defaults", "async", "nomand"}
SUBDIRECTORY = "X-mount.subdir="  # mount(8)
IDMAP = "idmap"  # config.md of the runtime-spec, "mounts"
PROPAGATION = {"unbindable": MS_UNBINDABLE, "private": MS_PRIVATE, "slave": MS_SLAVE, "shared": MS_SHARED}


@dataclass(frozen=True, slots=True)
class MountOptions:
    """What a list of options says. `is_bind` comes with `is_recursive` for rbind.

    `subdirectory` is what is bound instead of the source itself: a path below it, which no link leads out of.
    `is_idmapped`: in the container's user namespace ids look as they are on disk.
    """

    attributes: int
    recursive_attributes: int
    propagation: int
    is_propagation_recursive: bool
    is_bind: bool
    is_recursive: bool
    data: tuple[tuple[str, str], ...]
    subdirectory: str = ""
    is_idmapped: bool = False

    def packed_data(self) -> bytes:
        """Give the data as the plan holds it: key, NUL, value, NUL, …, NUL."""
        return b"".join(f"{k}\0{v}\0".encode("utf-8", "surrogateescape") for k, v in self.data) + b"\0"


def parse(options: Iterable[str]) -> MountOptions:
    """Sort the words of `options`; a later word overrides an earlier one, as in mount(8)."""
    attributes = recursive = propagation = 0
    is_propagation_recursive = is_bind = is_recursive = is_idmapped = False
    subdirectory, data = "", []
    for option in options:
        if option in ATTRIBUTES:
            clear, add = ATTRIBUTES[option]
            attributes = attributes & ~clear | add
        elif option in RECURSIVE_ATTRIBUTES:
            clear, add = RECURSIVE_ATTRIBUTES[option]
            recursive = recursive & ~clear | add
        elif option in ("bind", "rbind"):
            is_bind, is_recursive = True, option == "rbind"
        elif option.removeprefix("r") in PROPAGATION:
            is_propagation_recursive = option not in PROPAGATION
            propagation = PROPAGATION[option.removeprefix("r")]
        elif option == IDMAP:
            is_idmapped = True
        elif option.startswith(SUBDIRECTORY):
            subdirectory = option.removeprefix(SUBDIRECTORY)
        elif option not in WITHOUT_EFFECT:
            key, _, value = option.partition("=")
            data.append((key, value))
    return MountOptions(
        attributes,
        recursive,
        propagation,
        is_propagation_recursive,
        is_bind,
        is_recursive,
        tuple(data),
        subdirectory,
        is_idmapped,
    )
