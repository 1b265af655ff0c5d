"""The changes of a container over an image of 13,000 entries, and the difference of two such trees: door and oracle."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.harness import Case, Options, Row, against, interleave, median, row
from pyrt.layer.changes import changes, compare
from pyrt.layer.copyup import copy_up, remove
from tests.oracles.treediff import difference, merged

__all__ = ["run"]

ENTRIES = 13_000
CHANGES_TARGET_MS = 5.0
OLD_NS = 10**18


def run(options: Options) -> list[Row]:
    """Give medians in ms, and the ratios of oracle to door."""
    with tempfile.TemporaryDirectory(prefix="pyrt-bench-") as top:
        lower, upper, other = (os.path.join(top, name) for name in ("lower", "upper", "other"))
        _image(lower)
        _image(other)
        os.mkdir(upper)
        _change(lower, upper)
        old, new, above = os.fsencode(lower), os.fsencode(other), os.fsencode(upper)
        cases = [
            Case("changes of an upper, door", _times(lambda: changes(upper, [lower]))),
            Case("changes of an upper, oracle", _times(lambda: difference(merged([old]), merged([above, old])))),
            Case("two trees, door", _times(lambda: compare(lower, other))),
            Case("two trees, oracle", _times(lambda: difference(merged([old]), merged([new])))),
        ]
        series = interleave(cases, options.rounds(15, 3))
    found = [median(series[case.name]) for case in cases]
    return [
        *(row(case, values, "ms") for case, values in series.items()),
        {"name": "changes of an upper, oracle / door", "value": found[1] / found[0], "unit": "×"},
        {"name": "two trees, oracle / door", "value": found[3] / found[2], "unit": "×"},
        against("changes of an upper", found[0], "ms", CHANGES_TARGET_MS),
    ]


def _image(top: str) -> None:
    """Make a tree of about ENTRIES files, a dozen to a directory, four deep."""
    for number in range(ENTRIES // 13):
        directory = Path(top, "usr", f"d{number % 10}", f"e{number % 50}", f"f{number}")
        directory.mkdir(parents=True)
        for name in range(12):
            file = directory / f"file{name}"
            file.write_text(str(name))
            file.chmod(0o755 if name < 2 else 0o644)
            os.utime(file, ns=(OLD_NS, OLD_NS))


def _change(lower: str, upper: str) -> None:
    """Make ten changes: four files written, three removed, three added."""
    for number in range(10):
        directory = f"usr/d{number}/e{number}/f{number}"
        path = f"{directory}/file{number}"
        if number < 4:
            copy_up([lower], upper, path, durable=False)
            Path(upper, path).write_text("changed")
        elif number < 7:
            remove([lower], upper, path)
        else:
            copy_up([lower], upper, directory)
            Path(upper, directory, "new").touch()


def _times(call: Callable[[], object]) -> Callable[[int], Sequence[float]]:
    def sample(count: int) -> Sequence[float]:
        values = []
        for _ in range(count):
            start = time.perf_counter_ns()
            call()
            values.append((time.perf_counter_ns() - start) / 1e6)
        return values

    return sample
