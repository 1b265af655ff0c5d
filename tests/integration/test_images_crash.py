"""Images when things go wrong at the worst moment: SIGKILL, several processes at once, a disk that is full."""

from __future__ import annotations

import errno
import inspect
import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyrt import Engine
from pyrt.errors import SyscallError
from pyrt.image.archive_writer import ArchiveWriter
from pyrt.image.copy import copy
from pyrt.image.store import is_there
from pyrt.oci.reference import Reference
from pyrt.registry import RegistryOptions
from tests.hosts import TOP, eventually
from tests.images import MemoryMedium, tar
from tests.registries import ScriptedRegistry
from tests.stores import image_of, listing, open_store

MOMENTS = 8
OPTIONS = RegistryOptions(certificate_directories=())
_CHILD = """
from __future__ import annotations
import sys
from pyrt import Engine
from pyrt.registry import RegistryOptions

{do}
root, verb, argument = sys.argv[1:]
with Engine(root, registries=RegistryOptions(certificate_directories=())) as engine:
    engine.images.list()
    print("ready", flush=True)
    do(engine, verb, argument)
    print("done", flush=True)
"""


def do(engine: Engine, verb: str, argument: str) -> None:
    """Do what a child is to be killed at."""
    if verb == "pull":
        engine.images.pull(argument)
    elif verb == "load":
        engine.images.load(argument)
    elif verb == "commit":
        with open(argument, "rb") as file:
            engine.images.commit("kept", iter(lambda: file.read(65536), b""), "new")
    else:
        engine.images.prune(all=True, filters={"label": argument})


@pytest.fixture
def root(public_directory: Path) -> Iterator[Path]:
    """A root with the image `kept`, whose directories others may pass."""
    made = Path(tempfile.mkdtemp(prefix="engine-", dir=public_directory))
    made.chmod(0o711)
    with Engine(made) as engine:
        engine.images.import_tar(tar({"kept": b"k" * 1000}), "kept", changes=["LABEL keep=1"])
    yield made
    with Engine(made) as engine:
        engine.images.prune(all=True)
    shutil.rmtree(made)


def big_image(layers: int = 5, files: int = 150) -> MemoryMedium:
    chance = random.Random(7)
    return image_of(
        *(tar({f"{layer}/{number}": chance.randbytes(2000) for number in range(files)}) for layer in range(layers))
    )


def publish(registry: ScriptedRegistry, medium: MemoryMedium, name: str = "some/image") -> str:
    registry.blobs |= {str(digest): content for digest, content in medium.blobs.items()}
    manifest = medium.resolve()
    registry.add_manifest(name, "latest", manifest.media_type, manifest.raw)
    return str(registry.reference(name))


def save(medium: MemoryMedium, path: Path) -> str:
    with ArchiveWriter(path, "x") as writer:
        copy(medium, writer.image(Reference.parse("new")))
        writer.commit()
    return str(path)


@contextmanager
def child(root: Path, verb: str, argument: str) -> Iterator[subprocess.Popen[str]]:
    """Start a verb in another process, which has an engine open and is just about to do it."""
    command = [sys.executable, "-c", _CHILD.format(do=inspect.getsource(do)), str(root), verb, argument]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": TOP}) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def killed(root: Path, verb: str, argument: str, after_seconds: float) -> None:
    with child(root, verb, argument):
        time.sleep(after_seconds)


def lasting(root: Path, verb: str, argument: str) -> float:
    """Give how many seconds a verb takes when nobody disturbs it."""
    with child(root, verb, argument) as process:
        began = time.monotonic()
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        return time.monotonic() - began


def check_whole(root: Path) -> None:
    """See that all images are whole, and that nothing is on its way, once an engine has been opened."""

    def is_clean() -> bool:
        with Engine(root) as engine:
            assert engine.images.get("kept").labels == {"keep": "1"}
        return not {name for name in listing(root) if name.startswith(("content/ingest", "layers/staging", "owner"))}

    eventually(is_clean, "what was on its way is still there")  # a child that was just being made dies a bit later
    with open_store(root) as store:
        for image in store.all():
            assert is_there(store, image.record)
            for layer in store.layers.chain(image.record.chain[-1]):
                files = [path for path in Path(layer.directory).rglob("*") if path.is_file()]
                assert sum(path.stat().st_size for path in files) == layer.size_bytes
            for digest in image.record.blobs:
                assert store.content.read(digest, 1 << 30)


@pytest.mark.parametrize("verb", ["pull", "load", "commit"])
def test_a_kill_at_any_moment_loses_nothing_and_leaves_nothing(
    root: Path, scripted: ScriptedRegistry, tmp_path: Path, verb: str
) -> None:
    medium = big_image()
    upper = tmp_path / "upper.tar"
    upper.write_bytes(tar({f"f{number}": random.Random(number).randbytes(4000) for number in range(400)}))
    sources = {
        "pull": lambda: publish(scripted, medium),
        "load": lambda: save(medium, tmp_path / "x.tar"),
        "commit": lambda: str(upper),
    }
    argument = sources[verb]()
    before = listing(root)
    whole_seconds = lasting(root, verb, argument)
    name = argument if verb == "pull" else "new"
    made = listing(root)

    for moment in range(MOMENTS):
        with Engine(root) as engine:
            engine.images.remove(name)
        assert listing(root) == before
        killed(root, verb, argument, whole_seconds * (moment + random.random()) / MOMENTS)
        check_whole(root)
        with Engine(root, registries=OPTIONS) as engine:
            if not moment % 3:
                engine.images.prune()  # takes what whole parts there are, or nothing
            do(engine, verb, argument)
            engine.images.prune()

        check_whole(root)
        assert kinds(listing(root)) == kinds(made)


