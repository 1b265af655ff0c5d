"""Sizes and times as docker writes them (docker/go-units)."""

from __future__ import annotations

__all__ = ["ago", "duration", "size"]

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def size(size_bytes: float, digits: int = 3) -> str:
    """Give a size in decimal units, with `digits` significant ones: 117MB."""
    unit = 0
    while size_bytes >= 1000 and unit < len(_SIZES) - 1:
        size_bytes /= 1000
        unit += 1
    return f"{size_bytes:.{digits}g}{_SIZES[unit]}"


def duration(seconds: float) -> str:
    """Give about how long something took, in words."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 2:
        return "1 second"
    for limit, unit, one, many in (
        (_MINUTE, 1, "", "seconds"),
        (_HOUR, _MINUTE, "About a minute", "minutes"),
        (48 * _HOUR, _HOUR, "About an hour", "hours"),
        (14 * _DAY, _DAY, "", "days"),
        (60 * _DAY, 7 * _DAY, "", "weeks"),
        (730 * _DAY, 30 * _DAY, "", "months"),
    ):
        count = int(seconds / unit + (0.5 if unit == _HOUR else 0))
        if seconds < limit:
            return one if count == 1 and one else f"{count} {many}"
    return f"{int(seconds / (365 * _DAY))} years"


def ago(moment_seconds: float, now_seconds: float) -> str:
    """Give how long ago a moment was; a moment of 0 is none."""
    return "N/A" if not moment_seconds else f"{duration(max(0.0, now_seconds - moment_seconds))} ago"
