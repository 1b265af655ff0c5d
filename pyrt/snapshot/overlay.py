"""The kernel's overlay: lower directories, and what is written on top of them, as one tree.

Takes directories, gives Mounts. Without an upper directory in them who mounts adds a private one that ends with the
mount; Overlay does that. Uppers keeps what is written, in a directory for each key.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from pyrt.errors import NameInUse, SyscallError
from pyrt.oci.spec import Mount
from pyrt.snapshot.key import check_key, check_lowers
from pyrt.snapshot.merged import Merged, visible

__all__ = ["Overlay", "Uppers", "ephemeral"]

# What is kept must be readable without the mount and survive a change of the generated files below it: no index of
# inodes, no file that is only attributes, no directory that is elsewhere. In a user namespace one word says the rest.
_KEPT = ("index=off", "metacopy=off", "redirect_dir=nofollow")


def ephemeral(lowers: Sequence[str], destination: str = "", *, user_namespace: bool = False) -> Mount:
    """Give the mount of an overlay of `lowers` (absolute paths, the topmost first) that keeps nothing.

    In a user namespace the overlay's own attributes are user.* ones, for trusted.* are root's. Raises InvalidOption.
    """
    return Mount(destination, "overlay", "overlay", _options(lowers, user_namespace))


def escape(path: str) -> str:
    """Protect what separates paths (`:`) and options (`,`) in the data of an overlay, each with a backslash."""
    return re.sub(r"[\\:,]", r"\\\g<0>", path)


class Overlay:
    """The snapshotter of ephemeral runs: a view is an overlay whose upper is a tmpfs of the container."""

    name = "overlay"

    def __init__(self, *, user_namespace: bool = False) -> None:
        self.user_namespace = user_namespace
        self._active: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def prepare(self, key: str, lowers: Sequence[str], destination: str = "") -> Mount:
        """Give the overlay of `lowers`: nothing is written, so that a crash leaves nothing (see Snapshotter)."""
        check_key(key)
        mount = ephemeral(lowers, destination, user_namespace=self.user_namespace)
        with self._lock:
            destinations = self._active.setdefault(key, set())
            if destination in destinations:
                raise NameInUse(f"snapshot {key} has a view at {destination or 'its root'} already")
            destinations.add(destination)
        return mount

    def remove(self, key: str) -> None:
        """End the views of `key` (see Snapshotter)."""
        with self._lock:
            self._active.pop(key, None)


class Uppers:
    """The snapshotter of containers that are kept: a view is an overlay whose upper is `<directory>/<key>/upper`.

    A view at another destination than the root has `upper%2fdestination` instead. `remover` removes a tree; the
    default is this process's own way, which cannot remove what subordinate ids own.
    """

    name = "overlay"

    def __init__(
        self, directory: str, *, user_namespace: bool = False, remover: Callable[[str], None] | None = None
    ) -> None:
        self.user_namespace = user_namespace
        self._directory = directory
        self._remover = remover

    def prepare(self, key: str, lowers: Sequence[str], destination: str = "") -> Mount:
        """Make the upper directory of a view, and give the overlay (see Snapshotter)."""
        check_key(key)
        options = _options(lowers, self.user_namespace)
        upper, work = self.upper(key, destination), self._place(key, "work", destination)
        try:
            os.makedirs(self._directory, 0o700, exist_ok=True)  # for what is set-user-ID in a container is so here too
            os.makedirs(os.path.dirname(upper), 0o711, exist_ok=True)
            os.mkdir(upper, 0o755)
        except FileExistsError as e:
            raise NameInUse(f"snapshot {key} has a view at {destination or 'its root'} already") from e
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "mkdir", upper) from e
        try:
            _dress(upper, Merged(visible(lowers)).lstat("/"))
            os.mkdir(work, 0o700)
        except BaseException as e:
            for made in (work, upper, os.path.dirname(upper)):  # other views of this key keep the last
                with suppress(OSError):
                    os.rmdir(made)
            if isinstance(e, OSError) and not isinstance(e, SyscallError):
                raise SyscallError(e.errno or errno.EIO, "mkdir", work) from e
            raise
        return self._mount(options, upper, work, destination)

    def mount(self, key: str, lowers: Sequence[str], destination: str = "") -> Mount:
        """Give the overlay of a view that was prepared before, with what was written through it since then."""
        upper = self.upper(key, destination)
        work = self._place(key, "work", destination)
        return self._mount(_options(lowers, self.user_namespace), upper, work, destination)

    def upper(self, key: str, destination: str = "") -> str:
        """Give the directory that holds what was written through a view: the changes, in overlay form."""
        check_key(key)
        return self._place(key, "upper", destination)

    def work(self, key: str, destination: str = "") -> str:
        """Give the directory that an overlay with that upper needs for itself."""
        check_key(key)
        return self._place(key, "work", destination)

    def remove(self, key: str) -> None:
        """Remove what was written through the views of `key` (see Snapshotter)."""
        check_key(key)
        from pyrt.layer import remove_tree  # which short runs do not need

        (self._remover or remove_tree)(os.path.join(self._directory, key))

    def _mount(self, options: tuple[str, ...], upper: str, work: str, destination: str) -> Mount:
        places = (f"upperdir={escape(upper)}", f"workdir={escape(work)}")
        return Mount(destination, "overlay", "overlay", (*options, *places, *_KEPT))

    def _place(self, key: str, kind: str, destination: str) -> str:
        return os.path.join(self._directory, key, kind + destination.replace("%", "%25").replace("/", "%2f"))


def _options(lowers: Sequence[str], user_namespace: bool) -> tuple[str, ...]:
    check_lowers(lowers)
    options = ("lowerdir=" + ":".join(map(escape, visible(lowers))),)
    return (*options, "userxattr") if user_namespace else options


def _dress(upper: str, status: os.stat_result | None) -> None:
    """Give the root of a view, which hides that of the lowers, the same owner, as far as may be, and mode."""
    if status is None:
        raise SyscallError(errno.ENOENT, "stat", upper, detail="its lower directory does not exist")
    with suppress(PermissionError):
        os.chown(upper, status.st_uid, status.st_gid)
    os.chmod(upper, stat.S_IMODE(status.st_mode))
