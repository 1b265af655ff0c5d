"""How a container's program came to its end: one closed type, with the evidence.

match result.exit_cause:
    case Exited(code=0): ...
    case OutOfMemory(limit_bytes=limit): ...
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

__all__ = ["Cancelled", "ExitCause", "Exited", "OutOfMemory", "OutputLimit", "Signalled", "TimedOut", "returncode"]


@dataclass(frozen=True, slots=True)
class Exited:
    """The program ended by itself, with `code`."""

    code: int

    def __str__(self) -> str:
        return f"exited with {self.code}"


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal ended the program, and none of pyrt's own."""

    signal: int

    def __str__(self) -> str:
        return f"was ended by {signal_name(self.signal)}"


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The kernel killed the program: `kills` were counted at a limit of `limit_bytes` (None: the host's memory)."""

    kills: int
    limit_bytes: int | None

    def __str__(self) -> str:
        limit = "the host's memory" if self.limit_bytes is None else f"its limit of {self.limit_bytes} bytes"
        return f"was killed because it needed more than {limit}"


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The program was killed after `seconds`."""

    seconds: float

    def __str__(self) -> str:
        return f"was killed after {self.seconds:g} seconds"


@dataclass(frozen=True, slots=True)
class OutputLimit:
    """The program was killed when `stream` ("stdout", "stderr") passed `limit_bytes`."""

    stream: str
    limit_bytes: int

    def __str__(self) -> str:
        return f"was killed because it wrote more than {self.limit_bytes} bytes to {self.stream}"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The host program killed it: by kill(), by leaving a `with` block, or by a cancelled call."""

    signal: int = signal.SIGKILL

    def __str__(self) -> str:
        return f"was ended by its owner with {signal_name(self.signal)}"


ExitCause = Exited | Signalled | OutOfMemory | TimedOut | OutputLimit | Cancelled


def signal_name(number: int) -> str:
    """Give the name of a signal, or its number where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def returncode(code: int, status: int) -> int:
    """Turn waitid(2)'s si_code and si_status into subprocess's convention: negative for a signal."""
    cld_exited = 1
    return status if code == cld_exited else -status
