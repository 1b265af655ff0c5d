"""The part of a plan that builds the root: layers, files, mounts, devices.

Takes a Bundle, writes operations. Everything happens in the container's own mount namespace, on a staging directory of
the host that stays empty for all others; so nothing has to be unmounted or removed afterwards.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from pyrt._native.path import open_in_root
from pyrt.errors import InvalidSpec, SyscallError
from pyrt.oci.spec import Device, Mount
from pyrt.runtime import mount_options
from pyrt.runtime.bundle import Bundle, File, Rootfs
from pyrt.runtime.mount_options import MS_PRIVATE, MS_REC, SUBDIRECTORY, MountOptions
from pyrt.runtime.plan_writer import Kind, OpFlag, PlanWriter
from pyrt.runtime.stack import Clones, Stack, short_name
from pyrt.snapshot import Merged

__all__ = ["RootfsWriter"]

CLONES = "clones"
LINKS = "l"
FD_MOUNTS = 5  # PRT_FD_MOUNTS
ALL_IDS = 2**32
DEVICE_LINKS = {
    "fd": b"/proc/self/fd\0",
    "stdin": b"/proc/self/fd/0\0",
    "stdout": b"/proc/self/fd/1\0",
    "stderr": b"/proc/self/fd/2\0",
    "ptmx": b"pts/ptmx\0",
}
DEVICE_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


class RootfsWriter:
    """Writes the root of one bundle as fragments of a plan; `stage` is an empty directory of the host."""

    def __init__(
        self,
        bundle: Bundle,
        cgroup_mounts: Sequence[Mount],
        *,
        stage: str,
        in_user_namespace: bool,
        idmapped: Clones | None,
    ) -> None:
        self._spec = bundle.spec
        self._rootfs: Rootfs = bundle.rootfs
        self._cgroup_mounts = cgroup_mounts
        self._stage = stage
        self._in_user_namespace = in_user_namespace
        self._idmapped = idmapped
        self._writer = PlanWriter()
        self._early: dict[str, int] = {}
        self._files_of = group_files(self._rootfs.files, [mount.destination for mount in self._rootfs.mounts])
        self._stacks = [Stack.read(mount) if mount.type == "overlay" else None for mount in self._rootfs.mounts]

    def key(self) -> tuple[object, ...]:
        """Give all that `mounts` depends on, so that equal keys have equal fragments."""
        spec, rootfs = self._spec, self._rootfs
        directories = tuple([is_directory(mount) for mount in (*rootfs.mounts, *spec.mounts) if mount.type == "bind"])
        has_files = tuple([bool(files) for files in self._files_of])
        options = (self._stage, self._in_user_namespace, self._idmapped, rootfs.scratch_bytes, directories, has_files)
        return spec.mounts, spec.linux.devices, rootfs.mounts, self._cgroup_mounts, options

    def mounts(self) -> tuple[bytes, bytes, bytes]:
        """Give three fragments: what comes before the uppers, up to the root, and all that is mounted in it."""
        mounts = [(mount, mount_options.parse(mount.options)) for mount in self._spec.mounts]
        self._open_propagating(mounts)
        self._writer.add(Kind.PROPAGATION, a=MS_REC | MS_PRIVATE)
        located = [self._located(index, stack) if stack else None for index, stack in enumerate(self._stacks)]
        if self._needs_scratch(located):
            self._scratch()
        before = self._writer.finish()
        slots = self._root(located)
        root = self._writer.finish()
        self._further_roots(slots)
        for mount, options in mounts:
            if mount.type == "cgroup":
                self._cgroups(mount, options)
            else:
                self._mount(mount, options)
        return before, root, self._writer.finish()

    def uppers(self) -> bytes:
        """Give the fragment that makes the upper directories, with the files that belong on them.

        Files for an overlay whose upper is kept are the topmost lower instead: they are seen and never written there.
        """
        for index, (stack, files) in enumerate(zip(self._stacks, self._files_of, strict=True)):
            if stack is None or not (stack.is_private or files):
                continue
            lower, place = Merged(stack.lowers), f"{index}/files"
            if stack.is_private:
                self._directory(f"{index}/work", 0o755)
                place = f"{index}/upper"
            self._directory_like(place, lower, "/")
            self._files(place, files, lower)
        return self._writer.finish()

    def root_files(self) -> bytes:
        """Give the fragment that writes files into a root that is no overlay."""
        if self._stacks[0] is None:
            self._files("", self._files_of[0], None)
        return self._writer.finish()

    def _open_propagating(self, mounts: list[tuple[Mount, MountOptions]]) -> None:
        """Clone what shall stay connected with the host before everything else is cut off."""
        for mount, options in mounts:
            if options.is_bind and options.propagation not in (0, MS_PRIVATE):
                self._early[mount.destination] = self._open_tree(mount, options)

    def _open_tree(self, mount: Mount, options: MountOptions) -> int:
        slot = self._writer.slot()
        flags = OpFlag.RECURSIVE if options.is_recursive else OpFlag.NONE
        self._writer.add(Kind.OPEN_TREE, flags, source=mount.source, path=options.subdirectory or None, a=slot)
        return slot

    def _root(self, stacks: list[Stack | None]) -> list[int | None]:
        """Make all overlays while the scratch can be seen, then put the root over it."""
        if self._idmapped is not None:
            self._take(self._idmapped)
        slots = [self._overlay(index, stack) if stack else None for index, stack in enumerate(stacks)]
        first = slots[0]
        flags = OpFlag.ON_HOST | OpFlag.AS_ROOT
        if first is None:
            first = self._plain_root(self._rootfs.mounts[0])
            flags |= OpFlag.KEEP
        self._writer.add(Kind.ATTACH, flags, path=self._stage, a=first)
        return slots

    def _further_roots(self, slots: list[int | None]) -> None:
        for mount, slot in zip(self._rootfs.mounts[1:], slots[1:], strict=True):
            if slot is None:
                self._mount(mount, mount_options.parse(mount.options))
            else:
                self._writer.add(Kind.ATTACH, OpFlag.PLAIN | OpFlag.MAKE_DIR, path=mount.destination, a=slot)

    def _plain_root(self, mount: Mount) -> int:
        """A root that is no overlay: a private copy of a tree, or a tmpfs that the other mounts fill."""
        options = mount_options.parse(mount.options)
        if options.is_bind:
            return self._open_tree(mount, options)
        slot = self._writer.slot()
        data = options.packed_data()[:-1] + self._size_option() + b"\0"
        self._writer.add(Kind.NEW_MOUNT, type=mount.type, source=mount.source, data=data, a=slot, b=options.attributes)
        return slot

    def _size_option(self) -> bytes:
        size = self._rootfs.scratch_bytes
        return b"" if size is None else b"size\0%d\0" % size

    def _scratch(self) -> None:
        slot = self._writer.slot()
        data = b"mode\x000755\0" + self._size_option() + b"\0"
        self._writer.add(Kind.NEW_MOUNT, type="tmpfs", source="pyrt", data=data, a=slot)
        self._writer.add(Kind.ATTACH, OpFlag.ON_HOST | OpFlag.KEEP, path=self._stage, a=slot)

    def _located(self, index: int, stack: Stack) -> Stack:
        """Give an overlay of the directories that pyrt-init will find: clones, and those of the scratch."""
        own = f"{self._stage}/{index}"
        if self._idmapped is not None:
            place = [self._idmapped.place(path, f"{self._stage}/{CLONES}") for path in stack.directories()]
            upper, work = place[len(stack.lowers) :] or (None, None)
            stack = replace(stack, lowers=tuple(place[: len(stack.lowers)]), upper=upper, work=work)
        if stack.is_private:
            return replace(stack, upper=f"{own}/upper", work=f"{own}/work")
        return replace(stack, lowers=(f"{own}/files", *stack.lowers)) if self._files_of[index] else stack

    def _needs_scratch(self, located: Sequence[Stack | None]) -> bool:
        """Say whether an overlay has directories, or links to some, that are made for it."""
        if self._idmapped is not None or not all(stack is None or stack.fits() for stack in located):
            return True
        return any(s and (s.is_private or files) for s, files in zip(self._stacks, self._files_of, strict=True))

    def _overlay(self, index: int, stack: Stack) -> int:
        slot = self._writer.slot()
        if stack.fits():
            data = b"".join(os.fsencode(f"{key}\0{value}\0") for key, value in stack.options()) + b"\0"
            self._writer.add(Kind.NEW_MOUNT, type="overlay", source="overlay", data=data, a=slot, b=stack.attributes)
        else:
            words = [f"{key}={value}" if value else key for key, value in self._linked(index, stack).options()]
            data = os.fsencode(",".join(words)) + b"\0"
            place = f"{self._stage}/{index}/{LINKS}"
            self._writer.add(Kind.OVERLAY, path=place, source="M", data=data, a=slot, b=stack.attributes)
        return slot

    def _linked(self, index: int, stack: Stack) -> Stack:
        """Make a link with a short name for each directory, beside the mount point M; give the overlay of the links."""
        lowers = tuple(map(short_name, range(len(stack.lowers))))
        linked = replace(stack, lowers=lowers, upper=stack.upper and "U", work=stack.work and "W")
        self._directory(f"{index}/{LINKS}/M", 0o755)
        for name, target in zip(linked.directories(), stack.directories(), strict=True):
            self._writer.add(Kind.SYMLINK, path=f"{index}/{LINKS}/{name}", data=os.fsencode(target) + b"\0")
        return linked

    def _take(self, idmapped: Clones) -> None:
        """Put the idmapped mounts that came with us where the overlays can find them."""
        for number in range(len(idmapped.directories)):
            slot = self._writer.slot()
            self._directory(f"{CLONES}/{number}", 0o755)
            self._writer.add(Kind.TAKE, a=slot, b=FD_MOUNTS + number)
            self._writer.add(Kind.ATTACH, OpFlag.ON_HOST, path=f"{self._stage}/{CLONES}/{number}", a=slot)

    def _taken(self, destination: str) -> int:
        """Take the idmapped mount that came with us for a place in the container."""
        if self._idmapped is None or destination not in self._idmapped.binds:
            raise InvalidSpec(f"{destination}: only root can mount it with other ids (idmap)", argument="mounts")
        slot = self._writer.slot()
        number = len(self._idmapped.directories) + self._idmapped.binds.index(destination)
        self._writer.add(Kind.TAKE, a=slot, b=FD_MOUNTS + number)
        return slot

    def _directory(self, path: str, mode: int, uid: int = 0, gid: int = 0, xattr: bytes | None = None) -> None:
        self._writer.add(Kind.DIR, path=path, a=mode, b=uid << 32 | gid, data=xattr)

    def _directory_like(self, place: str, lower: Merged, path: str) -> None:
        """Make a directory, which hides the owner and mode of the lower one at `path`: give it the same."""
        status = lower.lstat(path)
        if status is None or not stat.S_ISDIR(status.st_mode):
            return self._directory(place, 0o755)
        known = self._idmapped.ids if self._idmapped else 0 if self._in_user_namespace else ALL_IDS
        uid, gid = (number if number < known else 0 for number in (status.st_uid, status.st_gid))
        return self._directory(place, stat.S_IMODE(status.st_mode), uid, gid)

    def _files(self, upper: str, files: Iterable[File], lower: Merged | None) -> None:
        opaque = b"user.overlay.opaque\0" if self._in_user_namespace else b"trusted.overlay.opaque\0"
        known = {"/"} | {file.path for file in files if file.type == "dir"}
        for file in files:
            if lower is not None:
                for parent in missing_parents(file.path, known):
                    self._directory_like(upper + parent, lower, parent)
            owner = file.uid << 32 | file.gid
            path = upper + file.path
            if file.type == "dir":
                is_opaque = file.opaque and lower is not None
                self._directory(path, file.mode, file.uid, file.gid, opaque if is_opaque else None)
            elif file.type == "symlink":
                self._writer.add(Kind.SYMLINK, path=path, data=file.content + b"\0", b=owner)
            else:
                self._writer.add(Kind.FILE, path=path, data=file.content, a=file.mode, b=owner, c=len(file.content))

    def _mount(self, mount: Mount, options: MountOptions) -> None:
        writer = self._writer
        flags = OpFlag.MAKE_DIR
        if options.is_bind:
            early = self._early.get(mount.destination)
            if options.is_idmapped:
                slot = self._taken(mount.destination)
            else:
                slot = self._open_tree(mount, options) if early is None else early
            if not is_directory(mount):
                flags = OpFlag.MAKE_FILE
        else:
            slot = writer.slot()
            writer.add(
                Kind.NEW_MOUNT,
                type=mount.type,
                source=mount.source or mount.type,
                data=options.packed_data(),
                a=slot,
                b=options.attributes,
            )
            if mount.destination in ("/proc", "/dev", "/sys"):
                flags |= OpFlag.PLAIN
        attributes = options.recursive_attributes or (options.attributes if options.is_bind else 0)
        if options.recursive_attributes:
            flags |= OpFlag.RECURSIVE
        if options.is_propagation_recursive:
            flags |= OpFlag.RECURSIVE_PROPAGATION
        is_dev = mount.destination == "/dev" and mount.type == "tmpfs"
        if is_dev:
            flags |= OpFlag.KEEP
        writer.add(Kind.ATTACH, flags, path=mount.destination, a=slot, b=attributes, c=options.propagation)
        if is_dev:
            self._devices(self._spec.linux.devices)

    def _cgroups(self, mount: Mount, options: MountOptions) -> None:
        """A mount of type "cgroup" stands for what this host has: one v2 tree, or a directory for each hierarchy."""
        hierarchies = self._cgroup_mounts
        if len(hierarchies) == 1 and hierarchies[0].type == "cgroup2":
            return self._mount(replace(mount, type="cgroup2"), options)
        if not hierarchies:
            return None
        slot = self._writer.slot()
        self._writer.add(Kind.NEW_MOUNT, type="tmpfs", source="tmpfs", data=b"mode\x000755\0\0", a=slot)
        self._writer.add(Kind.ATTACH, OpFlag.KEEP | OpFlag.MAKE_DIR, path=mount.destination, a=slot)
        for hierarchy in hierarchies:
            self._directory(hierarchy.destination, 0o755)
        self._writer.add(Kind.ROOT_ATTRIBUTES, OpFlag.KEEP, b=options.attributes)
        for hierarchy in hierarchies:
            data = tuple((controller, "") for controller in hierarchy.options)
            own = replace(hierarchy, destination=f"{mount.destination}/{hierarchy.destination}")
            self._mount(own, replace(options, data=data))
        return None

    def _devices(self, devices: Iterable[Device]) -> None:
        for device in devices:
            if not device.path.startswith("/dev/"):
                raise InvalidSpec(f"{device.path}: a device node can only be below /dev", argument="devices")
            kind = DEVICE_TYPES.get(device.type)
            if kind is None:
                raise InvalidSpec(f"{device.path}: type {device.type!r} is none of c, u, b, p", argument="devices")
            self._writer.add(
                Kind.NODE,
                path=device.path.removeprefix("/dev/"),
                a=kind | device.file_mode,
                b=device.uid << 32 | device.gid,
                c=kernel_device(device.major, device.minor),
            )
        for name, target in DEVICE_LINKS.items():
            self._writer.add(Kind.SYMLINK, path=name, data=target)
        for mount in self._spec.mounts:
            if mount.destination.startswith("/dev/") and mount.type != "bind":
                self._directory(mount.destination.removeprefix("/dev/"), 0o755)


def is_directory(mount: Mount) -> bool:
    """Say whether what a bind mount shows is a directory now."""
    below = next((word for word in mount.options if word.startswith(SUBDIRECTORY)), None)
    if below is None:
        return os.path.isdir(mount.source)
    with ExitStack() as opened:
        top = os.open(mount.source, os.O_PATH | os.O_DIRECTORY)
        opened.callback(os.close, top)
        try:
            place = open_in_root(top, below.removeprefix(SUBDIRECTORY), os.O_PATH)
        except SyscallError as error:
            if error.errno in (errno.EACCES, errno.EPERM):  # closed to us, not to the container's ids: most likely one
                return True
            raise
        opened.callback(os.close, place)
        return stat.S_ISDIR(os.fstat(place).st_mode)


def kernel_device(major: int, minor: int) -> int:
    """Encode a device number as mknod(2) takes it from user space."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def group_files(files: Iterable[File], destinations: Sequence[str]) -> list[list[File]]:
    """Give for each mount the files that lie on it, with their paths relative to it."""
    groups: list[list[File]] = [[] for _ in destinations]
    longest_first = sorted(enumerate(destinations), key=lambda each: -len(each[1]))
    for file in files:
        for index, destination in longest_first:
            if not destination or file.path.startswith(destination + "/"):
                groups[index].append(replace(file, path=file.path[len(destination) :]) if destination else file)
                break
    return groups


def missing_parents(path: str, known: set[str]) -> list[str]:
    """Give the directories above `path` that are not in `known`, outermost first, and add them."""
    parents = []
    parent = os.path.dirname(path)
    while parent not in known:
        known.add(parent)
        parents.append(parent)
        parent = os.path.dirname(parent)
    return parents[::-1]
