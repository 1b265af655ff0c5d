"""Make what is pulled, pushed, saved and loaded: a tree, the images made of it, and a registry that holds them.

Layers are made by tar and gzip, documents by json, and both are sent to Debian's docker-registry by plain requests: no
engine had a hand in what it is measured with.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks.fixtures import Fixtures
from benchmarks.harness import Missing
from benchmarks.peers import program
from benchmarks.timer import Timer

__all__ = ["Image", "Layer", "Registry", "debian", "disk", "layers", "listing", "serve", "small"]

_SUITE, _PACKAGES = "bookworm", "python3,gcc,git"
_LEFT_OUT = "var/cache/apt/archives/"  # the packages that debootstrap has unpacked
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_SMALL_FILES = 200
_DISK_BYTES = 32 << 30  # sparse


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: the archive of `entries` entries, and the same compressed by `gzip -6`."""

    archive: Path
    compressed: Path
    diff_id: str
    digest: str
    entries: int


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the registry has: `label` tells it from the others in the tables, `reference` is its name."""

    label: str
    reference: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Registry:
    """A docker-registry; `host` is how references name it, `log` tells of each request."""

    host: str
    log: Path

    def requests(self) -> int:
        """Give the number of requests so far; one is written down when its answer has been sent, so wait a moment."""
        count = -1
        while count != (count := self.log.read_bytes().count(b' HTTP/1.1" ')):
            time.sleep(0.2)
        return count

    def put(self, repository: str, label: str, made: Sequence[Layer]) -> Image:
        """Send layers and the documents of an image of them, and give the image."""
        for layer in made:
            with layer.compressed.open("rb") as file:
                self._put_blob(repository, layer.digest, file)
        config = _dump(
            {
                "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
                "os": "linux",
                "created": "2026-01-01T00:00:00Z",
                "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in made]},
                "history": [{"created_by": "benchmarks/images.py"} for _ in made],
            }
        )
        self._put_blob(repository, _digest(config), config)
        documents = [{"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)}]
        documents += [
            {"mediaType": _LAYER, "digest": layer.digest, "size": layer.compressed.stat().st_size} for layer in made
        ]
        manifest = _dump({"schemaVersion": 2, "mediaType": _MANIFEST, "config": documents[0], "layers": documents[1:]})
        self._ask("PUT", f"/v2/{repository}/manifests/latest", manifest, _MANIFEST)
        return Image(label, f"{self.host}/{repository}:latest", tuple(made))

    def _put_blob(self, repository: str, digest: str, content: bytes | BinaryIO) -> None:
        place = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        self._ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", content, "application/octet-stream")

    def _ask(self, method: str, path: str, content: bytes | BinaryIO = b"", kind: str = "") -> str:
        """Make one request and give the Location of its answer; raise Missing for one that is refused."""
        size = len(content) if isinstance(content, bytes) else os.fstat(content.fileno()).st_size
        headers = {"Content-Length": str(size)} | ({"Content-Type": kind} if kind else {})
        connection = HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path.removeprefix(f"http://{self.host}"), content, headers)
            answer = connection.getresponse()
            told = answer.read()
            if answer.status >= 300:
                raise Missing(f"docker-registry: {method} {path}: {answer.status} {told.decode(errors='replace')}")
            return answer.headers.get("Location", "")
        finally:
            connection.close()


def serve(directory: Path, timer: Timer) -> Registry:
    """Start a docker-registry on a free port, with all it keeps below `directory`; it ends with the timer."""
    directory.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}},
        "http": {"addr": host},
    }
    (directory / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    log = directory / "log"
    timer.ask("daemon", argv=[program("docker-registry"), "serve", str(directory / "config.yml")], log=str(log))
    deadline = time.monotonic() + 30
    registry = Registry(host, log)
    while True:
        try:
            registry._ask("GET", "/v2/")
            return registry
        except ConnectionRefusedError as error:
            if time.monotonic() > deadline:
                raise Missing(f"docker-registry does not listen: {log.read_text()[-300:]}") from error
            time.sleep(0.02)


@contextmanager
def disk() -> Iterator[Path]:
    """Give a directory for the run: where temporary files are, unless that is an ext4 without a journal.

    There, to make a file takes the longer the more were removed in the last minutes (recently_deleted() of the kernel's
    fs/ext4/ialloc.c), ten times the rest: what is measured would be what went before. The directory is then a new ext4
    in a file, on a loop device.
    """
    place = os.stat(tempfile.gettempdir()).st_dev
    device = os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(place)}:{os.minor(place)}"))
    if not os.path.isdir(f"/proc/fs/ext4/{device}") or any(Path("/proc/fs/jbd2").glob(f"{device}-*")):
        yield Path(tempfile.gettempdir())
        return
    with tempfile.TemporaryDirectory(prefix="pyrt-bench-disk-") as top:
        file, directory = Path(top, "ext4"), Path(top, "mounted")
        directory.mkdir()
        with file.open("wb") as made:
            made.truncate(_DISK_BYTES)
        _run([program("mkfs.ext4"), "-q", "-E", "nodiscard,lazy_itable_init=1", str(file)])
        _run([program("mount"), "-t", "ext4", "-o", "loop,noinit_itable", str(file), str(directory)])
        try:
            yield directory
        finally:
            _run([program("umount"), str(directory)])


def _run(command: Sequence[str]) -> None:
    """Run a program; raise Missing where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise Missing(f"{command[0]} ended with {done.returncode}: {done.stdout[-300:]}{done.stderr[-300:]}")


