"""Other engines read what is written here, and what they write is read here: skopeo, podman, docker and a registry."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from pyrt.errors import BlobNotFound, ImageNotFound
from pyrt.image.archive_writer import ArchiveWriter
from pyrt.image.copy import copy
from pyrt.image.loading import Archive
from pyrt.image.media import open_source, open_target
from pyrt.image.progress import PUSHING, Progress
from pyrt.image.remote import RemoteSource, RemoteTarget
from pyrt.oci.manifest import Manifest
from pyrt.oci.reference import Reference
from pyrt.registry import RegistryClient
from tests.docker_registry import DockerRegistry, docker_registry
from tests.hosts import eventually
from tests.images import MemoryMedium, add_artifact, add_image, manifest_of, random_index, read_back, tar

__all__ = ["docker_registry"]

NO_CLIENT = cast(RegistryClient, None)  # these media need none
OURS = ["oci:{}/layout:tag", "oci-archive:{}/oci.tar:tag", "docker-archive:{}/docker.tar:example.com/x:tag"]
LAYERS = [tar({"a": b"1" * 3000}), tar({"b": b"2"})]
Command = Callable[..., str]


def run(*command: str | Path, timeout: float = 100) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture
def image() -> MemoryMedium:
    """An image of two layers. (skopeo does not find what has Docker's own media types in a layout.)"""
    medium = MemoryMedium()
    medium.top = add_image(medium, LAYERS)
    return medium


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient() as made:
        yield made


def write(image: MemoryMedium, name: str) -> None:
    with closing(open_target(name, NO_CLIENT)) as target:
        copy(image, target)


def layers_of(name: str) -> list[bytes]:
    """Read an image; give its layers as plain tars."""
    from pyrt.layer import decompress

    with closing(open_source(name, NO_CLIENT)) as source:
        manifest = source.resolve()
        assert isinstance(manifest, Manifest)
        blobs = read_back(source)[1]
    return [b"".join(decompress([blobs[layer.digest]])) for layer in manifest.layers]


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("form", OURS)
def test_skopeo_reads_what_is_written_here(image: MemoryMedium, tmp_path: Path, form: str) -> None:
    name = form.format(tmp_path)
    write(image, name)

    run("skopeo", "copy", "--insecure-policy", name, f"dir:{tmp_path}/seen")

    manifest = json.loads((tmp_path / "seen/manifest.json").read_text())
    config = (tmp_path / "seen" / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes()
    assert json.loads(config) == json.loads(image.blobs[manifest_of(image).config.digest])


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("form", OURS)
def test_what_skopeo_writes_is_read_here(image: MemoryMedium, tmp_path: Path, form: str) -> None:
    write(image, f"oci:{tmp_path}/ours:x")
    name = form.format(tmp_path)

    run("skopeo", "copy", "--insecure-policy", f"oci:{tmp_path}/ours:x", name)

    assert layers_of(name) == LAYERS


@pytest.mark.needs("skopeo")
def test_a_layout_of_skopeo_and_of_ours_is_one(image: MemoryMedium, tmp_path: Path) -> None:
    write(image, f"oci:{tmp_path}/layout:ours")

    run("skopeo", "copy", "--insecure-policy", f"oci:{tmp_path}/layout:ours", f"oci:{tmp_path}/layout:theirs")
    write(image, f"oci:{tmp_path}/layout:again")

    for tag in ("ours", "theirs", "again"):
        assert layers_of(f"oci:{tmp_path}/layout:{tag}") == LAYERS


def save(image: MemoryMedium, path: Path) -> None:
    """Save two images, one of them under two names, the other with Docker's media types."""
    with ArchiveWriter(path, str(path)) as writer:
        copy(image, writer.image(Reference.parse("example.com/one:1"), Reference.parse("example.com/one:2")))
        image.top = add_image(image, [LAYERS[0], tar({"c": b"3"})], docker=True)
        copy(image, writer.image(Reference.parse("example.com/two:x")))
        writer.commit()


def names_in(path: Path) -> set[str]:
    with Archive(path, str(path)) as archive:
        images = archive.images()
        for each in images:
            read_back(each.source)
    return {str(name) for each in images for name in each.names}


NAMES = {"example.com/one:1", "example.com/one:2", "example.com/two:x"}


@pytest.fixture
def podman() -> Iterator[Command]:
    """podman on a storage of its own; below /tmp, for it takes no more than 50 characters."""
    with tempfile.TemporaryDirectory(prefix="pyrt-") as top:
        places = ["--root", f"{top}/root", "--runroot", f"{top}/run", "--storage-driver", "vfs"]
        yield lambda *words: run("podman", *places, *words)


@pytest.mark.needs("root", "podman")
def test_podman_loads_what_is_saved_here_and_the_reverse(image: MemoryMedium, podman: Command, tmp_path: Path) -> None:
    save(image, tmp_path / "ours.tar")

    podman("load", "--quiet", "--input", tmp_path / "ours.tar")
    podman("save", "--quiet", "--multi-image-archive", "--output", tmp_path / "theirs.tar", *sorted(NAMES))
    podman("save", "--quiet", "--format", "oci-archive", "--output", tmp_path / "oci.tar", "example.com/two:x")

    assert names_in(tmp_path / "theirs.tar") == NAMES
    assert names_in(tmp_path / "oci.tar") == {"example.com/two:x"}
    assert layers_of(f"oci-archive:{tmp_path}/oci.tar") == [LAYERS[0], tar({"c": b"3"})]


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Command]:
    """The client of a dockerd of its own, which ends with the test."""
    socket = f"unix://{tmp_path}/docker.sock"
    places = [f"--data-root={tmp_path}/data", f"--exec-root={tmp_path}/exec", f"--pidfile={tmp_path}/pid"]
    quiet = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]
    log = tmp_path / "dockerd.log"
    with log.open("wb") as output:
        command = ["dockerd", f"--host={socket}", *places, *quiet, "--exec-opt=native.cgroupdriver=cgroupfs"]
        daemon = subprocess.Popen(command, stdout=output, stderr=output)

    def is_up() -> bool:
        assert daemon.poll() is None, log.read_text()
        return subprocess.run(["docker", "--host", socket, "version"], capture_output=True).returncode == 0

    try:
        eventually(is_up, f"dockerd does not answer: {log}")
        yield lambda *words: run("docker", "--host", socket, *words)
    finally:
        daemon.terminate()
        daemon.wait()


