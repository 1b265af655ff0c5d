"""Writing the archive of a tree: the door to C against its twin in Python, `tar -c` and tarfile.

The tree is the Debian of the images benchmark (13,000 entries, 450 MB; --quick: /usr/lib/python3). Nothing is kept of
what is written, but it goes through a pipe where it comes from a program.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Case, Missing, Options, Row, against, interleave, median, missing, row
from benchmarks.images import debian
from pyrt.layer import write
from tests.oracles import tarwrite as twin

__all__ = ["run"]

PIECE_BYTES = 1 << 20
TARGET = 1.0


def run(options: Options) -> list[Row]:
    """Give medians in seconds, and the ratio of the others to the door."""
    try:
        tree = Path("/usr/lib/python3") if options.quick else debian()
    except Missing as reason:
        return [missing("layer.write", reason)]
    cases = [
        Case("layer.write", _sample(lambda: _drain(write(str(tree))))),
        Case("tar -c", _sample(lambda: _tar(tree))),
        Case("tarfile.add", _sample(lambda: _tarfile(tree))),
        Case("twin, all in memory", _sample(lambda: twin.archive(os.fsencode(tree), userxattr=False))),
    ]
    series = interleave(cases, options.rounds(7, 3))
    rows = [row(name, values, "s") for name, values in series.items()]
    counted = write(str(tree))
    _drain(counted)
    rows[0]["note"] = f"{counted.entries} entries, {counted.size_bytes >> 20} MiB"
    door = median(series["layer.write"])
    rows += [
        {"name": f"{name} / layer.write", "value": median(values) / door, "unit": "×"}
        for name, values in series.items()
        if name not in ("layer.write", "tar -c")
    ]
    return [*rows, against("layer.write / tar -c", door / median(series["tar -c"]), "×", TARGET)]


def _drain(pieces: Iterable[bytes]) -> None:
    for _ in pieces:
        pass


def _tar(tree: Path) -> None:
    with subprocess.Popen(["tar", "-c", "--xattrs", "-C", str(tree), "."], stdout=subprocess.PIPE) as process:
        assert process.stdout
        while process.stdout.read(PIECE_BYTES):
            pass
    if process.returncode:
        raise Missing(f"tar ended with {process.returncode}")


class _Sink:
    """What takes all and keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)


def _tarfile(tree: Path) -> None:
    sink: Any = _Sink()
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, bufsize=PIECE_BYTES) as archive:
        archive.add(tree, ".")


def _sample(once: Callable[[], object]) -> Callable[[int], Sequence[float]]:
    def sample(count: int) -> Sequence[float]:
        values = []
        for _ in range(count):
            start = time.perf_counter()
            once()
            values.append(time.perf_counter() - start)
        return values

    return sample
