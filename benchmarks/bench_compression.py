"""Compressing and inflating a layer: pyrt's against zlib, and the programs gzip, pigz and zstd.

The layer is the archive of the Debian of the images benchmark (450 MB; --quick: of /usr/lib/python3), in memory. A
program gets it from a file and writes into a pipe. Ratios are compressed to plain bytes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.harness import Case, Missing, Options, Row, against, interleave, median, missing, row
from benchmarks.images import debian
from pyrt.layer import compress, decompress, write

__all__ = ["run"]

PIECE_BYTES = 1 << 20
COMPRESS_TARGET_SECONDS = 1.5
PROGRAMS = ("gzip -1", "pigz -1", "zstd -q -3 -T0")


def run(options: Options) -> list[Row]:
    """Give medians in seconds, ratios, and the speed-up over zlib and gzip."""
    try:
        tree = Path("/usr/lib/python3") if options.quick else debian()
    except Missing as reason:
        return [missing("compress", reason)]
    plain = list(write(str(tree)))
    with tempfile.TemporaryDirectory(prefix="pyrt-bench-compression-") as top:
        file = Path(top, "layer.tar")
        file.write_bytes(b"".join(plain))
        return _measure(plain, file, options)


def _measure(plain: Sequence[bytes], file: Path, options: Options) -> list[Row]:
    packed = {"gzip": list(compress(plain, "gzip")), "zstd": list(compress(plain, "zstd"))}
    with open(file.with_suffix(".gz"), "wb") as out:
        out.writelines(packed["gzip"])
    cases = [
        Case("compress gzip, level 1", _sample(lambda: _drain(compress(plain, "gzip", 1)))),
        Case("compress gzip", _sample(lambda: _drain(compress(plain, "gzip")))),
        Case("compress gzip, one thread", _sample(lambda: _drain(compress(plain, "gzip", threads=1)))),
        Case("compress zstd", _sample(lambda: _drain(compress(plain, "zstd")))),
        Case("zlib, level 1", _sample(lambda: _drain(_zlib(plain)))),
        *(Case(name, _program(f"{name} -c {file}")) for name in PROGRAMS if shutil.which(name.split()[0])),
        Case("decompress gzip", _sample(lambda: _drain(decompress(packed["gzip"])))),
        Case("decompress zstd", _sample(lambda: _drain(decompress(packed["zstd"])))),
        Case("zlib, inflate", _sample(lambda: _inflate(packed["gzip"]))),
        Case("gzip -dc", _program(f"gzip -dc {file.with_suffix('.gz')}")),
    ]
    series = interleave(cases, options.rounds(5, 3))
    rows = [row(name, values, "s") for name, values in series.items()]
    size = sum(map(len, plain))
    rows[0]["note"] = f"{size >> 20} MiB, {len(os.sched_getaffinity(0))} cores"
    rows += [
        {"name": f"{kind}, compressed / plain", "value": sum(map(len, pieces)) / size, "unit": "×"}
        for kind, pieces in packed.items()
    ]
    pairs = [("compress gzip", "zlib, level 1"), ("compress gzip", "gzip -1"), ("compress gzip", "pigz -1")]
    pairs += [("decompress gzip", "zlib, inflate"), ("decompress gzip", "gzip -dc")]
    rows += [
        {"name": f"{other} / {ours}", "value": median(series[other]) / median(series[ours]), "unit": "×"}
        for ours, other in pairs
        if other in series
    ]
    fast = median(series["compress gzip"])
    return [*rows, *([] if options.quick else [against("compress gzip", fast, "s", COMPRESS_TARGET_SECONDS)])]


def _drain(pieces: Iterable[bytes]) -> None:
    for _ in pieces:
        pass


def _zlib(plain: Iterable[bytes]) -> Iterator[bytes]:
    encoder = zlib.compressobj(1, zlib.DEFLATED, 31)
    for piece in plain:
        yield encoder.compress(piece)
    yield encoder.flush()


def _inflate(packed: Iterable[bytes]) -> None:
    decoder = zlib.decompressobj(31)
    for piece in packed:
        decoder.decompress(piece)


def _program(command: str) -> Callable[[int], Sequence[float]]:
    def once() -> None:
        with subprocess.Popen(command.split(), stdout=subprocess.PIPE) as process:
            assert process.stdout
            while process.stdout.read(PIECE_BYTES):
                pass
        if process.returncode:
            raise Missing(f"`{command}` ended with {process.returncode}")

    return _sample(once)


def _sample(once: Callable[[], object]) -> Callable[[int], Sequence[float]]:
    def sample(count: int) -> Sequence[float]:
        values = []
        for _ in range(count):
            start = time.perf_counter()
            once()
            values.append(time.perf_counter() - start)
        return values

    return sample
