"""Devices of the host in the container: nodes, or binds where nodes cannot be made, and the rules to use them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyrt.container.checks import container_path, fail, host_path, number, sequence, strings, text
from pyrt.container.options import RunOptions
from pyrt.errors import Unsupported
from pyrt.oci.spec import Device, DeviceRule, Mount

__all__ = [
    "DEFAULT_DEVICES",
    "DEFAULT_RULES",
    "Access",
    "DeviceMapping",
    "device_access",
    "parse_device",
    "parse_device_rule",
]

DEFAULT_DEVICES = (
    Device("/dev/null", "c", 1, 3),
    Device("/dev/zero", "c", 1, 5),
    Device("/dev/full", "c", 1, 7),
    Device("/dev/random", "c", 1, 8),
    Device("/dev/urandom", "c", 1, 9),
    Device("/dev/tty", "c", 5, 0),
)
# Nothing; any node may be made; the defaults above, the console and the terminals of devpts may be used.
DEFAULT_RULES = (
    DeviceRule(False),
    DeviceRule(True, "c", None, None, "m"),
    DeviceRule(True, "b", None, None, "m"),
    *(DeviceRule(True, device.type, device.major, device.minor, "rwm") for device in DEFAULT_DEVICES),
    DeviceRule(True, "c", 5, 1, "rwm"),
    DeviceRule(True, "c", 5, 2, "rwm"),
    DeviceRule(True, "c", 136, None, "rwm"),
)
_ALL_RULES = (DeviceRule(True),)
_NOT_DEVICES = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"})
_DEFAULT_PATHS = frozenset(device.path for device in DEFAULT_DEVICES)


@dataclass(frozen=True, slots=True)
class DeviceMapping:
    """A device (or a directory of them) of the host, its path in the container, and access of r, w and m."""

    path_on_host: str
    path_in_container: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class Access:
    """What devices come to: nodes to make, nodes of the host to bind, and rules (none where no cgroup can be asked)."""

    devices: tuple[Device, ...]
    binds: tuple[Mount, ...]
    rules: tuple[DeviceRule, ...]


def parse_device(value: str, *, argument: str = "devices") -> DeviceMapping:
    """Read `SOURCE[:TARGET][:PERMISSIONS]` as `docker run --device` does. Raises InvalidOption."""
    parts = text(value, argument).split(":")
    target, access = parts[0], "rwm"
    match parts[1:]:
        case []:
            pass
        case [word] if _is_access(word):
            access = word
        case [word]:
            target = word
        case [word, access]:
            target = word or target
        case _:
            fail(argument, f"{value!r} is not SOURCE[:TARGET][:PERMISSIONS], as in '/dev/sda:/dev/xvda:rwm'")
    return _mapping(parts[0], target, access, argument)


def parse_device_rule(value: str, *, argument: str = "device_cgroup_rules") -> DeviceRule:
    """Read `TYPE MAJOR:MINOR ACCESS`, as in `c 10:200 rwm` or `b 8:* r`. Raises InvalidOption."""
    parts = text(value, argument).split(" ")
    numbers = parts[1].split(":") if len(parts) == 3 else []
    if len(numbers) != 2 or parts[0] not in ("a", "b", "c") or not _is_access(parts[2]):
        fail(argument, f"{value!r} is not TYPE MAJOR:MINOR ACCESS, as in 'c 10:200 rwm'")
    major, minor = (None if edge == "*" else number(edge, argument) for edge in numbers)
    return DeviceRule(True, parts[0], major, minor, parts[2])


def device_access(options: RunOptions, *, privileged: bool, in_userns: bool) -> Access:
    """Give the default devices and those asked for.

    In a user namespace no node can be made, so all of them are binds; and no device rules can be set, so the
    permissions of the host's nodes are what counts. Raises InvalidOption and Unsupported.
    """
    asked = _asked(options)
    rules = [parse_device_rule(rule) for rule in strings(options.get("device_cgroup_rules"), "device_cgroup_rules")]
    if privileged:
        asked = {device.path: (device, device.path, "rwm") for device in _host_devices("/dev")} | asked
    if in_userns:
        return Access((), _binds(asked, rules), ())
    devices: tuple[Device, ...] = DEFAULT_DEVICES
    if asked:
        nodes = {device.path: device for device in DEFAULT_DEVICES}
        for path, (device, _, _) in asked.items():
            if not path.startswith("/dev/"):
                fail("devices", f"{path}: a node can only be made below /dev")
            nodes[path] = device
        devices = tuple(nodes.values())
    if privileged:
        return Access(devices, (), _ALL_RULES)
    if not asked and not rules:
        return Access(devices, (), DEFAULT_RULES)
    granted = [DeviceRule(True, node.type, node.major, node.minor, access) for node, _, access in asked.values()]
    return Access(devices, (), (*DEFAULT_RULES, *granted, *rules))


def _binds(asked: dict[str, tuple[Device, str, str]], rules: list[DeviceRule]) -> tuple[Mount, ...]:
    reason = "in a user namespace the permissions of the host's nodes alone count"
    if rules:
        raise Unsupported("device_cgroup_rules", reason)
    sources = {device.path: device.path for device in DEFAULT_DEVICES}
    for path, (_, source, access) in asked.items():
        if not set("rw") <= set(access):
            raise Unsupported(f"devices {source}:{path}:{access}", f"{reason}; ask for rw or rwm")
        sources[path] = source
    return tuple([Mount(path, "bind", source, ("bind",)) for path, source in sources.items()])


def _asked(options: RunOptions) -> dict[str, tuple[Device, str, str]]:
    """Give the devices asked for by their paths in the container, each with the host's path and the access."""
    found: dict[str, tuple[Device, str, str]] = {}
    for mapping in _mappings(options):
        for entry in _found(mapping):
            if entry[0].path in found:
                fail("devices", f"{entry[0].path} is given twice")
            found[entry[0].path] = entry
    return found


