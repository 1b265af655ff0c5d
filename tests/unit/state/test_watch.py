from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pyrt._native.watch import Watch
from pyrt.errors import SyscallError

LONG = 60.0


def took_seconds(watch: Watch, seconds: float) -> float:
    before = time.monotonic()
    watch.wait(seconds)
    return time.monotonic() - before


def test_what_counts_ends_a_wait(tmp_path: Path) -> None:
    with Watch(str(tmp_path), {"log"}) as watch:
        (tmp_path / "log").touch()
        watch.wait(LONG)
        (tmp_path / "log").write_bytes(b"x")
        watch.wait(LONG)


def test_what_does_not_count_ends_none(tmp_path: Path) -> None:
    with Watch(str(tmp_path), {"log"}) as watch:
        (tmp_path / "state").write_bytes(b"x")
        (tmp_path / "log.1").write_bytes(b"x")
        assert took_seconds(watch, 0.05) >= 0.05


def test_a_rename_ends_a_wait(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    with Watch(str(tmp_path), {"log"}) as watch:
        (tmp_path / "new").rename(tmp_path / "log")
        watch.wait(LONG)


def test_another_thread_ends_all_waits(tmp_path: Path) -> None:
    with Watch(str(tmp_path), {"log"}) as watch:
        timer = threading.Timer(0.02, watch.wake)
        timer.start()
        watch.wait(LONG)
        watch.wait(LONG)
        timer.join()


def test_one_that_is_closed_is_not_woken(tmp_path: Path) -> None:
    watch = Watch(str(tmp_path), {"log"})
    watch.close()
    watch.close()
    watch.wake()


def test_a_directory_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SyscallError, match=r"inotify_add_watch .*gone"):
        Watch(str(tmp_path / "gone"), {"log"})


def test_one_that_is_forgotten_warns(tmp_path: Path) -> None:
    watch = Watch(str(tmp_path), {"log"})

    with pytest.warns(ResourceWarning, match="not closed"):
        del watch
