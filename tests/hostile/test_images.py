"""Images made to hurt, and registries that lie: refused with an error that says why, and nothing of them stays."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrt import Engine
from pyrt.errors import (
    DigestMismatch,
    ImageNotFound,
    IntegrityError,
    InvalidSpec,
    PyrtError,
    SizeMismatch,
    SyscallError,
    Unavailable,
    Unsupported,
)
from pyrt.image.archive_writer import ArchiveWriter
from pyrt.image.copy import copy
from pyrt.oci import mediatype
from pyrt.oci.manifest import Manifest, make_manifest
from pyrt.oci.reference import Reference
from pyrt.registry import RegistryOptions
from tests.images import MemoryMedium, tar
from tests.registries import Fault, ScriptedRegistry
from tests.stores import configured, image_of, listing

HASTY = RegistryOptions(retries=2, longest_wait_seconds=0.02, read_timeout_seconds=0.3, certificate_directories=())
A, B = tar({"a": random.Random(1).randbytes(30_000)}), tar({"b": b"2" * 300})
Change = Callable[[ScriptedRegistry, Manifest], object]


@pytest.fixture
def engine(public_directory: Path) -> Iterator[Engine]:
    """An engine that loses patience with registries soon."""
    root = Path(tempfile.mkdtemp(prefix="engine-", dir=public_directory))
    root.chmod(0o711)
    with Engine(root, registries=HASTY) as made:
        yield made
    shutil.rmtree(root)


def publish(registry: ScriptedRegistry, medium: MemoryMedium, tag: str = "latest") -> str:
    """Put an image into the registry; give its name there."""
    registry.blobs |= {str(digest): content for digest, content in medium.blobs.items()}
    manifest = medium.resolve()
    registry.add_manifest("some/image", tag, manifest.media_type, manifest.raw)
    return str(registry.reference(tag=tag))


def archived(medium: MemoryMedium) -> bytes:
    """Save an image as `pyrt save` does."""
    with tempfile.TemporaryFile() as file:
        with ArchiveWriter(file, "x") as writer:
            copy(medium, writer.image(Reference.parse("evil")))
            writer.commit()
        file.seek(0)
        return file.read()


def pack(*entries: tuple[str, bytes, str, bytes], **fields: Any) -> bytes:
    """Make a tar of entries: name, type, link, content."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, link, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size, entry.mode = kind, link, len(content), 0o755
            entry.pax_headers = fields.get("pax", {})
            entry.devmajor, entry.devminor = fields.get("device", (0, 0))
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


FILE, LINK, HARD, NODE, FOLDER = (getattr(tarfile, f"{name}TYPE") for name in ("REG", "SYM", "LNK", "CHR", "DIR"))


def spoil(index: int, change: Callable[[bytes], bytes]) -> Change:
    """Serve another content for a layer, or for the config (-1)."""

    def apply(registry: ScriptedRegistry, manifest: Manifest) -> None:
        digest = str((*manifest.layers, manifest.config)[index].digest)
        registry.blobs[digest] = change(registry.blobs[digest])

    return apply


def fault(path: str = r"/blobs/", **given: Any) -> Change:
    return lambda registry, manifest: registry.faults.append(Fault(path=path, times=99, **given))


def serve_manifest(media_type: str, document: object) -> Change:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return lambda registry, manifest: registry.add_manifest("some/image", "latest", media_type, raw)


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


INDEX = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": []}

