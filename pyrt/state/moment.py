"""Moments as docker takes them for `since` and `until`, and as it writes them."""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from datetime import UTC, datetime

from pyrt.errors import InvalidOption

__all__ = ["Moment", "parse_moment", "stamp"]

Moment = datetime | float | str
"""A datetime, seconds since 1970, or a text: see parse_moment."""

_SECOND = 1_000_000_000
_END_NS = 253_402_300_800 * _SECOND  # the year 10000
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_PIECE = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?", re.ASCII)
_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ]([0-9]{2}(?::[0-9]{2}(?::[0-9]{2})?)?)(?:[.,]([0-9]{1,9}))?)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)


def parse_moment(value: Moment, argument: str, *, now_ns: int | None = None) -> int:
    """Read a moment; give it in nanoseconds since 1970.

    It is a datetime (UTC where it names no zone, as in docker-py), seconds since 1970, or a text as docker's command
    line takes it: seconds, how long ago ("10m", "1h30m"), RFC 3339 or its beginning ("2026-01-31", "2026-01-31T12:00";
    the local time where it names no zone). What lies before 1970 is 1970. Raises InvalidOption, which names `argument`.
    """
    if isinstance(value, datetime):
        moment = _of_datetime(value if value.tzinfo else value.replace(tzinfo=UTC))
    elif isinstance(value, str):
        moment = _of_text(value.strip(), argument, time.time_ns() if now_ns is None else now_ns)
    else:
        moment = _of_number(value, argument)
    if moment >= _END_NS:
        raise InvalidOption(f"{value!r} lies beyond the year 9999", argument=argument)
    return max(moment, 0)


def stamp(moment_ns: int) -> str:
    """Write a moment as docker's logs have it: RFC 3339 in UTC with nine digits of the second."""
    seconds, rest = divmod(moment_ns, _SECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def _of_number(value: object, argument: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidOption(f"{value!r} is no time: give a datetime or seconds since 1970", argument=argument)
    whole = math.floor(value)
    return whole * _SECOND + round((value - whole) * _SECOND)


def _of_datetime(value: datetime) -> int:
    since = value - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * _SECOND + since.microseconds * 1000


def _of_text(text: str, argument: str, now_ns: int) -> int:
    if found := _SECONDS.fullmatch(text):
        return int(found[1]) * _SECOND + int((found[2] or "").ljust(9, "0"))
    sign, length = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if length and not _PIECE.sub("", length):
        pieces = _PIECE.findall(length)
        return now_ns - sign * min(sum(round(float(count) * _UNITS[unit]) for count, unit in pieces), _END_NS)
    with suppress(ValueError, OverflowError):  # of a thirteenth month, and the like
        if found := _DATE.fullmatch(text):
            day, clock, fraction, zone = found.groups()
            moment = datetime.fromisoformat(f"{day}T{(clock or '00') + ':00:00'[: 8 - len(clock or '00')]}")
            moment = moment.astimezone() if zone is None else datetime.fromisoformat(moment.isoformat() + zone.upper())
            return _of_datetime(moment) + int((fraction or "").ljust(9, "0"))
    message = f"{text!r} is no time: write 10m (ago), 2026-01-31T12:00:00Z or seconds since 1970"
    raise InvalidOption(message, argument=argument)
