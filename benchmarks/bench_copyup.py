"""Copying a large file up: the door against the kernel's own copy-up through a mounted overlay, and a twin in Python.

All three make the same system calls for the data, and wait until they are on the disk, as the kernel does. The door is
there because what it leaves must be the kernel's to the last attribute, with no name looked up twice: not to be faster.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.harness import Case, Missing, Options, Row, against, interleave, median, missing, row
from pyrt.layer.copyup import copy_up
from pyrt.snapshot.filecopy import copy_data, copy_xattrs
from tests.oracles.overlay import Overlay

__all__ = ["run"]

MIB = 1 << 20
KERNEL_TARGET = 1.1


def run(options: Options) -> list[Row]:
    """Give medians in ms, and the ratio of door to kernel."""
    size = 64 * MIB if options.quick else 1024 * MIB
    rows = []
    for name, data in (("full", size), ("sparse", size // 16)):
        with tempfile.TemporaryDirectory(prefix="pyrt-bench-") as top:
            try:
                rows += _measure(Path(top), f"{size // MIB} MiB, {name}", size, data, options.rounds(5, 3))
            except (Missing, OSError) as e:
                rows.append(missing(name, e))
    return rows


def _measure(top: Path, name: str, size: int, data: int, rounds: int) -> list[Row]:
    (top / "lower").mkdir()
    with (top / "lower/file").open("wb") as file:
        block = os.urandom(MIB)
        for at in range(0, size, size // (data // MIB)):
            file.seek(at)
            file.write(block)
        file.truncate(size)
        os.fsync(file.fileno())
    with Overlay(userxattr=os.geteuid() != 0) as kernel:
        cases = [
            Case(f"{name}: door", _times(top, lambda: copy_up([str(top / "lower")], str(top / "upper"), "file"))),
            Case(f"{name}: kernel", _times(top, lambda: _by_kernel(kernel, top))),
            Case(f"{name}: twin", _times(top, lambda: _by_twin(top))),
        ]
        series = interleave(cases, rounds)
    door, theirs = (median(series[case.name]) for case in cases[:2])
    ratio = against(f"{name}: door / kernel", door / theirs, "×", KERNEL_TARGET)
    return [*(row(case, values, "ms") for case, values in series.items()), ratio]


def _by_kernel(kernel: Overlay, top: Path) -> None:
    errors, _ = kernel.ask(str(top), ["lower"], "upper", [["touch", "file"]], look=False)
    if errors != [0]:
        raise Missing(f"touch through an overlay: {os.strerror(errors[0])}")


def _by_twin(top: Path) -> None:
    source = os.open(top / "lower/file", os.O_RDONLY)
    target = os.open(top / "upper/file", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        copy_data(source, target)
        copy_xattrs(source, target)
        os.fsync(target)
    finally:
        os.close(source)
        os.close(target)


def _times(top: Path, call: Callable[[], object]) -> Callable[[int], Sequence[float]]:
    def sample(count: int) -> Sequence[float]:
        values = []
        for _ in range(count):
            shutil.rmtree(top / "upper", ignore_errors=True)
            (top / "upper").mkdir()
            os.sync()  # what others left to be written is not this one's
            start = time.perf_counter_ns()
            call()
            values.append((time.perf_counter_ns() - start) / 1e6)
        return values

    return sample
