"""Lines of Docker's json-file format: `{"log":"text\\n","stream":"stdout","time":"2026-01-01T00:00:00.000000000Z"}`.

Takes blocks of whole lines, gives LogLine. A line that is none is left out, and what a crash or a full disk has cut off
costs no line but its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

__all__ = ["LogLine", "parse_block"]

_SECOND = 1_000_000_000
_STAMP_LETTERS = 30
_TEXT = rb'([^"\\\x00-\x1f]*+)((?:\\.[^"\\\x00-\x1f]*+)*+)'
_STAMP = rb"([12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z)"
_LINES = re.compile(
    rb'^\{"log":"' + _TEXT + rb'","stream":"(stdout|stderr)","time":"' + _STAMP + rb'"\}$', re.MULTILINE
)
_WHOLE_STAMP = re.compile(_STAMP)
_BEGINNING = b'{"log":"'  # nowhere else in a line, for quotes in texts are escaped
_SURROGATE = re.compile("[\ud800-\udfff]")
_STREAMS = {b"stdout": "stdout", b"stderr": "stderr"}


class LogLine(NamedTuple):
    """One line of a container's log, or a part of one that is long. (A tuple: a million are made in a second.)"""

    stream: str
    """ "stdout" or "stderr"."""
    text: bytes
    """What was written, with its newline; a part that is not the last has none."""
    stamp: bytes
    """When, as `docker logs --timestamps` prints it."""

    @property
    def time_ns(self) -> int:
        """When it was written, in nanoseconds since 1970."""
        year, month, day, hour, minute, second, fraction = map(int, re.split(rb"[-T:.]", self.stamp[:-1]))
        days = date(year, month, 1).toordinal() - date(1970, 1, 1).toordinal() + day - 1
        return (((days * 24 + hour) * 60 + minute) * 60 + second) * _SECOND + fraction


def parse_block(block: bytes) -> Sequence[LogLine]:
    """Give the lines of a block of whole lines."""
    found = _LINES.findall(block)
    if len(found) != block.count(b"\n") or not _is_utf8(block):
        return list(_one_by_one(block))
    new, streams = tuple.__new__, _STREAMS  # LogLine(…) takes half as long again
    try:
        return [
            new(
                LogLine,
                (
                    streams[stream],
                    plain + b"\n" if rest == b"\\n" else _unescaped(plain + rest),
                    stamp if len(stamp) == _STAMP_LETTERS else _padded(stamp),
                ),
            )
            for plain, rest, stream, stamp in found
        ]
    except ValueError:  # an escape that is none
        return list(_one_by_one(block))


def _one_by_one(block: bytes) -> Iterator[LogLine]:
    for each in block.split(b"\n"):
        line = _any(each)
        if line is None and (at := each.rfind(_BEGINNING)) > 0:  # after one that was cut off
            line = _any(each[at:])
        if line is not None:
            yield line


def _any(text: bytes) -> LogLine | None:
    """Read a line with its fields in any order, and with others; without text it has no `log` (docker's omitempty)."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    log, stream, time = fields.get("log", ""), fields.get("stream"), fields.get("time")
    if not isinstance(log, str) or stream not in ("stdout", "stderr") or not isinstance(time, str):
        return None
    stamp = time.encode("utf-8", "replace")
    return LogLine(stream, _encoded(log), _padded(stamp)) if _WHOLE_STAMP.fullmatch(stamp) else None


def _unescaped(text: bytes) -> bytes:
    return text if b"\\" not in text else _encoded(json.loads(b'"%b"' % text))


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a pair, which Go reads so too
        return _SURROGATE.sub("\ufffd", text).encode()


def _padded(stamp: bytes) -> bytes:
    """Give a time its nine digits, so that times compare as texts do."""
    seconds, _, fraction = stamp[:-1].partition(b".")
    return b"%b.%bZ" % (seconds, fraction.ljust(9, b"0"))


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True
