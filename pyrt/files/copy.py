"""Copies between a container and the host, by the rules of `docker cp`.

Takes a Root and paths; gives Copied. Both sides are trees below a descriptor, and of both only the way to the first
entry may lead through symbolic links: below that none is followed, whoever made it, and in whichever moment.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from pyrt.errors import Conflict, InvalidArgument, NotFound, SyscallError
from pyrt.files.paths import ABSENT, ContainerPath, canonical, located, lookup, names_directory, text_of
from pyrt.files.tree import VANISHED, Entry, entries, pieces, sized
from pyrt.layer import LocalRoot, Root

__all__ = ["Copied", "copy_in", "copy_out"]

_SET_IDS = stat.S_ISUID | stat.S_ISGID
_NODES = (stat.S_IFCHR, stat.S_IFBLK)


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied: entries, the bytes of files, and the paths of sockets and devices, which were left out."""

    entries: int
    size_bytes: int
    skipped: tuple[str, ...] = ()


def copy_in(
    root: Root, source: str | os.PathLike[str], path: ContainerPath, *, archive: bool = False, follow_link: bool = False
) -> Copied:
    """Copy `source`, of the host, to `path` in the container, by the rules of `docker cp`.

    A directory becomes `path`, or goes into it where that is a directory; of one given as `dir/.` what is in it. A
    file becomes `path`, or goes into it; with a slash at its end that has to be a directory. `archive` keeps owners,
    else all belongs to root of the container; `follow_link` copies what a link at `source` leads to. Directories that
    are there keep their modes. Raises NotFound, InvalidArgument, Conflict, SyscallError.
    """
    text = _host_path(source, "source")
    with _host() as host:
        plan = _Plan.make(host, text, root, text_of(path), follow_link, "source", "path")
        return _Copying(host, root, keeps_owner=archive, keeps_devices=True).run(plan)


def copy_out(
    root: Root,
    path: ContainerPath,
    destination: str | os.PathLike[str],
    *,
    archive: bool = False,
    follow_link: bool = False,
) -> Copied:
    """Copy `path`, of the container, to `destination` of the host (see copy_in).

    What is copied belongs to the caller, without set-id bits, unless `archive` keeps owners. Devices are left out.
    """
    text = _host_path(destination, "destination")
    with _host() as host:
        plan = _Plan.make(root, text_of(path), host, text, follow_link, "path", "destination")
        return _Copying(root, host, keeps_owner=archive, keeps_devices=False).run(plan)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The canonical paths of what is copied and of where it is to be."""

    source: str
    target: str

    @classmethod
    def make(
        cls, source: Root, path: str, target: Root, destination: str, follow: bool, argument: str, other: str
    ) -> _Plan:
        """Decide by docker's rules. Raises NotFound, InvalidArgument."""
        real, status = _there(source, path, follow)
        is_directory = stat.S_ISDIR(status.st_mode)
        if names_directory(path) and not is_directory:
            raise InvalidArgument(f"{path} is not a directory", argument=argument)
        try:
            place = canonical(target, destination)
        except SyscallError as e:
            if e.errno not in ABSENT:
                raise
            above = posixpath.dirname(destination.rstrip("/"))
            raise NotFound(f"no such directory: {above}") from e
        there = lookup(target, place, follow=False)
        if there is None and names_directory(destination) and not is_directory:
            raise NotFound(f"the destination directory must exist: {destination}")
        if there is not None and stat.S_ISDIR(there.st_mode):
            if not (is_directory and posixpath.basename(path) == "."):
                place = f"{place.rstrip('/')}/{_name(path, real)}".rstrip("/") or "/"
        elif there is not None and names_directory(destination):
            raise InvalidArgument(f"{destination} is not a directory", argument=other)
        elif there is not None and is_directory:
            raise InvalidArgument(f"cannot copy a directory to a file: {destination}", argument=other)
        return cls(real, place)


