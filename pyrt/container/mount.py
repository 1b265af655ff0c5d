"""A mount as people ask for it, and the notations that they write it in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pyrt.container.checks import container_path, fail, sequence, text
from pyrt.container.sizes import parse_size

__all__ = ["PROPAGATIONS", "RECURSIONS", "Mount", "mounts", "parse_mount", "parse_volume", "volumes"]

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_TYPES = ("bind", "tmpfs", "volume")
RECURSIONS = ("enabled", "disabled", "writable", "readonly")
_NO_EFFECT = frozenset({"", "rw", "default", "consistent", "cached", "delegated"})  # not even in Docker, on Linux
_RELABEL = frozenset({"z", "Z"})
_TRUE, _FALSE = ("", "true", "1"), ("false", "0")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount, in the words of docker.types.Mount.

    `source` is a path of the host (bind), a name (volume) or None (tmpfs). `recursive` says what becomes of mounts
    below the source: `enabled` brings them along, read-only with the rest where the kernel can do that (5.12);
    `readonly` insists on it; `writable` brings them as they are; `disabled` leaves them behind. `tmpfs_size` is in
    bytes, and half of the memory where it is not given; `tmpfs_mode` are permissions, 0o1777 where not given.
    `create_source` makes the directory where there is none, as `docker run -v` does.

    A volume that there is not yet is made, with `driver` (default "local"), `driver_opts` and `labels`; without a
    source it is an anonymous one. `no_copy` leaves it empty, where otherwise its first container fills it with what the
    image has at the target. `subpath` is what is mounted of it, a path that no link leads out of the volume.
    """

    target: str
    source: str | os.PathLike[str] | None = None
    type: Literal["bind", "tmpfs", "volume"] = "volume"
    read_only: bool = False
    propagation: str | None = None  # one of PROPAGATIONS; None is rprivate
    recursive: Literal["enabled", "disabled", "writable", "readonly"] = "enabled"
    tmpfs_size: int | str | None = None
    tmpfs_mode: int | None = None
    create_source: bool = False
    no_copy: bool = False
    labels: Mapping[str, str] | None = field(default=None, hash=False)
    driver: str | None = None
    driver_opts: Mapping[str, str] | None = field(default=None, hash=False)
    subpath: str = ""


def parse_volume(value: str, *, argument: str = "volumes") -> Mount:
    """Read `[SOURCE:]TARGET[:OPTION,…]` as `docker run -v` does: `/srv:/data:ro,rslave`.

    A source that begins with a slash is bound; another is the name of a volume. Raises InvalidOption.
    """
    parts = text(value, argument).split(":")
    if len(parts) == 1:
        return Mount(container_path(value, argument))
    if len(parts) > 3 or not parts[0]:
        fail(argument, f"{value!r} is not SOURCE:TARGET[:OPTIONS], as in '/srv:/data:ro'")
    return _volume(parts[0], parts[1], parts[2] if len(parts) == 3 else "", argument)


def parse_mount(value: str, *, argument: str = "mounts") -> Mount:
    """Read `KEY=VALUE,…` as `docker run --mount` does: `type=bind,source=/srv,target=/data,readonly`.

    A field that holds a comma stands in double quotes, as in CSV. Raises InvalidOption.
    """
    fields: dict[str, Any] = {}  # _field gives each its type
    for entry in _fields(value, argument):
        key, _, given = entry.partition("=")
        name, found = _field(key.strip().lower(), given, argument)
        if name in fields and not isinstance(found, dict):
            fail(argument, f"{key!r} is given twice in {value!r}")
        fields[name] = fields.get(name, {}) | found if isinstance(found, dict) else found
    if "target" not in fields:
        fail(argument, f"{value!r} names no target")
    fields.pop("consistency", None)
    return Mount(**fields)


def volumes(value: object, argument: str = "volumes") -> list[Mount]:
    """Take docker-py's `{source: {"bind": target, "mode": options}}` or `["source:target:options"]`."""
    if not isinstance(value, Mapping):
        return [parse_volume(text(item, argument), argument=argument) for item in sequence(value, argument)]
    found = []
    for key, entry in value.items():
        source = text(os.fspath(key) if isinstance(key, os.PathLike) else key, argument)
        if not isinstance(entry, Mapping):
            found.append(_volume(source, text(entry, argument), "", argument))
            continue
        if unknown := entry.keys() - {"bind", "mode", "ro", "propagation"}:
            fail(
                argument, f"{source!r} has {min(map(str, unknown))!r}, which is none of bind, mode, ro and propagation"
            )
        if "bind" not in entry:
            fail(argument, f"{source!r} has no 'bind', the path in the container")
        if "ro" in entry and "mode" in entry:
            fail(argument, f"{source!r} has both 'ro' and 'mode'")
        mode = ("ro" if entry["ro"] else "rw") if "ro" in entry else text(entry.get("mode", ""), argument)
        mode = f"{mode},{text(entry['propagation'], argument)}" if entry.get("propagation") else mode
        found.append(_volume(source, text(entry["bind"], argument), mode, argument))
    return found


