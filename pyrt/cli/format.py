"""What people read: complaints on stderr, tables on a terminal."""

from __future__ import annotations

import sys

__all__ = ["complain", "in_flags"]


def complain(message: str) -> None:
    """Write one line on stderr, whatever the message holds: no terminal obeys the name of a file."""
    line = "; ".join(part for part in message.splitlines() if part.strip())
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
    print(f"pyrt: {line}", file=sys.stderr, flush=True)


def in_flags(message: str) -> str:
    """Give a message that begins with the name of an option (`mem_limit: …`) with the flag's name in its place."""
    from pyrt.cli.flags import FLAG_OF_OPTION

    end = next((at for at, letter in enumerate(message) if not (letter.isalnum() or letter == "_")), 0)
    name, mark = message[:end], message[end : end + 1]
    if name in FLAG_OF_OPTION and (mark in (":", "=") or (mark == " " and "_" in name)):  # no word of plain English
        return FLAG_OF_OPTION[name] + message[end:]
    return message