LIES: dict[str, tuple[Change, type[PyrtError], str]] = {
    "other layer": (spoil(0, flipped), DigestMismatch, "digest"),
    "other config": (spoil(-1, flipped), DigestMismatch, "digest"),
    "short layer": (spoil(0, lambda content: content[:-1]), SizeMismatch, "bytes"),
    "long layer": (spoil(0, lambda content: content + b"x"), SizeMismatch, "bytes"),
    "empty layer": (spoil(1, lambda content: b""), SizeMismatch, "bytes"),
    "short config": (spoil(-1, lambda content: content[:-1]), SizeMismatch, "bytes"),
    "manifest v1": (serve_manifest(mediatype.DOCKER_MANIFEST_V1, {"schemaVersion": 1}), PyrtError, "some/image"),
    "manifest of noise": (serve_manifest(mediatype.OCI_MANIFEST, b"<html>"), InvalidSpec, "manifest|JSON"),
    "manifest of a list": (serve_manifest(mediatype.OCI_MANIFEST, []), InvalidSpec, "manifest"),
    "manifest without config": (serve_manifest(mediatype.OCI_MANIFEST, {"schemaVersion": 2}), InvalidSpec, "config"),
    "index as manifest": (serve_manifest(mediatype.OCI_MANIFEST, INDEX), InvalidSpec, "index|config|mediaType"),
    "index of nothing": (serve_manifest(mediatype.OCI_INDEX, INDEX), ImageNotFound, "platform|linux"),
    "web page": (serve_manifest("text/html", b"<html>"), PyrtError, "manifest"),
}

