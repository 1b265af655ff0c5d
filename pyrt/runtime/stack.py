"""The overlays of a root: of which directories each is made, and how the kernel is told.

Takes the Mounts of overlays, gives their directories back, and the places at which pyrt-init finds them. fsconfig(2)
takes at most 255 bytes for an option and mount(2) a page for all of them together; so where a chain of directories is
too long for the first, each gets a symbolic link with a short name, and mount(2) is called beside these links.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyrt._native.path import open_in_root
from pyrt.errors import SyscallError
from pyrt.oci.spec import Mount
from pyrt.runtime import mount_options

__all__ = ["Clones", "Stack", "clones", "short_name"]

MAX_OPTION_BYTES = 255
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PART = re.compile(r"(?:\\.|[^\\:])+", re.DOTALL)
_RESOLVE_NO_XDEV = 1  # openat2(2)


@dataclass(frozen=True, slots=True)
class Clones:
    """Directories of the host that come as idmapped mounts, and how many ids these have.

    `binds` are the places in the container of those that come after them, and are mounted as they are.
    """

    directories: tuple[str, ...]
    ids: int
    binds: tuple[str, ...] = ()

    def place(self, path: str, top: str) -> str:
        """Give where `path` is when the clones are mounted at `top`/0, `top`/1 and so on."""
        around = [index for index, each in enumerate(self.directories) if is_within(path, each)]
        index = max(around, key=lambda index: len(self.directories[index]))
        return f"{top}/{index}/{os.path.relpath(path, self.directories[index])}".removesuffix("/.")


@dataclass(frozen=True, slots=True)
class Stack:
    """One overlay: its lowers, the topmost first, and the upper that it names, if any; `data` are its other options."""

    lowers: tuple[str, ...]
    upper: str | None
    work: str | None
    data: tuple[tuple[str, str], ...]
    attributes: int

    @classmethod
    def read(cls, mount: Mount) -> Stack:
        """Read a mount of type "overlay"."""
        options = mount_options.parse(mount.options)
        data = dict(options.data)
        lowers = tuple(map(unescape, _PART.findall(data.pop("lowerdir", ""))))
        upper, work = (unescape(data.pop(key)) if key in data else None for key in ("upperdir", "workdir"))
        return cls(lowers, upper, work, tuple(data.items()), options.attributes)

    @property
    def is_private(self) -> bool:
        """Whether it wants an upper directory of its own, which ends with the container."""
        return self.upper is None and not self.attributes & mount_options.RDONLY

    def directories(self) -> tuple[str, ...]:
        """Give all directories of the host that it names."""
        return self.lowers + tuple(path for path in (self.upper, self.work) if path is not None)

    def fits(self) -> bool:
        """Say whether fsconfig(2) takes these directories by their names, on every kernel."""
        texts = [":".join(self.lowers), self.upper or "", self.work or ""]
        is_plain = not any(character in path for path in self.directories() for character in "\\:,")
        return is_plain and all(len(os.fsencode(text)) <= MAX_OPTION_BYTES for text in texts)

    def options(self) -> tuple[tuple[str, str], ...]:
        """Give the options of the mount, of names that need no protection."""
        named = (("lowerdir", ":".join(self.lowers)), ("upperdir", self.upper), ("workdir", self.work))
        return (*((key, value) for key, value in named if value is not None), *self.data)


def clones(stacks: Sequence[Stack]) -> Iterator[str]:
    """Give the directories to be cloned so that all that `stacks` name is in a clone: few of them, each one once.

    A clone has no file system that is mounted below it, so what is in another one needs its own.
    """
    given: dict[str, None] = {}
    for stack in stacks:
        groups = [stack.lowers, tuple(path for path in (stack.upper, stack.work) if path is not None)]
        for paths in groups:
            if len(paths) > 1 and (top := common_mount(paths)):
                given[top] = None
            else:
                given.update(dict.fromkeys(paths))
    return iter(given)


def common_mount(paths: Sequence[str]) -> str | None:
    """Give the nearest directory above all `paths` if it is in the same mount as they are."""
    top = os.path.commonpath(paths)
    try:
        fd = os.open(top, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        for path in paths:
            os.close(open_in_root(fd, os.path.relpath(path, top), os.O_PATH, resolve=_RESOLVE_NO_XDEV))
    except SyscallError:
        return None
    finally:
        os.close(fd)
    return top


def unescape(text: str) -> str:
    """Take the backslashes away that protect what separates paths and options."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def short_name(number: int) -> str:
    """Give a name of few letters, another one for each number."""
    name = ""
    while not name or number:
        number, digit = divmod(number, len(_DIGITS))
        name = _DIGITS[digit] + name
    return name


def is_within(path: str, directory: str) -> bool:
    """Say whether a path is a directory or lies below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
