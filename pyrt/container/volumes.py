"""What a container asks of volumes, before any is made: the mounts of its Spec that do not say yet where they lead."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyrt.container.checks import boolean, fail, mapping, sequence, text
from pyrt.container.mount import Mount
from pyrt.oci.spec import Mount as SpecMount

__all__ = ["PENDING", "VolumeWish", "inherited", "parse_volumes_from", "wish"]

PENDING = "volume"  # the type of a mount whose source is still to be found


@dataclass(frozen=True, slots=True)
class VolumeWish:
    """A volume to be mounted: `mount` as it was asked for, `words` what is to be added to the options of its Mount.

    `mount.source` None is a new anonymous one. `is_inherited`: another container has it, so it must be there.
    """

    mount: Mount
    words: tuple[str, ...] = ()
    is_inherited: bool = False

    @property
    def target(self) -> str:
        """Where it is to be in the container."""
        return self.mount.target

    @property
    def name(self) -> str | None:
        """The name of the volume, None for one that gets its own."""
        return None if self.mount.source is None else str(self.mount.source)

    @property
    def pending(self) -> SpecMount:
        """What stands in the Spec until the volume is known."""
        return SpecMount(self.target, PENDING, self.name or "", self.words)

    def found(self, place: SpecMount, *, is_read_only: bool = False) -> SpecMount:
        """Give the mount of a volume that a driver has found, as this container wants it, or as `is_read_only` has it.

        Raises InvalidOption for a subpath of what has none.
        """
        words = place.options
        if place.type != "bind":
            if self.mount.subpath:
                fail("mounts", f"{self.target}: a volume of type {place.type} has no subpath; mount all of it")
            return replace(place, options=(*words, "ro") if self.mount.read_only or is_read_only else words)
        if self.mount.recursive == "disabled":
            words = tuple("bind" if word == "rbind" else word for word in words)
        read_only = ("ro",) if is_read_only and not self.mount.read_only else ()
        return replace(place, options=words + read_only + self.words)


def wish(mount: Mount, target: str, argument: str, words: tuple[str, ...], driver: str | None) -> VolumeWish:
    """Take a Mount of type volume, whose read-only option is in `words`; `driver` makes it where it names none itself.

    Raises InvalidOption.
    """
    if target == "/proc" or target.startswith("/proc/"):  # CVE-2019-16884: an image would choose what /proc is
        fail(argument, f"{target}: no volume can be in /proc, which shows the container's processes")
    if mount.propagation is not None or mount.create_source:
        fail(argument, f"{target}: propagation and create_source are for bind mounts alone")
    if mount.tmpfs_size is not None or mount.tmpfs_mode is not None:
        fail(argument, f"{target}: tmpfs_size and tmpfs_mode are not for a volume; use type=tmpfs in driver_opts")
    boolean(mount.no_copy, argument)
    for given in (mount.labels, mount.driver_opts):
        for value in mapping(given, argument).values():
            text(value, argument)
    source = None if mount.source in (None, "") else _name(mount.source, argument)
    subpath = posixpath.normpath(text(mount.subpath, argument) or ".")
    if subpath.startswith("/") or ".." in subpath.split("/"):
        fail(argument, f"{target}: the subpath {subpath!r} leads out of the volume: write it relative, without ..")
    subpath = "" if subpath == "." else subpath
    if subpath:
        words += (f"X-mount.subdir={subpath}",)
    kept = replace(mount, target=target, source=source, subpath=subpath, driver=mount.driver or driver)
    return VolumeWish(kept, words, is_inherited=argument == "volumes_from")


def _name(source: object, argument: str) -> str:
    from pyrt.volume import check_name  # for containers with volumes alone

    return check_name(os.fspath(source) if isinstance(source, os.PathLike) else source, argument)


def parse_volumes_from(value: object) -> list[tuple[str, bool | None]]:
    """Read `["box", "other:ro"]`; give the names, and whether all is read-only (None: as it is there).

    Raises InvalidOption.
    """
    found: list[tuple[str, bool | None]] = []
    for each in sequence(value, "volumes_from"):
        name, colon, mode = text(each, "volumes_from").partition(":")
        if not name or (colon and mode not in ("ro", "rw")):
            fail("volumes_from", f"{each!r} is not CONTAINER, CONTAINER:ro or CONTAINER:rw")
        found.append((name, True if mode == "ro" else None))
    return found


def inherited(mounts: Sequence[Mount], read_only: bool | None) -> list[Mount]:
    """Give the mounts of one container for another."""
    return [replace(mount, read_only=True) if read_only else mount for mount in mounts]
