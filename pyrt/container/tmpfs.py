"""File systems in memory: their options, and which of two that contradict each other wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyrt.container.checks import container_path, fail, number, sequence, text
from pyrt.container.sizes import parse_size
from pyrt.oci.spec import Mount

__all__ = ["merge_options", "parse_tmpfs", "tmpfs"]

_DEFAULTS = ("noexec", "nosuid", "nodev")
_ALTERNATIVES = (
    "rw ro",
    "exec noexec",
    "suid nosuid",
    "dev nodev",
    "relatime strictatime noatime",
    "diratime nodiratime",
)
_GROUP = {word: group.split()[0] for group in _ALTERNATIVES for word in group.split()}
_VALUES = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge")


def parse_tmpfs(value: str, *, argument: str = "tmpfs") -> Mount:
    """Read `TARGET[:OPTION,…]` as `docker run --tmpfs` does: `/run:rw,size=64m,mode=1777`. Raises InvalidOption."""
    target, _, options = text(value, argument).partition(":")
    return _mount(target, options, argument)


def tmpfs(value: object, argument: str = "tmpfs") -> list[Mount]:
    """Take docker-py's `{target: options}` or `["target:options"]`."""
    if isinstance(value, Mapping):
        return [_mount(target, "" if options is None else options, argument) for target, options in value.items()]
    return [parse_tmpfs(text(item, argument), argument=argument) for item in sequence(value, argument)]


def merge_options(words: Iterable[str], argument: str = "tmpfs") -> tuple[str, ...]:
    """Give Docker's default options (noexec, nosuid, nodev) under these, the last of a kind winning.

    Raises InvalidOption for a word that tmpfs(5) and mount(8) do not have.
    """
    found = {_GROUP[word]: word for word in _DEFAULTS}
    for word in words:
        if not word or word == "defaults":
            continue
        kind = _GROUP.get(word) or _checked_value(word, argument)
        found.pop(kind, None)
        found[kind] = word
    return tuple(found.values())


def _mount(target: object, options: object, argument: str) -> Mount:
    words = text(options, argument).split(",")
    return Mount(container_path(target, argument), "tmpfs", "tmpfs", merge_options(words, argument))


def _checked_value(word: str, argument: str) -> str:
    key, equals, value = word.partition("=")
    if key not in _VALUES or not equals:
        fail(argument, f"{word!r} is not an option of a tmpfs")
    if key in ("uid", "gid"):
        number(value, argument)
    elif key == "mode" and (not 1 <= len(value) <= 5 or set(value) - set("01234567")):
        fail(argument, f"{word!r} is not an octal mode")
    elif key == "size" and value.endswith("%"):
        number(value[:-1], argument)
    elif key in ("size", "nr_inodes", "nr_blocks"):
        parse_size(value, argument=argument)
        if value[-1] not in "0123456789kmgKMG":
            fail(argument, f"{word!r}: tmpfs knows only the units k, m and g, and %")
    elif not value:
        fail(argument, f"{word!r} has no value")
    return key
