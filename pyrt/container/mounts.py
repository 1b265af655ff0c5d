"""The caller's mounts as the Spec has them, checked against each other and against the host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pyrt.container.checks import boolean, container_path, fail, host_path, integer, text
from pyrt.container.host import HostFacts
from pyrt.container.mount import PROPAGATIONS, RECURSIONS, Mount, mounts, volumes
from pyrt.container.options import RunOptions
from pyrt.container.sizes import size
from pyrt.container.tmpfs import merge_options, tmpfs
from pyrt.container.volumes import VolumeWish, parse_volumes_from, wish
from pyrt.errors import Unsupported
from pyrt.oci.spec import Mount as SpecMount

__all__ = ["Asked", "asked_mounts", "created_sources", "rootfs_propagation"]

_RECURSIVE_READ_ONLY = (5, 12)  # mount_setattr(2)


@dataclass(frozen=True, slots=True)
class Asked:
    """The mounts that a container was asked to have, a parent before what lies in it.

    Those of volumes are in `mounts` with the type PENDING. `passed_on` are all that another container gets from this
    one by volumes_from.
    """

    mounts: tuple[SpecMount, ...]
    volumes: tuple[VolumeWish, ...]
    passed_on: tuple[Mount, ...]


def asked_mounts(
    options: RunOptions,
    host: HostFacts,
    in_userns: bool,
    *,
    of_image: Sequence[str] = (),
    inherited: Sequence[Mount] = (),
) -> Asked:
    """Give the mounts of volumes=, mounts= and tmpfs=, then of `inherited`, then of the image's VOLUMEs.

    Of the last two none is where there is a mount already. A source must exist, unless its Mount says create_source.
    Raises InvalidOption, also for two mounts at one place.
    """
    driver = None if options.get("volume_driver") is None else text(options.get("volume_driver"), "volume_driver")
    parse_volumes_from(options.get("volumes_from"))
    found: dict[str, SpecMount] = {}
    wishes: list[VolumeWish] = []
    passed_on: list[Mount] = []
    further = [*(("volumes_from", mount) for mount in inherited), *(("volumes", Mount(path)) for path in of_image)]
    asked = _asked(options)
    for index, (argument, mount) in enumerate([*asked, *further]):
        placed = mount if isinstance(mount, SpecMount) else _lowered(mount, argument, host, in_userns, driver)
        point = placed.pending if isinstance(placed, VolumeWish) else placed
        if point.destination == "/":
            fail(argument, "the root itself cannot be mounted over")
        if point.destination in found:
            if index >= len(asked):
                continue
            fail(argument, f"{point.destination} is a mount point already")
        found[point.destination] = point
        if isinstance(placed, VolumeWish):
            wishes.append(placed)
        if isinstance(mount, Mount) and mount.type != "tmpfs":
            passed_on.append(placed.mount if isinstance(placed, VolumeWish) else mount)
    in_order = tuple(sorted(found.values(), key=lambda mount: mount.destination.count("/")))
    return Asked(in_order, tuple(wishes), tuple(passed_on))


def created_sources(options: RunOptions) -> tuple[str, ...]:
    """Give the directories of the host that mounts= asks to make, and that are not there."""
    asked = [mount for mount in mounts(options.get("mounts")) if mount.create_source and mount.type == "bind"]
    paths = [host_path(mount.source, "mounts") for mount in asked]
    return tuple(path for path in paths if not os.path.exists(path))


def rootfs_propagation(placed: tuple[SpecMount, ...]) -> str | None:
    """Give the propagation that the root needs, so that mounts of the host reach a shared or slave bind."""
    words = {word for mount in placed for word in mount.options}
    if words & {"shared", "rshared"}:
        return "shared"
    return "rslave" if words & {"slave", "rslave"} else None


def _asked(options: RunOptions) -> list[tuple[str, Mount | SpecMount]]:
    found: list[tuple[str, Mount | SpecMount]] = []
    if (given := options.get("volumes")) is not None:
        found += [("volumes", mount) for mount in volumes(given)]
    if (listed := options.get("mounts")) is not None:
        found += [("mounts", mount) for mount in mounts(listed)]
    if (memory := options.get("tmpfs")) is not None:
        found += [("tmpfs", mount) for mount in tmpfs(memory)]
    return found


def _lowered(
    mount: Mount, argument: str, host: HostFacts, in_userns: bool, driver: str | None
) -> SpecMount | VolumeWish:
    target = container_path(mount.target, argument)
    if mount.type == "volume":
        _check_recursive(mount, target, argument)
        read_only = [_read_only(mount, target, host)] if boolean(mount.read_only, argument) else []
        return wish(mount, target, argument, tuple(read_only), driver)
    if mount.no_copy or mount.subpath or mount.labels or mount.driver or mount.driver_opts:
        fail(argument, f"{target}: no_copy, subpath, labels, driver and driver_opts are for volumes alone")
    if mount.type == "tmpfs":
        return _tmpfs(mount, target, argument)
    if mount.type != "bind":
        fail(argument, f"{target}: {mount.type!r} is none of bind, tmpfs and volume")
    if mount.tmpfs_size is not None or mount.tmpfs_mode is not None:
        fail(argument, f"{target}: tmpfs_size and tmpfs_mode are not for a bind mount")
    source = host_path(mount.source, argument)
    _check_source(source, mount.create_source, argument)
    _check_recursive(mount, target, argument)
    words = ["bind" if mount.recursive == "disabled" else "rbind"]
    if boolean(mount.read_only, argument):
        words.append(_read_only(mount, target, host))
    words.append(_propagation(mount, source, target, argument, in_userns))
    return SpecMount(target, "bind", source, tuple(words))


def _tmpfs(mount: Mount, target: str, argument: str) -> SpecMount:
    if mount.source:
        fail(argument, f"{target}: a tmpfs has no source, but {mount.source!r} is given")
    if mount.propagation is not None or mount.recursive != "enabled" or mount.create_source:
        fail(argument, f"{target}: propagation, recursive and create_source are for bind mounts alone")
    words = ["ro"] if boolean(mount.read_only, argument) else []
    if mount.tmpfs_size is not None:
        words.append(f"size={size(mount.tmpfs_size, argument)}")
    if mount.tmpfs_mode is not None:
        words.append(f"mode={integer(mount.tmpfs_mode, argument, 0, 0o7777):o}")
    return SpecMount(target, "tmpfs", "tmpfs", merge_options(words, argument))


def _check_recursive(mount: Mount, target: str, argument: str) -> None:
    if mount.recursive not in RECURSIONS:
        fail(argument, f"{target}: recursive is {mount.recursive!r}, none of {', '.join(RECURSIONS)}")


def _check_source(source: str, create: bool, argument: str) -> None:
    try:
        os.stat(source)
    except FileNotFoundError:
        if not boolean(create, argument):
            fail(argument, f"the source {source} does not exist on the host; make it, or ask for it by create_source")
    except OSError as error:
        fail(argument, f"the source {source} cannot be used: {error.strerror}")


def _read_only(mount: Mount, target: str, host: HostFacts) -> str:
    if mount.recursive in ("disabled", "writable"):
        return "ro"
    if host.kernel >= _RECURSIVE_READ_ONLY:
        return "rro"
    if mount.recursive == "readonly":
        raise Unsupported(f"recursive='readonly' at {target}", "it needs mount_setattr, which came with Linux 5.12")
    return "ro"


def _propagation(mount: Mount, source: str, target: str, argument: str, in_userns: bool) -> str:
    asked = mount.propagation or "rprivate"
    if asked not in PROPAGATIONS:
        fail(argument, f"{target}: propagation is {asked!r}, none of {', '.join(PROPAGATIONS)}")
    kind = asked.removeprefix("r")
    if kind == "private":
        return asked
    if kind == "shared" and in_userns:
        raise Unsupported(f"propagation={asked} at {target}", "mounts of a user namespace never reach the host")
    peers = _peers(source)
    if "shared:" not in peers and (kind == "shared" or "master:" not in peers):
        fail(argument, f"{target}: propagation is {asked}, but {source} lies on a mount of the host that is private")
    return asked


def _peers(source: str) -> str:
    """Give the optional fields that mountinfo has for the mount where this path lies (proc_pid_mountinfo(5))."""
    real = os.path.realpath(source)
    best, peers = "", ""
    with open("/proc/thread-self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.partition(" - ")[0].split(" ")
            point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, peers = point, " ".join(fields[6:])
    return peers
