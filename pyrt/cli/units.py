"""Sizes and times as docker writes them (docker/go-units)."""

from __future__ import annotations

__all__ = ["ago", "binary_size", "duration", "size"]

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def size(size_bytes: float, digits: int = 3) -> str:
    """Give a size in decimal units, with so many significant digits: 117MB."""
    unit = 0
    while size_bytes >= 1000 and unit < len(_SIZES) - 1:
        size_bytes /= 1000
        unit += 1
    return f"{size_bytes:.{digits}g}{_SIZES[unit]}"


def binary_size(size_bytes: float) -> str:
    """Give a size in binary units, with four significant digits: 1.5MiB."""
    unit = 0
    while size_bytes >= 1024 and unit < len(_BINARY) - 1:
        size_bytes /= 1024
        unit += 1
    return f"{size_bytes:.4g}{_BINARY[unit]}"


def duration(seconds: float) -> str:
    """Give about how long something took, in words."""
    minutes, hours = int(seconds / 60), int(seconds / 3600 + 0.5)
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds < 2 else f"{int(seconds)} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    days = hours // 24
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    return f"{days // 30} months" if days < 730 else f"{int(seconds / 3600) // 24 // 365} years"


def ago(moment_seconds: float, now_seconds: float) -> str:
    """Give how long ago a moment was; a moment of 0 is none."""
    return "N/A" if not moment_seconds else f"{duration(now_seconds - moment_seconds)} ago"