def mounts(value: object, argument: str = "mounts") -> list[Mount]:
    """Take a list of Mount, and of text as parse_mount reads it."""
    found = []
    for item in sequence(value, argument):
        mount = parse_mount(item, argument=argument) if isinstance(item, str) else item
        if not isinstance(mount, Mount):
            fail(argument, f"{item!r} is not a Mount")
        found.append(mount)
    return found


def _volume(source: str, target: str, options: str, argument: str) -> Mount:
    if not source:
        fail(argument, "the source is empty")
    if not source.startswith("/") and ("/" in source or source.startswith((".", "~"))):
        fail(argument, f"{source!r} is neither an absolute path on the host nor the name of a volume")
    words = options.split(",")
    kind: Literal["bind", "volume"] = "bind" if source.startswith("/") else "volume"
    own = {"ro", "nocopy"} if kind == "volume" else {"ro"}
    if unknown := set(words) - _NO_EFFECT - own - set(PROPAGATIONS):
        word = min(unknown)
        reason = (
            "SELinux labels are left as they are" if word in _RELABEL else f"not of ro, rw, {', '.join(PROPAGATIONS)}"
        )
        fail(argument, f"{source}:{target} cannot have the option {word!r}: {reason}")
    propagations = [word for word in words if word in PROPAGATIONS]
    if len(propagations) > 1 or {"ro", "rw"} <= set(words):
        fail(argument, f"the options of {source}:{target} contradict each other: {options!r}")
    propagation = propagations[0] if propagations else None
    path, no_copy = container_path(target, argument), "nocopy" in words
    return Mount(path, source, kind, "ro" in words, propagation, no_copy=no_copy)


def _fields(value: str, argument: str) -> list[str]:
    if '"' not in text(value, argument):
        return value.split(",")
    import csv

    try:
        rows = list(csv.reader([value], strict=True))
    except csv.Error as error:
        fail(argument, f"{value!r} is not a list of fields: {error}")
    return rows[0] if rows else []


def _field(key: str, given: str, argument: str) -> tuple[str, object]:
    match key:
        case "type":
            return "type", _one_of(given, _TYPES, key, argument)
        case "source" | "src":
            return "source", given
        case "target" | "dst" | "destination":
            return "target", container_path(given, argument)
        case "readonly" | "ro":
            return "read_only", _flag(key, given, argument)
        case "bind-propagation":
            return "propagation", _one_of(given, PROPAGATIONS, key, argument)
        case "bind-recursive":
            return "recursive", _one_of(given, RECURSIONS, key, argument)
        case "bind-nonrecursive":
            return "recursive", "disabled" if _flag(key, given, argument) else "enabled"
        case "bind-create-src":
            return "create_source", _flag(key, given, argument)
        case "tmpfs-size":
            return "tmpfs_size", parse_size(given, argument=argument)
        case "tmpfs-mode":
            return "tmpfs_mode", _octal(given, argument)
        case "volume-nocopy":
            return "no_copy", _flag(key, given, argument)
        case "volume-subpath":
            return "subpath", given
        case "volume-driver":
            return "driver", given
        case "volume-label" | "volume-opt":
            name, _, text_of_it = given.partition("=")
            return "labels" if key == "volume-label" else "driver_opts", {name: text_of_it}
        case "consistency":
            return "consistency", _one_of(given, tuple(_NO_EFFECT - {"", "rw"}), key, argument)
    fail(argument, f"{key!r} is not a field of a mount")


def _one_of(given: str, words: tuple[str, ...], key: str, argument: str) -> str:
    if given not in words:
        fail(argument, f"{key}={given} is none of {', '.join(sorted(words))}")
    return given


def _flag(key: str, given: str, argument: str) -> bool:
    return _one_of(given.lower(), _TRUE + _FALSE, key, argument) in _TRUE


def _octal(given: str, argument: str) -> int:
    if not 1 <= len(given) <= 5 or set(given) - set("01234567"):
        fail(argument, f"tmpfs-mode={given} is not an octal number")
    return int(given, 8)