def _mappings(options: RunOptions) -> list[DeviceMapping]:
    return [_entry(item) for item in sequence(options.get("devices"), "devices")]


def _entry(item: object) -> DeviceMapping:
    if not isinstance(item, Mapping):
        return parse_device(text(item, "devices"))
    if item.keys() - {"PathOnHost", "PathInContainer", "CgroupPermissions"} or "PathOnHost" not in item:
        fail("devices", f"{item!r} has not just PathOnHost, PathInContainer and CgroupPermissions")
    source = item["PathOnHost"]
    return _mapping(source, item.get("PathInContainer") or source, item.get("CgroupPermissions", "rwm"), "devices")


def _mapping(source: object, target: object, access: object, argument: str) -> DeviceMapping:
    if not _is_access(text(access, argument)):
        fail(argument, f"{access!r} is not made of r, w and m")
    return DeviceMapping(host_path(source, argument), container_path(target, argument), text(access, argument))


def _is_access(word: str) -> bool:
    return 1 <= len(word) <= 3 and len(set(word)) == len(word) and not set(word) - set("rwm")


def _found(mapping: DeviceMapping) -> list[tuple[Device, str, str]]:
    """Give the device of a mapping, or each of a directory, with the host's path and the access."""
    source = mapping.path_on_host
    try:
        status = os.stat(source)
    except OSError as error:
        fail("devices", f"{source} cannot be used: {error.strerror}")
    if stat.S_ISDIR(status.st_mode):
        below = source.rstrip("/")
        found = [
            (device, device.path, mapping.path_in_container + device.path.removeprefix(below))
            for device in _host_devices(source)
        ]
    elif device := _device(status, source):
        found = [(device, source, mapping.path_in_container)]
    else:
        found = []
    if not found:
        fail("devices", f"{source} is not a device, nor a directory that holds one")
    return [
        (
            Device(target, node.type, node.major, node.minor, node.file_mode, node.uid, node.gid),
            path,
            mapping.permissions,
        )
        for node, path, target in found
    ]


def _host_devices(directory: str) -> Iterator[Device]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        fail("devices", f"{directory} cannot be read: {error.strerror}")
    for entry in entries:
        if entry.name in _NOT_DEVICES or entry.path in _DEFAULT_PATHS or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _host_devices(entry.path)
        elif device := _device(entry.stat(), entry.path):
            yield device


def _device(status: os.stat_result, path: str) -> Device | None:
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b" if stat.S_ISBLK(status.st_mode) else None
    if kind is None:
        return None
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return Device(path, kind, major, minor, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
