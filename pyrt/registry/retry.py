"""Patience: how often and after which waits something that failed is tried again.

Waits double, with jitter, and give way to what the registry asks for by Retry-After; both are bounded. Whoever waits
looks every 25 ms whether the work has been cancelled.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from pyrt.errors import Unavailable

__all__ = ["Cancelled", "Patience"]

_TICK_SECONDS = 0.025
_FIRST_SECONDS = 0.2
_LONGEST_SECONDS = 10.0

Cancelled = Callable[[], bool]


class Patience:
    """The retries of one piece of work."""

    def __init__(self, retries: int, *, longest_wait_seconds: float, cancelled: Cancelled | None = None) -> None:
        self._retries = retries
        self._longest_wait_seconds = longest_wait_seconds
        self._cancelled = cancelled
        self._used = 0

    def check(self, deed: str) -> None:
        """Raise Unavailable where the caller wants no more of it."""
        if self._cancelled is not None and self._cancelled():
            raise Unavailable(f"{deed}: cancelled")

    def renew(self) -> None:
        """Start from the first wait again: there has been progress."""
        self._used = 0

    def wait(self, deed: str, asked_seconds: float | None = None) -> bool:
        """Wait before the next try; False, at once, where there is none or the registry asks for too long a wait.

        Raises Unavailable when cancelled.
        """
        self.check(deed)
        if self._used >= self._retries or (asked_seconds or 0) > self._longest_wait_seconds:
            return False
        usual = min(_FIRST_SECONDS * 2**self._used, _LONGEST_SECONDS, self._longest_wait_seconds)
        self._used += 1
        end = time.monotonic() + max(usual * random.uniform(0.5, 1.0), asked_seconds or 0)
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _TICK_SECONDS))
            self.check(deed)
        return True
