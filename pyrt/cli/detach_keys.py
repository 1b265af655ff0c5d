"""The keys that leave a container's terminal, by default Ctrl-P Ctrl-Q.

Takes what was typed, piece by piece; gives what is for the program. Keys that may be the beginning of the sequence are
held back until the next one says, so that none is lost and none comes twice, wherever a piece ends.
"""

from __future__ import annotations

from pyrt.errors import InvalidOption

__all__ = ["DEFAULT_KEYS", "DetachKeys", "parse_keys"]

DEFAULT_KEYS = "ctrl-p,ctrl-q"
_CONTROLS = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def parse_keys(text: str) -> bytes:
    """Read docker's notation: letters, and `ctrl-` with a letter or one of @ [ \\ ] ^ _, between commas.

    Empty text means that no keys leave. Raises InvalidOption.
    """
    found = bytearray()
    for key in text.split(",") if text else ():
        if len(key) == 1 and key.isascii():
            found.append(ord(key))
        elif key == "DEL":
            found.append(127)
        elif key.startswith("ctrl-") and len(key) == 6 and key[5] in _CONTROLS:
            found.append(_CONTROLS.index(key[5]))
        else:
            raise InvalidOption(f"{key!r} is no key: write a letter, or ctrl- and a letter", argument="--detach-keys")
    return bytes(found)


class DetachKeys:
    """Looks for a sequence in what is typed; `is_found` once it has come, and then nothing passes any more."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._held = b""
        self.is_found = False

    def feed(self, typed: bytes) -> bytes:
        """Take the next piece, give what is for the program."""
        if self.is_found or not self._sequence:
            return b"" if self.is_found else typed
        passed = bytearray()
        for at in range(len(typed)):
            seen = self._held + typed[at : at + 1]
            self._held = self._beginning(seen)
            passed += seen[: len(seen) - len(self._held)]
            if self._held == self._sequence:
                self.is_found = True
                break
        return bytes(passed)

    def finish(self) -> bytes:
        """Give what is held back at the end of all that is typed."""
        held, self._held = self._held, b""
        return b"" if self.is_found else held

    def _beginning(self, seen: bytes) -> bytes:
        """Give the longest end of `seen` that the sequence begins with."""
        ends = (seen[at:] for at in range(len(seen)))
        return next((end for end in ends if self._sequence.startswith(end)), b"")