@dataclass(slots=True)
class _Copying:
    source: Root
    target: Root
    keeps_owner: bool
    keeps_devices: bool
    count: int = 0
    size_bytes: int = 0
    skipped: list[str] = field(default_factory=list)
    linked: dict[tuple[int, int], str] = field(default_factory=dict)
    own: os.stat_result | None = None
    made: list[tuple[str, os.stat_result]] = field(default_factory=list)

    def run(self, plan: _Plan) -> Copied:
        """Copy all, but not what has just been copied, where the target is seen in the source as well."""
        for entry in entries(self.source, plan.source, skip=lambda each: self._is_target(each, plan.target)):
            place = f"{plan.target.rstrip('/')}/{entry.name}".rstrip("/") or "/"
            if self._copy(entry, place):
                self.count += 1
            else:
                self.skipped.append(entry.path)
        for place, status in reversed(self.made):
            self._dress(place, status)
        return Copied(self.count, self.size_bytes, tuple(self.skipped))

    def _is_target(self, entry: Entry, target: str) -> bool:
        if not entry.name or not stat.S_ISDIR(entry.status.st_mode):
            return False
        if self.own is None:
            self.own = self.target.stat(target, follow=False, links=False)
        return os.path.samestat(entry.status, self.own)

    def _copy(self, entry: Entry, place: str) -> bool:
        """Copy one entry; False where that kind is left out."""
        kind = stat.S_IFMT(entry.status.st_mode)
        if kind == stat.S_IFSOCK or (kind in _NODES and not self.keeps_devices):
            return False
        if kind == stat.S_IFDIR:
            self._directory(entry, place)
        elif kind == stat.S_IFREG:
            self._file(entry, place)
        else:
            self._clear(entry, place)
            if kind == stat.S_IFLNK:
                self.target.symlink(self.source.readlink(entry.path), place, links=False)
            else:
                mode = kind | stat.S_IMODE(entry.status.st_mode)
                self.target.mknod(place, mode, entry.status.st_rdev, links=False)
            self._dress(place, entry.status)
        return True

    def _directory(self, entry: Entry, place: str) -> None:
        there = lookup(self.target, place, follow=False, links=False)
        if there is None:
            self.target.mkdir(place, 0o700, links=False)
            self.made.append((place, entry.status))
        elif not stat.S_ISDIR(there.st_mode):
            raise Conflict(f'cannot overwrite non-directory "{place}" with directory "{entry.path}"')

    def _file(self, entry: Entry, place: str) -> None:
        status = entry.status
        key = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and key in self.linked:
            self._clear(entry, place)
            self.target.link(self.linked[key], place, links=False)
            return
        try:
            fd = self.source.open(entry.path, os.O_RDONLY, links=False)
        except SyscallError as e:
            if e.errno not in VANISHED or not entry.name:
                raise
            return
        try:
            size, whole = sized(fd)
            self._clear(entry, place)
            to = self.target.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, links=False)
            try:
                for offset, piece in [(0, whole)] if whole is not None else pieces(fd, size):
                    _write(to, piece, offset)
                os.ftruncate(to, size)
            finally:
                os.close(to)
        finally:
            os.close(fd)
        self.size_bytes += size
        self._dress(place, status)
        if status.st_nlink > 1:
            self.linked[key] = place

    def _clear(self, entry: Entry, place: str) -> None:
        """Remove the file that has the name of one to be copied."""
        there = lookup(self.target, place, follow=False, links=False)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise Conflict(f'cannot overwrite directory "{place}" with non-directory "{entry.path}"')
        if there is not None:
            self.target.unlink(place, links=False)

    def _dress(self, place: str, status: os.stat_result) -> None:
        """Give what was made the owner, the mode and the times of what it is a copy of."""
        mode = stat.S_IMODE(status.st_mode)
        if self.keeps_owner:
            self.target.chown(place, status.st_uid, status.st_gid, follow=False, links=False)
        if not stat.S_ISLNK(status.st_mode):
            self.target.chmod(place, mode if self.keeps_owner else mode & ~_SET_IDS, links=False)
        self.target.utime(place, status.st_atime_ns, status.st_mtime_ns, links=False)


def _host_path(path: str | os.PathLike[str], argument: str) -> str:
    return os.path.join(os.getcwd(), text_of(os.fspath(path), argument))


@contextmanager
def _host() -> Iterator[Root]:
    """Give the files of this process's own root."""
    with closing(LocalRoot(os.open("/", os.O_PATH | os.O_DIRECTORY))) as host:
        yield host


def _there(root: Root, path: str, follow: bool) -> tuple[str, os.stat_result]:
    found = located(root, path, follow=follow)
    if found is None:
        raise NotFound(f"no such file or directory: {path}")
    return found


def _name(path: str, real: str) -> str:
    """Give the name under which something goes into a directory: that by which it was called."""
    name = posixpath.basename(path.rstrip("/"))
    return posixpath.basename(real) if name in (".", "..") else name


def _write(fd: int, piece: bytes | None, offset: int) -> None:
    view = memoryview(piece or b"")
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done