def kinds(found: set[str]) -> dict[str, int]:
    """Count what there is: a layer's number says nothing, and a commit is another image each time."""
    words = [name.split()[0] for name in found]
    return {word: words.count(word) for word in words}


def test_a_kill_of_a_prune_at_any_moment_loses_nothing_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    layers = [tar({f"{layer}/{number}": b"x" * 200 for number in range(150)}) for layer in range(3)]
    before = listing(root)
    whole_seconds = 0.0
    for moment in range(-1, MOMENTS):
        with Engine(root) as engine:
            for number, layer in enumerate(layers):
                engine.images.import_tar(layer, f"junk:{number}", changes=["LABEL junk=1"])
        if moment < 0:
            whole_seconds = lasting(root, "prune", "junk")
            continue

        killed(root, "prune", "junk", whole_seconds * (moment + random.random()) / MOMENTS)

        check_whole(root)
        with Engine(root) as engine:
            do(engine, "prune", "junk")
        assert listing(root) == before


def test_two_processes_that_pull_one_image_fetch_each_blob_once(root: Path, scripted: ScriptedRegistry) -> None:
    medium = big_image()
    scripted.bytes_per_second = 1e6
    name = publish(scripted, medium)

    with child(root, "pull", name) as one, child(root, "pull", name) as two:
        for process in (one, two):
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"

    asked = [each.path for each in scripted.asked("GET", "/blobs/")]
    assert len(asked) == len(set(asked)) == 6
    check_whole(root)


def test_one_process_goes_on_where_another_was_killed(root: Path, scripted: ScriptedRegistry) -> None:
    medium = big_image()
    scripted.bytes_per_second = 1e6
    name = publish(scripted, medium)

    with child(root, "pull", name) as waiting:
        with child(root, "pull", name):
            time.sleep(0.1)
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "done\n"

    check_whole(root)


def packed(rootfs: Path) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.add(rootfs, "")
    return made.getvalue()


@pytest.mark.needs("userns", "overlay")
def test_nothing_in_use_is_taken(root: Path, scripted: ScriptedRegistry, public_rootfs: Path) -> None:
    medium = big_image()
    scripted.bytes_per_second = 1e6
    name = publish(scripted, medium)
    script = "echo run; read x; for i in 0 1 2 3; do ls -lR /bin /etc >/dev/null || exit 9; done; cat /etc/passwd"
    with Engine(root) as pruning, Engine(root) as running:
        running.images.import_tar(packed(public_rootfs), "box")
        process = running.popen(
            "box", ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pull="never"
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "run\n"
            with child(root, "pull", name) as pulling:
                pruning.images.remove("box", force=True)
                assert pulling.stdout is not None
                while pulling.poll() is None:
                    pruning.images.prune()
                assert pulling.stdout.readline() == "done\n"
            said, _ = process.communicate("go\n")
            assert process.returncode == 0
            assert "root:" in said
        assert pruning.images.get(name).tags == [name]
    check_whole(root)
    with Engine(root) as engine:
        engine.images.prune()
    assert len([each for each in listing(root) if each.startswith("layer")]) == 6


@pytest.fixture
def small_disk(scratch: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=711", "small", scratch], check=True)
    yield scratch
    subprocess.run(["umount", scratch], check=True)


@pytest.mark.needs("root")
@pytest.mark.parametrize("verb", ["pull", "load", "import"])
def test_a_full_disk_is_said_and_left_as_it_was(
    small_disk: Path, scripted: ScriptedRegistry, tmp_path: Path, verb: str
) -> None:
    medium = big_image()
    name, archive = publish(scripted, medium), save(medium, tmp_path / "x.tar")
    layer = tar({"big": random.Random(1).randbytes(4_000_000)})
    with Engine(small_disk, registries=OPTIONS) as engine:
        images = engine.images
        images.import_tar(tar({"kept": b"k"}), "kept", changes=["LABEL keep=1"])
        before = listing(small_disk)
        verbs: dict[str, Callable[[], object]] = {
            "pull": lambda: images.pull(name),
            "load": lambda: images.load(archive),
            "import": lambda: images.import_tar(layer, "new"),
        }

        with pytest.raises(SyscallError, match="No space left on device") as caught:
            verbs[verb]()

        assert caught.value.errno == errno.ENOSPC
        assert listing(small_disk) == before
        check_whole(small_disk)
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        verbs[verb]()
        assert len(images.list()) == 2
    check_whole(small_disk)
