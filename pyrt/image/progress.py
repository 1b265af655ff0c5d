"""Progress of an image on its way, as events in Docker's words.

Docker's clients show one line for each `id`, and of it the latest `status`; the words are docker's own, so that who
reads docker's output can read this.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pyrt.oci.descriptor import Descriptor

__all__ = ["COPYING", "PULLING", "PUSHING", "OnProgress", "Progress", "Report", "Words", "silent"]

PAUSE_SECONDS = 0.1  # between two events of one blob on its way: docker's own pace


@dataclass(frozen=True, slots=True)
class Progress:
    """What happens to one blob (`id`: twelve digits of its digest), or to all of `reference` where `id` is ""."""

    id: str
    status: str
    current_bytes: int | None = None
    total_bytes: int | None = None
    reference: str = ""


OnProgress = Callable[[Progress], object]


def silent(event: Progress) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of a blob: before it moves, while it does, and when it has."""

    waiting: str
    moving: str
    done: str


COPYING = Words("Waiting", "Copying", "Copied")
PULLING = Words("Pulling fs layer", "Downloading", "Download complete")
PUSHING = Words("Preparing", "Pushing", "Pushed")


@dataclass(slots=True)
class Report:
    """Tells of many blobs, from any number of threads, to one callback that is called by one thread at a time."""

    on_progress: OnProgress
    reference: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: dict[str, float] = field(default_factory=dict)

    def say(self, descriptor: Descriptor, status: str, current_bytes: int | None = None) -> None:
        """Tell the status of a blob."""
        total = None if current_bytes is None else descriptor.size
        with self._lock:
            self.on_progress(Progress(descriptor.digest.short, status, current_bytes, total, self.reference))

    def moved(self, descriptor: Descriptor, status: str, current_bytes: int) -> None:
        """Tell how far a blob has come; not more often than anybody can read it."""
        now, key = time.monotonic(), descriptor.digest.short
        with self._lock:
            if now - self._last.get(key, -PAUSE_SECONDS) < PAUSE_SECONDS:
                return
            self._last[key] = now
        self.say(descriptor, status, current_bytes)
