"""Resource limits of processes (getrlimit(2)), called ulimits as Docker calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyrt.container.checks import fail, number, sequence, text
from pyrt.container.host import RLIMITS, HostFacts
from pyrt.errors import Unsupported
from pyrt.oci.spec import Rlimit

__all__ = ["Ulimit", "check_ulimits", "parse_ulimit", "ulimits"]

_INFINITY = -1


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A limit by the kernel's name without RLIMIT_, in small letters (`nofile`); -1 is unlimited.

    `hard` None means as much as `soft`. Units are getrlimit(2)'s: bytes, seconds (cpu),
    microseconds (rttime) or counts.
    """

    name: str
    soft: int
    hard: int | None = None


def parse_ulimit(value: str, *, argument: str = "ulimits") -> Ulimit:
    """Read `NAME=SOFT[:HARD]`, where a limit is a number, -1 or `unlimited`. Raises InvalidOption."""
    name, equals, limits = text(value, argument).partition("=")
    if not equals:
        fail(argument, f"{value!r} is not NAME=SOFT[:HARD], as in 'nofile=1024:2048'")
    soft, colon, hard = limits.partition(":")
    found = Ulimit(name, _limit(soft, argument), _limit(hard, argument) if colon else None)
    _rlimit(found.name, found.soft, found.hard, argument)
    return found


def ulimits(value: object, argument: str = "ulimits") -> tuple[Rlimit, ...]:
    """Take `{name: soft}`, `{name: (soft, hard)}`, or a list of `name=soft:hard`, Ulimit and docker.types.Ulimit."""
    found: dict[str, Rlimit] = {}
    for limit in _each(value, argument):
        if limit.type in found:
            fail(argument, f"{limit.type.removeprefix('RLIMIT_').lower()} is given twice")
        found[limit.type] = limit
    return tuple(found.values())


def check_ulimits(limits: tuple[Rlimit, ...], host: HostFacts) -> None:
    """Refuse what the host program may not give: a hard limit above its own without CAP_SYS_RESOURCE.

    Raises Unsupported, which names the limit and both values.
    """
    for limit in limits:
        own = host.hard_limits.get(limit.type, _INFINITY)
        name = limit.type.removeprefix("RLIMIT_").lower()
        if limit.type == "RLIMIT_NOFILE" and not 0 <= limit.hard <= host.max_open_files:
            reason = f"the kernel allows {host.max_open_files} (fs.nr_open), {_shown(limit.hard)} was asked for"
            raise Unsupported(f"ulimit {name}", reason)
        if own != _INFINITY and not 0 <= limit.hard <= own and not host.has_sys_resource:
            reason = (
                f"the hard limit is {own} here, {_shown(limit.hard)} was asked for; raising it needs CAP_SYS_RESOURCE"
            )
            raise Unsupported(f"ulimit {name}", reason)


def _each(value: object, argument: str) -> list[Rlimit]:
    if isinstance(value, Mapping):
        return [_entry(name, limit, argument) for name, limit in value.items()]
    found = []
    items: Sequence[Any] = sequence(value, argument)
    for item in items:
        if isinstance(item, str):
            item = parse_ulimit(item, argument=argument)
        try:
            found.append(_rlimit(item.name, item.soft, item.hard, argument))  # a Ulimit, docker-py's too
        except AttributeError:
            fail(argument, f"{item!r} is neither 'name=soft:hard' nor a Ulimit")
    return found


def _entry(name: object, limit: object, argument: str) -> Rlimit:
    if not isinstance(limit, list | tuple):
        return _rlimit(name, limit, None, argument)
    if len(limit) != 2:
        fail(argument, f"{name!r} takes a number or (soft, hard), not {limit!r}")
    return _rlimit(name, limit[0], limit[1], argument)


def _rlimit(name: object, soft: object, hard: object, argument: str) -> Rlimit:
    if not isinstance(name, str) or name not in RLIMITS:
        fail(argument, f"{name!r} is not a limit; there are {', '.join(RLIMITS)}")
    low = _checked(name, soft, argument)
    high = low if hard is None else _checked(name, hard, argument)
    if high != _INFINITY and (low == _INFINITY or low > high):
        fail(argument, f"{name}: the soft limit {_shown(low)} is above the hard limit {_shown(high)}")
    return Rlimit(RLIMITS[name], low, high)


def _checked(name: str, limit: object, argument: str) -> int:
    if not isinstance(limit, int) or isinstance(limit, bool) or not _INFINITY <= limit < 2**63:
        fail(argument, f"{name}: {limit!r} is neither a count nor -1 (unlimited)")
    return limit


def _limit(limit: str, argument: str) -> int:
    return _INFINITY if limit in ("-1", "unlimited") else number(limit, argument)


def _shown(limit: int) -> str:
    return "unlimited" if limit == _INFINITY else str(limit)
