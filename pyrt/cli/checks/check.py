"""The outcome of one check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Check", "limited", "missing", "ok", "said"]


@dataclass(frozen=True, slots=True)
class Check:
    """Whether `name` can be had here: `reason` says what is so, `mend` what would change it ("" where nothing need)."""

    name: str
    state: Literal["ok", "limited", "missing"]
    reason: str = ""
    mend: str = ""


def ok(name: str, reason: str = "") -> Check:
    """It works."""
    return Check(name, "ok", reason)


def limited(name: str, reason: str, mend: str = "") -> Check:
    """It works in part, or containers do without it."""
    return Check(name, "limited", reason, mend)


def missing(name: str, reason: str, mend: str = "") -> Check:
    """It cannot be had."""
    return Check(name, "missing", reason, mend)


def said(text: str) -> tuple[str, str]:
    """Split a message of the house, `what is so: what would change it`."""
    reason, _, mend = text.partition(": ")
    return reason, mend
