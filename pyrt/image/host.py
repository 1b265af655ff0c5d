"""`host:` and `host:full`: the programs of this machine, below a private layer that takes all writes.

Takes this machine's own root, gives its view. `host:` shows what programs need: /usr, /bin, /sbin, /lib*, /etc, /opt
(and /nix, /gnu, where those systems keep programs), with file systems of their own, and the prefixes of the running
interpreter wherever they are. All else is empty: an entry of `/` that is not on the list is hidden, as is what is
private in /etc (image.private). A prefix is not shown where it would show a home directory or a whole hidden place.
`host:full` shows all file systems and hides nothing. Of the environment only PATH is taken, as far as it names what is
shown.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from pyrt.errors import Unsupported
from pyrt.image.hostlayout import HostTree, TopEntry, is_within, one_overlay, overlay_each
from pyrt.image.mountinfo import parse_mountinfo
from pyrt.image.private import hide_private
from pyrt.image.view import DEFAULT_PATH
from pyrt.oci.config import ImageConfig
from pyrt.runtime.bundle import Rootfs
from pyrt.snapshot import Overlay, Snapshotter, Uppers

__all__ = ["HostView"]

_SHOWN = frozenset({"usr", "bin", "sbin", "etc", "opt", "nix", "gnu"})


@dataclass(frozen=True, slots=True)
class HostView:
    """The view of this machine: both of its roots, outside of user namespaces and inside, are ready-made values."""

    name: str
    config: ImageConfig
    _outside: tuple[Rootfs, tuple[str, ...]]
    _inside: tuple[Rootfs, tuple[str, ...]]

    @classmethod
    def open(cls, *, full: bool = False) -> HostView:
        """Look at `/`, at what is mounted, and at /etc: a few milliseconds, so keep the view."""
        tree = _look(full)
        config = ImageConfig(env=(f"PATH={_path(tree, os.environ.get('PATH', ''))}",), working_dir="/")
        return cls("host:full" if full else "host:", config, one_overlay(tree), overlay_each(tree))

    @property
    def is_host(self) -> bool:
        """True (see ImageView)."""
        return True

    @property
    def image_id(self) -> None:
        """None (see ImageView)."""
        return None

    @property
    def chain(self) -> tuple[()]:
        """Nothing (see ImageView)."""
        return ()

    def lowers(self, *, user_namespace: bool) -> tuple[str, ...]:
        """Give the directories that are to be below overlays (see ImageView)."""
        return (self._inside if user_namespace else self._outside)[1]

    def rootfs(self, snapshotter: Snapshotter, key: str) -> Rootfs:
        """Give the root: the same value for every container, unless what they write is kept (see ImageView)."""
        if not isinstance(snapshotter, Overlay | Uppers):
            reason = f"the {snapshotter.name} snapshotter would copy the whole machine; it needs the kernel's overlay"
            raise Unsupported(self.name, reason)
        root = (self._inside if snapshotter.user_namespace else self._outside)[0]
        if isinstance(snapshotter, Overlay):
            return root
        kept = [
            snapshotter.prepare(key, (m.destination or "/",), m.destination) if m.type == "overlay" else m
            for m in root.mounts
        ]  # each overlay shows the host's directory of its own name
        return replace(root, mounts=tuple(kept))

    def close(self) -> None:
        """Nothing is held (see ImageView)."""


def _look(full: bool) -> HostTree:
    entries = tuple(_top_entries())
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        mounts = parse_mountinfo(file.read())
    if full:
        return HostTree(entries, frozenset(entry.name for entry in entries), mounts, is_full=True)
    shown = frozenset(entry.name for entry in entries if entry.name in _SHOWN or entry.name.startswith("lib"))
    prefixes = _prefixes({sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}, shown, _homes())
    return HostTree(entries, shown, mounts, prefixes, hide_private("/etc"))


def _top_entries() -> Iterable[TopEntry]:
    with os.scandir("/") as found:
        for entry in sorted(found, key=lambda entry: entry.name):
            mode = entry.stat(follow_symlinks=False).st_mode
            yield TopEntry(entry.name, mode, os.fsencode(os.readlink(entry.path)) if stat.S_ISLNK(mode) else b"")


def _homes() -> frozenset[str]:
    homes = {os.path.expanduser("~")}
    with suppress(KeyError):  # a uid without a name
        homes.add(pwd.getpwuid(os.geteuid()).pw_dir)
    return frozenset(homes | {os.path.realpath(home) for home in homes})


def _prefixes(found: Iterable[str], shown: frozenset[str], homes: frozenset[str]) -> tuple[str, ...]:
    """Give the interpreter's prefixes that lie in hidden places and show nothing else, none inside another."""
    chosen: list[str] = []
    for prefix in sorted({path for given in found for path in (os.path.normpath(given), os.path.realpath(given))}):
        parts = prefix.split("/")[1:]
        is_hidden = len(parts) > 1 and parts[0] not in shown
        is_narrow = not any(is_within(home, prefix) for home in homes)
        if is_hidden and is_narrow and not any(is_within(prefix, other) for other in chosen) and os.path.isdir(prefix):
            chosen.append(prefix)
    return tuple(chosen)


def _path(tree: HostTree, path: str) -> str:
    """Give the PATH of a container: this process's, as far as it is shown, then Docker's."""
    own = (os.path.normpath(part) for part in path.split(":") if part.startswith("/"))
    shown = [part for part in own if tree.is_visible(part) and os.path.isdir(part)]
    return ":".join(dict.fromkeys([*shown, *DEFAULT_PATH.split(":")]))