FAILURES: dict[str, tuple[Change, type[PyrtError], str]] = {
    "500": (fault(status=500), Unavailable, "500"),
    "503 of manifests": (fault(r"/manifests/", status=503), Unavailable, "503"),
    "429": (fault(status=429, headers={"Retry-After": "0"}), Unavailable, "429|too many"),
    "404": (fault(status=404), PyrtError, "has no blob|not found|404"),
    "cut": (fault(cut_after=1), Unavailable, "127.0.0.1"),
    "stall": (fault(stall_after=1), Unavailable, "127.0.0.1"),
    "no HTTP": (fault(raw=b"SSH-2.0-OpenSSH\r\n"), Unavailable, "127.0.0.1"),
    "redirect to a file": (fault(status=307, headers={"Location": "file:///etc/passwd"}), PyrtError, "127.0.0.1"),
    "redirect to nothing": (fault(status=307, headers={"Location": "http://127.0.0.1:1/x"}), PyrtError, "127.0.0.1"),
    "redirect in circles": (fault(status=307, headers={"Location": "/v2/some/image/blobs/x"}), PyrtError, "127.0.0.1"),
    "length too short": (fault(headers={"Content-Length": "7"}), PyrtError, "bytes|127.0.0.1"),
    "length too long": (fault(headers={"Content-Length": str(1 << 40)}), PyrtError, "bytes|127.0.0.1"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_registry_that_lies_leaves_nothing(engine: Engine, scripted: ScriptedRegistry, name: str) -> None:
    lie, error, message = LIES[name]
    medium = image_of(A, B)
    reference = publish(scripted, medium)
    before = listing(engine.root)
    assert isinstance(medium.top, Manifest)
    lie(scripted, medium.top)

    with pytest.raises(error, match=message):
        engine.images.pull(reference)

    assert listing(engine.root) == before


@pytest.mark.parametrize("name", FAILURES)
def test_a_registry_that_fails_leaves_no_image_and_may_be_asked_again(
    engine: Engine, scripted: ScriptedRegistry, name: str
) -> None:
    failure, error, message = FAILURES[name]
    medium = image_of(A, B)
    reference = publish(scripted, medium)
    assert isinstance(medium.top, Manifest)
    failure(scripted, medium.top)

    with pytest.raises(error, match=message):
        engine.images.pull(reference)

    assert {each.split()[0] for each in listing(engine.root)} <= {"blob", "layer"}
    scripted.faults.clear()
    assert engine.images.pull(reference).tags == [reference]
    engine.images.prune(all=True)
    assert listing(engine.root) == set()


@pytest.mark.parametrize("seed", range(4))
def test_a_layer_that_is_cut_anywhere_is_resumed(engine: Engine, scripted: ScriptedRegistry, seed: int) -> None:
    chance = random.Random(seed)
    medium = image_of(A, B)
    reference = publish(scripted, medium)
    for each in medium.blobs.values():
        scripted.faults.append(Fault(path="/blobs/", cut_after=chance.randrange(len(each)), after=chance.randrange(2)))

    assert engine.images.pull(reference).size_bytes == 30_300


@pytest.mark.parametrize(
    ("medium", "error", "message"),
    [
        (configured(image_of(A), {}, rootfs={"type": "layers", "diff_ids": []}), InvalidSpec, "0 DiffIDs"),
        (
            configured(image_of(A, B), {}, rootfs={"diff_ids": ["sha256:" + "0" * 64, "sha256:" + "1" * 64]}),
            DigestMismatch,
            r"layer .* unpacks to .*, as its config says",
        ),
        (configured(image_of(A), {}, rootfs={"diff_ids": ["md5:00"]}), PyrtError, "md5:00"),
        (configured(image_of(A), {"Env": "A=b"}), InvalidSpec, "Env"),
        (configured(image_of(A), {}, rootfs=7), InvalidSpec, "rootfs"),
    ],
)
@pytest.mark.parametrize("how", ["pull", "load"])
def test_configs_that_do_not_fit_are_refused(
    engine: Engine, scripted: ScriptedRegistry, medium: MemoryMedium, error: type[PyrtError], message: str, how: str
) -> None:
    with pytest.raises(error, match=message):
        arrive(engine, scripted, medium, how)

    assert listing(engine.root) == set()


def test_an_artifact_is_refused_before_its_layers_are_asked_for(engine: Engine, scripted: ScriptedRegistry) -> None:
    medium = MemoryMedium()
    config, layer = medium.add(mediatype.EMPTY, b"{}"), medium.add("text/x-notes", b"notes")
    medium.top = make_manifest(config, [layer])

    with pytest.raises(Unsupported, match="artifact"):
        engine.images.pull(publish(scripted, medium))

    assert not scripted.asked(path="/blobs/")
    assert listing(engine.root) == set()


def arrive(engine: Engine, registry: ScriptedRegistry, medium: MemoryMedium, how: str) -> str:
    """Bring an image in, one way or the other; give its id."""
    if how == "pull":
        return engine.images.pull(publish(registry, medium)).id
    return engine.images.load(archived(medium))[0].id


BAD_LAYERS: dict[str, tuple[list[bytes], str]] = {
    "up": ([pack(("../canary", FILE, "", b"x"))], r"\.\."),
    "up from below": ([pack(("a/../../canary", FILE, "", b"x"))], r"\.\."),
    "hard link up": ([pack(("a", HARD, "../canary", b""))], r"\.\."),
    "whiteout of the root": ([pack((".wh..", FILE, "", b""))], r"\.wh\.\."),
    "whiteout of the parent": ([pack((".wh...", FILE, "", b""))], r"\.wh\.\.\."),
    "whiteout of nothing": ([pack((".wh.", FILE, "", b""))], r"\.wh\."),
    "long name": ([pack(("x" * 256, FILE, "", b""))], "name|long"),
    "long path": ([pack(("x/" * 3000 + "y", FILE, "", b"x"))], "4096 bytes or more"),
    "whiteout device": ([pack(("a", NODE, "", b""))], "device|whiteout|0/0"),
    "sparse bomb": (
        [
            pack(
                ("a", FILE, "", b"0\n".ljust(512, b"\0")),
                pax={
                    "GNU.sparse.major": "1",
                    "GNU.sparse.minor": "0",
                    "GNU.sparse.name": "a",
                    "GNU.sparse.realsize": str(1 << 40),
                },
            )
        ],
        "limit|more than|bytes",
    ),
    "lying size": (
        [pack(("a", FILE, "", b"x"))[:-8000].replace(b"00000000001", b"77777777777")],
        "checksum|header|ends",
    ),
    "hard link to nothing": ([A, pack(("b", HARD, "no/where", b""))], "no/where|link"),
    "hard link to a directory": ([pack(("d", FOLDER, "", b"")), pack(("b", HARD, "d", b""))], "link|directory"),
}


@pytest.mark.parametrize("name", BAD_LAYERS)
@pytest.mark.parametrize("how", ["pull", "load"])
def test_a_bad_layer_leaves_nothing(engine: Engine, scripted: ScriptedRegistry, name: str, how: str) -> None:
    layers, message = BAD_LAYERS[name]
    canary = engine.root.parent / "canary"
    before = listing(engine.root)

    with pytest.raises((InvalidSpec, IntegrityError, SyscallError), match=message):
        arrive(engine, scripted, image_of(B, *layers), how)

    assert listing(engine.root) == before
    assert not canary.exists()


ESCAPES: dict[str, Callable[[str], list[bytes]]] = {
    "absolute": lambda there: [pack((f"{there}/planted", FILE, "", b"x"))],
    "through a link": lambda there: [pack(("d", LINK, there, b""), ("d/planted", FILE, "", b"x"))],
    "through a link below": lambda there: [pack(("d", LINK, there, b"")), pack(("d/planted", FILE, "", b"x"))],
    "through a link up": lambda there: [pack(("d", LINK, "../" * 20 + there, b""), ("d/planted", FILE, "", b"x"))],
    "over a file": lambda there: [pack(("f", LINK, f"{there}/canary", b""), ("f", FILE, "", b"changed"))],
    "whiteout through a link": lambda there: [pack(("d", LINK, there, b"")), pack(("d/.wh.canary", FILE, "", b""))],
    "opaque through a link": lambda there: [pack(("d", LINK, there, b"")), pack(("d/.wh..wh..opq", FILE, "", b""))],
    "directory over a link": lambda there: [pack(("d", LINK, there, b"")), pack(("d", FOLDER, "", b""))],
    "hard link": lambda there: [pack(("stolen", HARD, f"{there}/canary", b""))],
    "hard link through a link": lambda there: [pack(("d", LINK, there, b""), ("stolen", HARD, "d/canary", b""))],
    "hard link through a link below": lambda there: [
        pack(("d", LINK, there, b"")),
        pack(("stolen", HARD, "d/canary", b"")),
    ],
    "hard link to a link below": lambda there: [
        pack(("f", LINK, f"{there}/canary", b"")),
        pack(("stolen", HARD, "f", b""), ("stolen", FILE, "", b"changed")),
    ],
}


@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_outside_of_the_root_is_touched_or_taken(
    engine: Engine, scripted: ScriptedRegistry, scratch: Path, name: str
) -> None:
    canary = scratch / "canary"
    canary.write_text("secret")
    canary.chmod(0o666)
    scratch.chmod(0o777)
    before = canary.stat()

    try:
        arrive(engine, scripted, image_of(B, *ESCAPES[name](str(scratch))), "pull")
    except PyrtError:
        assert listing(engine.root) == set()

    after = canary.stat()
    assert os.listdir(scratch) == ["canary"]
    assert canary.read_text() == "secret"
    assert (after.st_nlink, after.st_ino, after.st_mtime_ns) == (before.st_nlink, before.st_ino, before.st_mtime_ns)
    for directory, _, files in os.walk(engine.root / "layers"):
        for file in files:
            path = Path(directory, file)
            assert not path.is_file() or path.is_symlink() or path.read_bytes() != b"secret"


@pytest.mark.needs("userns", "overlay")
def test_a_device_of_an_image_is_none_for_a_container(engine: Engine, scripted: ScriptedRegistry) -> None:
    disk = pack(("disk", tarfile.BLKTYPE, "", b""), device=(8, 0))

    image = engine.images.get(arrive(engine, scripted, image_of(disk), "pull"))

    places = [path for path in (engine.root / "layers").rglob("disk")]
    assert len(places) == (1 if os.geteuid() == 0 else 0)
    assert image.size_bytes == 0
