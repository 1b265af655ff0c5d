"""What the far end of a timer does with images: pyrt's verbs by its Python API, and the floors that no pull gets below.

Each function is called by Timer.ask("call", function="image_verbs:NAME", …). Times are microseconds.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrt.image import Workshop

__all__ = ["changes", "commit_and_push", "get", "inflate", "lowers", "pull", "sha256"]

_CHUNK_BYTES = 1 << 20


def pull(root: str, reference: str) -> dict[str, float]:
    """Time `images.pull`; `peak_kib` is the most memory that this process ever had."""
    import pyrt

    def call() -> None:
        with pyrt.Engine(root) as engine:
            engine.images.pull(reference)

    return {"us": _timed(call), "peak_kib": _peak_kib()}


def get(root: str, reference: str, runs: int) -> list[float]:
    """Time `images.get` of an engine that is open."""
    import pyrt

    with pyrt.Engine(root) as engine:
        images = engine.images
        return [_timed(lambda: images.get(reference)) for _ in range(runs)]


def commit_and_push(root: str, base: str, upper: str, reference: str) -> float:
    """Time a commit of an upper directory over an image that is pulled before, and the push of what it makes."""
    from pyrt.image import ImageCollection
    from pyrt.image.commit import commit
    from pyrt.oci.reference import Reference

    with _workshop(root) as workshop:
        images, store, trees = ImageCollection(workshop), workshop.store, workshop.trees
        images.pull(base)
        parent = store.find(base)

        def call() -> None:
            commit(store, trees, trees.write(upper), parent, reference=Reference.parse(reference))
            images.push(reference)

        return _timed(call)


def lowers(root: str, reference: str) -> list[str]:
    """Give the directories of an image's layers, the topmost first."""
    with _workshop(root) as workshop:
        image = workshop.store.find(reference)
        return [layer.directory for layer in workshop.store.layers.chain(image.record.chain[-1])]


def changes(layers: Sequence[str], upper: str, runs: int) -> list[float]:
    """Time what `diff` asks of a container's upper and its image's layers."""
    from pyrt.layer import LocalTrees

    with closing(LocalTrees()) as trees:
        return [_timed(lambda: trees.changes(upper, layers)) for _ in range(runs)]


def inflate(path: str) -> float:
    """Time isal's decompression of a file, which keeps nothing of what it gives."""
    from isal import isal_zlib

    def call() -> None:
        stream = isal_zlib.decompressobj(wbits=31)
        for chunk in _chunks(path):
            stream.decompress(chunk)

    return _timed(call)


def sha256(path: str) -> float:
    """Time the digest of a file."""

    def call() -> None:
        with open(path, "rb") as file:
            hashlib.file_digest(file, "sha256")

    return _timed(call)


@contextmanager
def _workshop(root: str) -> Iterator[Workshop]:
    from pyrt.image import Workshop
    from pyrt.layer import LocalTrees
    from pyrt.state import Database, open_root

    place = open_root(root)
    with (
        closing(Database(f"{place}/state.db")) as database,
        closing(Workshop(place, lambda: database, LocalTrees)) as it,
    ):
        yield it


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e3


def _chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _peak_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
