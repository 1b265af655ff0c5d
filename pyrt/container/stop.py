"""The signal that asks a program to end."""

from __future__ import annotations

import signal

from pyrt.container.checks import fail, text

__all__ = ["parse_signal"]

_LAST = 64


def parse_signal(value: str | int, *, argument: str = "stop_signal") -> int:
    """Give the number of `15`, `"15"`, `"TERM"`, `"SIGTERM"`, `"SIGRTMIN+3"`.

    Raises InvalidOption.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    else:
        found = _by_name(text(value, argument).upper().removeprefix("SIG"))
    if not 1 <= found <= _LAST:
        fail(argument, f"{value!r} is not a signal; write its name, as in 'SIGTERM', or a number from 1 to {_LAST}")
    return found


def _by_name(name: str) -> int:
    if name.isascii() and name.isdigit() and len(name) <= 2:
        return int(name)
    for edge, base in (("RTMIN+", signal.SIGRTMIN), ("RTMAX-", signal.SIGRTMAX)):
        offset = name.removeprefix(edge)
        if offset != name:
            if not (offset.isascii() and offset.isdigit() and len(offset) <= 2):
                return 0
            found = base + int(offset) if edge == "RTMIN+" else base - int(offset)
            return found if signal.SIGRTMIN <= found <= signal.SIGRTMAX else 0
    members = signal.Signals.__members__
    return int(members[f"SIG{name}"]) if f"SIG{name}" in members else 0