def debian() -> Path:
    """Give the tree of a Debian with python3, gcc and git: $PYRT_BENCH_ROOT, or made once and kept in the cache."""
    if given := os.environ.get("PYRT_BENCH_ROOT"):
        if not os.path.isdir(given):
            raise Missing(f"$PYRT_BENCH_ROOT: {given} is no directory")
        return Path(given)
    cache = os.environ.get("XDG_CACHE_HOME")
    kept = Path(cache, "pyrt-bench") if cache else Path("/var/tmp/pyrt-bench")
    root, new = kept / "root", kept / f"new-{os.getpid()}"
    if root.is_dir():
        return root
    command = [program("unshare"), "--mount", program("debootstrap"), "--variant=minbase", f"--include={_PACKAGES}"]
    kept.mkdir(parents=True, exist_ok=True)
    try:
        _run([*command, _SUITE, str(new)])
        os.rename(new, root)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return root


def small(made: Fixtures) -> Path:
    """Make a tree of a few MB with a shell in it: the same each time."""
    root = made.top / "small"
    shutil.copytree(made.rootfs, root, symlinks=True)
    for name in ("chmod", "rm"):
        os.link(root / "bin/busybox", root / "bin" / name)
    numbers = random.Random(1)
    for number in range(_SMALL_FILES):
        file = root / f"usr/share/{number % 9}/{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(numbers.randbytes(numbers.randrange(8000)) + b"text " * numbers.randrange(4000))
    (root / "usr/share/link").symlink_to("0/0")
    os.link(root / "usr/share/0/0", root / "usr/share/hard")
    return root


def listing(tree: Path) -> Iterator[str]:
    """Give all paths of a tree, relative to it, in one order: a directory, then what is in it, directories last."""
    for top, directories, names in os.walk(tree):
        directories.sort()
        within = os.path.relpath(top, tree)
        if within != ".":
            yield within
        links = [name for name in directories if os.path.islink(f"{top}/{name}")]
        for name in sorted([*names, *links]):
            path = os.path.normpath(f"{within}/{name}")
            if not path.startswith(_LEFT_OUT):
                yield path


def layers(directory: Path, tree: Path, count: int = 1) -> tuple[Layer, ...]:
    """Make `count` layers of a tree in a new directory, of about the same size: no file is in two of them.

    As those that engines make, each has the directories above its files.
    """
    directory.mkdir()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = enumerate(_split(tree, count))
        return tuple(pool.map(lambda part: _layer(tree, directory / f"{part[0]}.tar", part[1]), parts))


def _split(tree: Path, count: int) -> list[list[str]]:
    """Cut the listing of a tree where an equal share of its bytes has passed; each part begins with its parents."""
    paths = list(listing(tree))
    sizes = [(tree / path).lstat().st_size for path in paths]
    parts: list[list[str]] = [[] for _ in range(count)]
    passed, total = 0, sum(sizes)
    for path, size in zip(paths, sizes, strict=True):
        part = parts[min(passed * count // total, count - 1)]
        if not part:
            part += [str(parent) for parent in reversed(Path(path).parents) if str(parent) != "."]
        part.append(path)
        passed += size
    return parts


def _layer(tree: Path, archive: Path, paths: Sequence[str]) -> Layer:
    names, compressed = archive.with_suffix(".list"), archive.with_suffix(".tar.gz")
    names.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))
    pack = ["--create", f"--file={archive}", f"--directory={tree}", "--numeric-owner", "--no-recursion"]
    _run([program("tar"), *pack, "--null", f"--files-from={names}"])
    with compressed.open("wb") as output:
        subprocess.run([program("gzip"), "-6nc", str(archive)], stdout=output, check=True)
    return Layer(archive, compressed, _digest(archive), _digest(compressed), len(paths))


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return f"sha256:{hashlib.sha256(content).hexdigest()}"
    with content.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
