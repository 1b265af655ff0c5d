"""How the root of a `host:` container is put together: which directories are shown, which are empty.

Takes what is in `/`, what is mounted where, and the prefixes of the interpreter; gives Rootfs values. There are two
ways to the same picture. Outside of user namespaces one overlay of `/` shows everything and Files hide what is not on
the list. Inside, the kernel does not let an overlay uncover what lies below a mount point (and `/` has some always), so
that an empty root gets an overlay for each shown directory, and a directory with mount points is put together from its
parts: that makes more mounts, and copies the files that lie beside the mount points.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pyrt.image.mountinfo import MountPoint
from pyrt.oci.spec import Mount
from pyrt.runtime.bundle import File, Rootfs
from pyrt.snapshot import ephemeral

__all__ = ["HostTree", "TopEntry", "is_within", "one_overlay", "overlay_each"]

MAX_CONTENT_BYTES = 1 << 20
_EMPTY = {  # these are directories of their own, whatever the host has there
    **dict.fromkeys("dev home mnt proc run srv sys var var/cache var/lib var/log".split(), 0o755),
    **dict.fromkeys("run/lock tmp var/tmp".split(), 0o1777),
    "root": 0o700,
}
_LINKS = {"var/lock": b"/run/lock", "var/run": b"/run"}
_RUNTIMES = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})  # written for each container
_KERNELS = frozenset({"dev", "proc", "sys"})


@dataclass(frozen=True, slots=True)
class TopEntry:
    """An entry of `/`: name, st_mode, and the target where it is a symbolic link."""

    name: str
    mode: int
    target: bytes = b""

    @property
    def path(self) -> str:
        """The absolute path."""
        return f"/{self.name}"


@dataclass(frozen=True, slots=True)
class HostTree:
    """What is shown of a host: entries of `/` by name (`shown`), `prefixes` elsewhere, without what `private` hides."""

    entries: tuple[TopEntry, ...]
    shown: frozenset[str]
    mounts: tuple[MountPoint, ...] = ()
    prefixes: tuple[str, ...] = ()
    private: tuple[File, ...] = ()
    is_full: bool = False

    def directories(self) -> tuple[str, ...]:
        """Give the shown directories, parents first."""
        tops = (e.path for e in self.entries if e.name in self.shown and stat.S_ISDIR(e.mode))
        return tuple(sorted([*tops, *self.prefixes]))

    def is_visible(self, path: str) -> bool:
        """Say whether an absolute path lies in what is shown; a symbolic link in `/` counts as shown."""
        first = path.split("/")[1]
        linked = any(e.name == first and stat.S_ISLNK(e.mode) for e in self.entries)
        return linked or any(is_within(path, directory) for directory in self.directories())

    def file_systems(self) -> tuple[MountPoint, ...]:
        """Give the real file systems mounted in what is shown, at or below a shown directory."""
        kernels = [mount.path for mount in self.mounts if mount.is_pseudo]
        return tuple(
            mount
            for mount in self.mounts
            if any(is_within(mount.path, directory) for directory in self.directories())
            and not mount.is_pseudo
            and not any(mount.is_below(path) for path in kernels)
        )

    def empty(self) -> dict[str, File]:
        """Give what stands in the place of everything that is not shown."""
        files = {} if self.is_full else {f"/{name}": _directory(f"/{name}", mode) for name, mode in _EMPTY.items()}
        if not self.is_full:
            files.update({f"/{name}": File(f"/{name}", "symlink", target) for name, target in _LINKS.items()})
        for entry in self.entries:
            if entry.name not in self.shown and entry.path not in files and not stat.S_ISLNK(entry.mode):
                is_directory = stat.S_ISDIR(entry.mode)
                mode = stat.S_IMODE(entry.mode)
                files[entry.path] = _directory(entry.path, mode) if is_directory else File(entry.path, mode=0)
        for prefix in self.prefixes:
            for path in (*_parents(prefix), prefix):
                hidden = files.get(path)
                mode = 0o755 if hidden is None else hidden.mode | 0o055  # or only root would come through
                files[path] = File(path, "dir", mode=mode, opaque=hidden is not None)
        return files


@dataclass(slots=True)
class _Parts:
    """A Rootfs in the making."""

    mounts: list[Mount]
    files: dict[str, File]
    lowers: list[str] = field(default_factory=list)
    user_namespace: bool = False

    def overlay(self, path: str) -> None:
        self.mounts.append(ephemeral((path,), path, user_namespace=self.user_namespace))
        self.lowers.append(path)

    def bind(self, path: str) -> None:
        self.mounts.append(Mount(path, "bind", path, ("bind", "ro")))

    def rootfs(self) -> tuple[Rootfs, tuple[str, ...]]:
        files = tuple(self.files[path] for path in sorted(self.files))
        return Rootfs(tuple(self.mounts), files), tuple(self.lowers)


def one_overlay(tree: HostTree) -> tuple[Rootfs, tuple[str, ...]]:
    """Give the root made of one overlay of `/`, and the lower directories that it needs."""
    parts = _Parts([ephemeral(("/",))], tree.empty() | {file.path: file for file in tree.private}, ["/"])
    for path in sorted({*tree.prefixes, *(mount.path for mount in tree.file_systems())}):
        if os.path.isdir(path):
            parts.overlay(path)
        elif path not in _RUNTIMES and path not in parts.files and os.access(path, os.R_OK):
            parts.bind(path)
    return parts.rootfs()


def overlay_each(tree: HostTree) -> tuple[Rootfs, tuple[str, ...]]:
    """Give the root made of an overlay for each shown directory, for a user namespace, and their lower directories."""
    files = {path: replace(file, opaque=False) for path, file in tree.empty().items() if file.type != "file"}
    root = Mount("", "tmpfs", "tmpfs", ("mode=755",))
    private = {file.path: file for file in tree.private if file.type == "file"}
    parts = _Parts([root], files | private, user_namespace=True)
    for entry in tree.entries:
        if stat.S_ISLNK(entry.mode) and entry.path not in files:
            parts.files[entry.path] = File(entry.path, "symlink", entry.target)
        elif tree.is_full and entry.name in _KERNELS:
            parts.files[entry.path] = File(entry.path, "dir", mode=0o755)
    for directory in tree.directories():
        if directory[1:] not in _KERNELS:
            _piece(parts, tree.mounts, directory)
    for file in tree.private:  # an opaque directory would need attributes that a tmpfs has since Linux 6.6 only
        if file.type == "dir" and os.access(file.path, os.R_OK | os.X_OK):
            parts.mounts.append(Mount(file.path, "tmpfs", "tmpfs", (f"mode={file.mode:o}",)))
    return parts.rootfs()


def _piece(parts: _Parts, mounts: Iterable[MountPoint], path: str) -> None:
    """Show a directory: as one overlay, or entry by entry where something is mounted below it."""
    if not os.path.isdir(path):  # gone since the host was looked at
        return
    mode = stat.S_IMODE(os.stat(path).st_mode)
    below = [mount for mount in mounts if mount.is_below(path)]
    parts.files.setdefault(path, File(path, "dir", mode=mode))
    if any(mount.path == path and mount.is_pseudo for mount in mounts) or not os.access(path, os.R_OK | os.X_OK):
        return
    if not below:
        parts.overlay(path)
        return
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.path not in parts.files:
                with suppress(FileNotFoundError):  # a file may end at any time
                    _entry(parts, below, entry)


def _entry(parts: _Parts, mounts: Iterable[MountPoint], entry: os.DirEntry[str]) -> None:
    status = entry.stat(follow_symlinks=False)
    if entry.is_symlink():
        parts.files[entry.path] = File(entry.path, "symlink", os.fsencode(os.readlink(entry.path)))
    elif entry.is_dir():
        _piece(parts, mounts, entry.path)
    elif not entry.is_file() or not os.access(entry.path, os.R_OK):
        parts.files[entry.path] = File(entry.path, mode=0)
    elif status.st_size <= MAX_CONTENT_BYTES:
        with open(entry.path, "rb") as file:
            content = file.read(MAX_CONTENT_BYTES)
        parts.files[entry.path] = File(entry.path, "file", content, stat.S_IMODE(status.st_mode))
    else:
        parts.files[entry.path] = File(entry.path, mode=0)
        parts.bind(entry.path)


def is_within(path: str, directory: str) -> bool:
    """Say whether a path is a directory or lies below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _directory(path: str, mode: int) -> File:
    return File(path, "dir", mode=mode, opaque=True)


def _parents(path: str) -> list[str]:
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[: n + 1]) for n in range(len(parts))]
