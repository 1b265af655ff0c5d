"""Headers that registries speak in: challenges, links, ranges and times; foreign text, read strictly or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["Challenge", "ContentRange", "challenges", "content_range", "next_link", "retry_after", "upload_end"]

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=\s|,|$)")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?=,|$)')
_LINK = re.compile(r'\s*<([^<>]*)>((?:\s*;\s*[^\s;,="]+(?:\s*=\s*+(?:"[^"]*"|[^\s;,"]*))?)*+)\s*(?:,|$)')
_RELATION = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]*))', re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes\s+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")
_UPLOAD_RANGE = re.compile(r"(?:bytes=)?([0-9]{1,19})-([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that a server offers: the scheme in lower case, its parameters likewise by name."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Which bytes an answer holds: from `first` to `last`, of `total` (None: not said)."""

    first: int
    last: int
    total: int | None


def challenges(values: Iterable[str]) -> list[Challenge]:
    """Read WWW-Authenticate headers (RFC 9110, 11.6.1); what does not parse ends its header."""
    found = []
    for value in values:
        at = 0
        while match := _SCHEME.match(value, at):
            at = match.end()
            parameters: dict[str, str] = {}
            while pair := _PARAMETER.match(value, at):
                quoted = re.sub(r"\\(.)", r"\1", pair[2]) if pair[2] is not None else pair[3]
                parameters.setdefault(pair[1].lower(), quoted)
                at = pair.end()
            found.append(Challenge(match[1].lower(), parameters))
    return found


def next_link(values: Iterable[str]) -> str | None:
    """Give the target of the first `rel=next` of Link headers (RFC 8288)."""
    for value in values:
        at = 0
        while (match := _LINK.match(value, at)) and match.end() > at:
            at = match.end()
            relation = _RELATION.search(match[2])
            if relation and "next" in (relation[1] or relation[2] or "").lower().split():
                return match[1]
    return None


def content_range(value: str) -> ContentRange | None:
    """Read a Content-Range of bytes; None where it is none or contradicts itself."""
    match = _CONTENT_RANGE.fullmatch(value.strip())
    if match is None:
        return None
    first, last, total = int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])
    return ContentRange(first, last, total) if first <= last and (total is None or last < total) else None


def upload_end(value: str) -> int | None:
    """Read the Range of an upload: how many bytes have arrived. None where it is none.

    `0-0` stands for nothing as well as for one byte, and is taken for nothing.
    """
    match = _UPLOAD_RANGE.fullmatch(value.strip())
    if match is None or int(match[1]) != 0:
        return None
    return int(match[2]) + 1 if int(match[2]) else 0


def retry_after(value: str, now: datetime | None = None) -> float | None:
    """Read Retry-After, seconds or a date, as seconds from now; None where it is neither."""
    text = value.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - (now or datetime.now(UTC))).total_seconds())