@pytest.mark.needs("root", "docker")
def test_docker_loads_what_is_saved_here_and_the_reverse(image: MemoryMedium, docker: Command, tmp_path: Path) -> None:
    save(image, tmp_path / "ours.tar")

    said = docker("load", "--input", tmp_path / "ours.tar")
    docker("save", "--output", tmp_path / "theirs.tar", *sorted(NAMES))

    assert {line.removeprefix("Loaded image: ") for line in said.splitlines()} == NAMES
    assert names_in(tmp_path / "theirs.tar") == NAMES
    assert layers_of(f"docker-archive:{tmp_path}/theirs.tar:example.com/one:2") == LAYERS
    ids = docker("image", "inspect", "--format", "{{.Id}}", "example.com/two:x")
    assert ids.strip() == str(manifest_of(image).config.digest)


@pytest.mark.needs("docker-registry")
def test_an_image_goes_to_a_registry_and_back(
    docker_registry: DockerRegistry, client: RegistryClient, image: MemoryMedium, tmp_path: Path
) -> None:
    name = str(docker_registry.reference())
    with closing(open_target(name, client)) as target:
        copy(image, target)

    with closing(open_source(name, client)) as source:
        assert read_back(source) == read_back(image)
        with closing(open_target(f"oci:{tmp_path}/layout:x", client)) as target:
            copy(source, target)

    assert layers_of(f"oci:{tmp_path}/layout:x") == LAYERS


@pytest.mark.needs("docker-registry")
def test_an_index_and_an_artifact_go_to_a_registry_and_back(
    docker_registry: DockerRegistry, client: RegistryClient
) -> None:
    artifact = MemoryMedium()
    artifact.top = add_artifact(artifact, b"notes")
    for number, medium in enumerate([random_index(0), random_index(1), artifact]):
        reference = docker_registry.reference(tag=f"t{number}")
        with closing(RemoteTarget(client, reference)) as target:
            copy(medium, target, all_platforms=True)

        digest = medium.resolve().descriptor.digest
        for wanted in (reference, reference.with_digest(digest)):
            with closing(RemoteSource(client, wanted)) as source:
                assert source.head().digest == digest
                assert read_back(source) == read_back(medium)


@pytest.mark.needs("docker-registry")
def test_layers_of_a_neighbour_are_mounted_and_those_that_are_there_are_not_sent(
    docker_registry: DockerRegistry, client: RegistryClient, image: MemoryMedium
) -> None:
    here, there = docker_registry.reference("a/here"), docker_registry.reference("b/there")
    with closing(RemoteTarget(client, here)) as target:
        copy(image, target)
    said: list[Progress] = []

    with closing(RemoteTarget(client, there, mount_from=[there, here])) as target:
        image.log.clear()
        copy(image, target, on_progress=said.append, words=PUSHING)
        copy(image, target, on_progress=said.append, words=PUSHING)

    assert [event.status for event in said].count("Mounted from a/here") == 3
    assert [event.status for event in said].count("Layer already exists") == 3
    assert not image.log


@pytest.mark.needs("docker-registry")
def test_a_copy_that_fails_gives_a_registry_no_tag(
    docker_registry: DockerRegistry, client: RegistryClient, image: MemoryMedium
) -> None:
    reference = docker_registry.reference()
    del image.blobs[manifest_of(image).layers[1].digest]

    with pytest.raises(BlobNotFound, match="memory: has no blob"), closing(RemoteTarget(client, reference)) as target:
        copy(image, target)

    with pytest.raises(ImageNotFound), closing(RemoteSource(client, reference)) as source:
        source.resolve()
