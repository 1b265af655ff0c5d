"""Unpacking a layer of many files: the door to C against its twins in Python, tarfile and this module's, and `tar xf`.

The archive is made of this machine's own files (13,000 entries, 450 MB; --quick: a tenth), so its mix of sizes is that
of a distribution. Each sample unpacks into a new directory, which is removed outside of the time taken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.harness import Case, Options, Row, against, interleave, median, row
from pyrt.layer import Limits, apply
from tests.oracles.untar import Tree, unpack

__all__ = ["run"]

SOURCES = (
    "/usr/share/doc",
    "/usr/include",
    "/usr/lib/python3",
    "/usr/lib/python3.11",
    "/usr/lib/gcc",
    "/usr/lib",
    "/usr/bin",
)
ENTRIES, SIZE_BYTES = 13_000, 450 << 20
CHUNK_BYTES = 1 << 20
TARGET_SECONDS = 1.2


def run(options: Options) -> list[Row]:
    """Give medians in seconds, and the ratios of the others to the door."""
    share = 10 if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="pyrt-bench-untar-") as top:
        archive = Path(top, "layer.tar")
        entries, size = _make(archive, ENTRIES // share, SIZE_BYTES // share)
        raw = archive.read_bytes()
        cases = [
            Case(
                "layer.apply", _sample(top, lambda to: apply(_chunks(archive), to, limits=Limits(size_bytes=1 << 40)))
            ),
            Case("tar xf", _sample(top, lambda to: _tar(archive, to))),
            Case("tarfile.extractall", _sample(top, lambda to: _tarfile(archive, to))),
            Case("oracle, which writes nothing", _sample(top, lambda _: unpack(raw, Tree()))),
        ]
        series = interleave(cases, options.rounds(7, 3))
    rows = [row(name, values, "s") for name, values in series.items()]
    rows[0]["note"] = f"{entries} entries, {size >> 20} MiB"
    door = median(series["layer.apply"])
    ratios = [
        {"name": f"{name} / layer.apply", "value": median(values) / door, "unit": "×"}
        for name, values in series.items()
        if name != "layer.apply"
    ]
    return [*rows, *ratios, *([] if options.quick else [against("layer.apply", door, "s", TARGET_SECONDS)])]


def _make(archive: Path, most_entries: int, most_bytes: int) -> tuple[int, int]:
    """Write the archive: files of SOURCES, until there are enough; hard links and sparse files are files here."""
    entries = size = 0
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in _files():
            if entries >= most_entries or size >= most_bytes:
                break
            info = tar.gettarinfo(path)
            if not (info.isreg() or info.issym() or info.isdir()) or size + info.size > most_bytes:
                continue
            with open(path, "rb") if info.isreg() else open(os.devnull, "rb") as file:
                tar.addfile(info, file if info.isreg() else None)
            entries += 1
            size += info.size
    return entries, size


def _files() -> Iterator[str]:
    seen = set()
    for source in SOURCES:
        for directory, _, names in os.walk(source):
            if directory not in seen:
                seen.add(directory)
                yield directory
                yield from (os.path.join(directory, name) for name in names)


def _chunks(archive: Path) -> Iterator[bytes]:
    with open(archive, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _tar(archive: Path, to: str) -> None:
    os.mkdir(to)
    subprocess.run(["tar", "-xf", str(archive), "-C", to], check=True)


def _tarfile(archive: Path, to: str) -> None:
    with tarfile.open(archive) as tar:
        tar.extraction_filter = lambda member, path: member  # newer versions of Python ask for one
        tar.extractall(to)


def _sample(top: str, unpack_to: Callable[[str], object]) -> Callable[[int], Sequence[float]]:
    def sample(count: int) -> Sequence[float]:
        values = []
        for _ in range(count):
            to = os.path.join(top, "to")
            start = time.perf_counter()
            unpack_to(to)
            values.append(time.perf_counter() - start)
            shutil.rmtree(to, ignore_errors=True)
        return values

    return sample
