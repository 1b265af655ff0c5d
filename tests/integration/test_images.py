"""Images from a registry and back, run: what containers see is what the layers say, whoever has made them."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from pyrt import Engine
from pyrt.errors import CommandError, ImageNotFound, Unauthorized
from pyrt.image.copy import copy
from pyrt.image.media import open_target
from pyrt.oci.platform import Platform
from pyrt.registry import RegistryClient, RegistryOptions
from tests.docker_registry import DockerRegistry, docker_registry
from tests.gates import why_shut
from tests.images import MemoryMedium, add_image, add_index, tar
from tests.integration.test_media import Command, docker, podman, run
from tests.oracles.flat import Seen, flatten, look
from tests.registries import ScriptedRegistry
from tests.stores import image_of

__all__ = ["docker", "docker_registry", "podman"]

LOOK = r"""
cd /t
find . -mindepth 1 -print0 | xargs -0 stat -c '%f %u %g %Y %n'
echo =
find . -type f -print0 | xargs -0 md5sum
echo =
for link in $(find . -type l); do echo "$(readlink $link) $link"; done
"""
KINDS = {0o100000: "file", 0o120000: "link", 0o040000: "directory", 0o010000: "fifo"}


@pytest.fixture
def engine(public_directory: Path) -> Iterator[Engine]:
    root = Path(tempfile.mkdtemp(prefix="engine-", dir=public_directory))
    root.chmod(0o711)
    with Engine(root, registries=RegistryOptions(certificate_directories=())) as made:
        yield made
        made.images.prune(all=True)  # of subordinate ids, whose files nobody else can remove
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def base(public_rootfs: Path) -> bytes:
    """The tests' root file system as a layer."""

    def of_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        return info

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(public_rootfs, "", filter=of_root)
    return made.getvalue()


def layer(*entries: tuple[str, dict[str, Any]]) -> bytes:
    """Make a tar; an entry is a name and the fields of its header, of which `data` and `pax` are the others."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, fields in entries:
            info = tarfile.TarInfo(f"t/{name}")
            data = fields.get("data", b"")
            info.type = tarfile.DIRTYPE if name.endswith("/") else fields.get("type", tarfile.REGTYPE)
            info.mode = fields.get("mode", 0o755 if name.endswith("/") else 0o644)
            info.uid, info.gid = fields.get("owner", (0, 0))
            info.mtime, info.size = fields.get("mtime", 1_000_000_000), len(data)
            info.linkname = fields.get("to", "")
            info.pax_headers = fields.get("pax", {})
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


LINK, HARD = {"type": tarfile.SYMTYPE}, {"type": tarfile.LNKTYPE}
LAYERS = [
    layer(
        ("d/", {"mode": 0o2775, "owner": (7, 8)}),
        ("d/a", {"data": b"a"}),
        ("d/b", {"data": b"b", "owner": (1000, 2000), "mode": 0o4751}),
        ("d/sub/", {}),
        ("d/sub/c", {"data": b"c"}),
        ("e/", {}),
        ("e/f", {"data": b"f"}),
        ("l", {**LINK, "to": "d/a"}),
        ("x", {"data": b"x", "pax": {"SCHILY.xattr.user.x": "value"}}),
    ),
    layer(("d/.wh.a", {}), ("h", {**HARD, "to": "t/d/b"})),
    layer(("d/sub/new", {"data": b"new"}), ("d/sub/.wh..wh..opq", {})),
    layer(("e", {"data": b"now a file"}), ("l/", {"mode": 0o700}), ("l/in", {"data": b"in"})),
    layer(("deep/er/f", {"data": b"f", "owner": (12345, 54321)}), ("pipe", {"type": tarfile.FIFOTYPE, "mode": 0o600})),
    layer(("p", {"data": b"twin", "mtime": 1}), ("q", {**HARD, "to": "t/p"}), ("d/.wh.missing", {})),
    layer((".wh.e", {}), ("e/", {"mode": 0o1777}), ("e/g", {"data": b"g" * 100_000, "owner": (65534, 65534)})),
]


def seen_in(engine: Engine, name: str, **options: Any) -> Seen:
    """Give what a container of an image sees of /t, as the oracles do."""
    done = engine.run(name, ["sh", "-ec", LOOK], text=True, check=True, timeout=60, **options)
    stats, sums, links = done.stdout.split("=\n")
    content = {path: word for word, path in (line.split(maxsplit=1) for line in (sums + links).splitlines())}
    seen: Seen = {}
    for line in stats.splitlines():
        mode, uid, gid, changed, path = line.split(maxsplit=4)
        kind = KINDS[int(mode, 16) & 0o170000]
        when = None if kind == "directory" else int(changed)
        seen[path[2:]] = (kind, int(mode, 16) & 0o7777, int(uid), int(gid), when, content.get(path, ""))
    return seen


def below_t(seen: Seen) -> Seen:
    return {path[2:]: node for path, node in seen.items() if path.startswith("t/")}


def send(medium: MemoryMedium, registry: DockerRegistry, directory: Path, *options: str, tag: str = "latest") -> str:
    """Push an image with skopeo; give its name in the registry."""
    with closing(open_target(f"oci:{directory}/layout:{tag}", cast(RegistryClient, None))) as target:
        copy(medium, target)
    name = str(registry.reference(tag=tag))
    run("skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", *options,
        f"oci:{directory}/layout:{tag}", f"docker://{name}")  # fmt: skip
    return name


@pytest.mark.needs("docker-registry", "skopeo", "userns", "overlay")
@pytest.mark.parametrize(
    ("count", "options"),
    [
        (1, ["--format", "oci"]),
        (7, ["--format", "oci"]),
        (7, ["--format", "v2s2"]),
        (7, ["--format", "oci", "--dest-compress-format", "zstd"]),
    ],
)
def test_a_container_sees_what_the_layers_say(
    engine: Engine, docker_registry: DockerRegistry, base: bytes, tmp_path: Path, count: int, options: list[str]
) -> None:
    layers = [base, *LAYERS[:count]]
    wanted = below_t(flatten(layers))
    name = send(image_of(*layers), docker_registry, tmp_path, *options)

    found = seen_in(engine, name)

    if why_shut("root") is not None and why_shut("newuidmap") is not None:  # all is one user's then
        wanted, found = ({path: (*node[:1], *node[4:]) for path, node in each.items()} for each in (wanted, found))
    assert found == wanted
    image = engine.images.get(name)
    directories = image.attrs["GraphDriver"]["Data"]
    places = [directories["UpperDir"], *directories["LowerDir"].split(":")]
    attributes = [os.getxattr(f"{place}/t/x", "user.x") for place in places if os.path.exists(f"{place}/t/x")]
    assert attributes == [b"value"]
    if count == 7:
        twins = engine.run(name, ["stat", "-c", "%i %h", "/t/p", "/t/q"], text=True).stdout.splitlines()
        assert twins[0] == twins[1]
        assert twins[0].endswith(" 2")


@pytest.mark.needs("root", "umoci")
def test_umoci_and_the_oracle_make_the_same_of_the_layers(tmp_path: Path) -> None:
    medium = image_of(*LAYERS)
    with closing(open_target(f"oci:{tmp_path}/layout:x", cast(RegistryClient, None))) as target:
        copy(medium, target)

    run("umoci", "unpack", "--image", f"{tmp_path}/layout:x", f"{tmp_path}/bundle")

    assert below_t(look(tmp_path / "bundle/rootfs")) == below_t(flatten(LAYERS))


def publish(registry: ScriptedRegistry, medium: MemoryMedium, name: str = "some/image", tag: str = "latest") -> str:
    registry.blobs |= {str(digest): content for digest, content in medium.blobs.items()}
    top = medium.resolve()
    for document in (*medium.documents.values(), top):
        registry.add_manifest(name, str(document.descriptor.digest), document.media_type, document.raw)
    registry.add_manifest(name, tag, top.media_type, top.raw)
    return str(registry.reference(name, tag))


def requests(registry: ScriptedRegistry) -> list[str]:
    return [each.method for each in registry.seen]


@pytest.mark.needs("userns", "overlay")
def test_runs_ask_the_registry_when_they_are_told_to(engine: Engine, scripted: ScriptedRegistry, base: bytes) -> None:
    name = publish(scripted, image_of(base))
    with pytest.raises(ImageNotFound, match="pull"):
        engine.run(name, ["true"], pull="never")
    assert not scripted.seen

    assert engine.run(name, ["true"]).returncode == 0
    scripted.seen.clear()
    for pull in ("missing", "never"):
        assert engine.run(name, ["true"], pull=pull).returncode == 0
    assert not scripted.seen
    assert engine.run(name, ["true"], pull="always").returncode == 0
    assert requests(scripted) == ["HEAD"]

    publish(scripted, image_of(base, tar({"new": b""})))
    assert engine.run(name, ["test", "-e", "/new"]).returncode == 1
    assert engine.run(name, ["test", "-e", "/new"], pull="always").returncode == 0
    scripted.close()
    assert engine.run(name, ["true"]).returncode == 0


def test_a_run_by_an_id_that_is_not_there_asks_nobody(engine: Engine) -> None:
    with pytest.raises(ImageNotFound, match="no such image"):
        engine.run("sha256:" + "0" * 64, ["true"], pull="always")


def test_a_second_pull_is_one_request(engine: Engine, scripted: ScriptedRegistry) -> None:
    name = publish(scripted, image_of(tar({"a": b"1"})))
    first = engine.images.pull(name)
    scripted.seen.clear()

    assert engine.images.pull(name) == first
    assert requests(scripted) == ["HEAD"]


def test_a_pull_by_digest_gives_that_image_and_its_name(engine: Engine, scripted: ScriptedRegistry) -> None:
    old = image_of(tar({"a": b"1"}))
    digest = old.resolve().descriptor.digest
    publish(scripted, old)
    name = publish(scripted, image_of(tar({"a": b"2"})))
    by_digest = f"{name.rpartition(':')[0]}@{digest}"

    image = engine.images.pull(by_digest)

    assert image.digests == [by_digest]
    assert image.tags == []
    assert engine.images.get(by_digest) == image
    assert engine.images.pull(name) != image
    with pytest.raises(ImageNotFound):
        engine.images.pull(f"{name.rpartition(':')[0]}@sha256:{'0' * 64}")


def test_all_tags_are_pulled(engine: Engine, scripted: ScriptedRegistry) -> None:
    names = {publish(scripted, image_of(tar({"a": tag.encode()})), tag=tag) for tag in ("1", "2", "3")}

    engine.images.pull(min(names).rpartition(":")[0], all_tags=True)

    assert {tag for image in engine.images.list() for tag in image.tags} == names


def test_of_an_index_the_platform_that_fits_is_pulled(engine: Engine, scripted: ScriptedRegistry) -> None:
    medium, here = MemoryMedium(), Platform.host()
    other = Platform("linux", "s390x" if here.architecture != "s390x" else "amd64")
    images = [add_image(medium, [tar({"a": b"1"})], architecture=each.architecture) for each in (other, here)]
    medium.top = add_index(medium, list(images), [other, here])
    name = publish(scripted, medium)

    foreign = engine.images.pull(name, platform=str(other))
    own = engine.images.pull(name)

    assert foreign.attrs["Architecture"] == other.architecture
    assert own.attrs["Architecture"] == here.architecture
    assert engine.images.get(name) == own
    with pytest.raises(ImageNotFound, match="linux/riscv64"):
        engine.images.pull(name, platform="linux/riscv64")


@pytest.mark.needs("userns", "overlay")
def test_a_run_for_another_platform_is_not_given_the_wrong_image(engine: Engine, base: bytes) -> None:
    engine.images.import_tar(base, "box", platform=str(Platform.host()))

    with pytest.raises(ImageNotFound, match=r"is for linux/.*, not for linux/s390x"):
        engine.run("box", ["true"], pull="never", platform="linux/s390x")


def test_a_registry_that_wants_a_password_says_so(engine: Engine, scripted: ScriptedRegistry) -> None:
    scripted.user = ("me", "sesame")

    with pytest.raises(Unauthorized, match=r"127\.0\.0\.1"):
        engine.images.pull(publish(scripted, image_of(tar({"a": b"1"}))))
    assert engine.images.list() == []


@pytest.fixture
def committed(engine: Engine, base: bytes) -> str:
    """An image that was imported and committed to, two layers; its id."""
    engine.images.import_tar(base, "box", changes=['CMD ["cat", "/etc/added"]'])
    image = engine.images.commit("box", [tar({"etc/added": b"it is there"})], "made", changes=["ENV A=b"])
    assert engine.run("made", timeout=60).stdout == b"it is there"
    return image.id


@pytest.mark.needs("docker-registry", "userns", "overlay")
def test_what_is_pushed_comes_back(engine: Engine, docker_registry: DockerRegistry, committed: str) -> None:
    name = str(docker_registry.reference())
    engine.images.get("made").tag(name)

    digest = engine.images.push(name)

    assert engine.images.get(f"{name.rpartition(':')[0]}@{digest}").id == committed
    engine.images.remove("made")
    engine.images.prune(all=True)
    assert engine.images.list() == []
    assert engine.run(name, timeout=60).stdout == b"it is there"
    assert engine.images.get(name).id == committed


@pytest.mark.needs("root", "docker-registry", "skopeo", "podman", "docker", "userns", "overlay")
def test_others_pull_what_is_pushed_here(
    engine: Engine, docker_registry: DockerRegistry, committed: str, podman: Command, docker: Command, tmp_path: Path
) -> None:
    name = str(docker_registry.reference())
    engine.images.get("made").tag(name)
    engine.images.push(name)

    run("skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/seen")
    podman("pull", "--quiet", "--tls-verify=false", name)
    docker("pull", "--quiet", name)

    assert podman("image", "inspect", "--format", "{{.Id}}", name).strip() == committed.removeprefix("sha256:")
    assert docker("image", "inspect", "--format", "{{.Id}} {{.Config.Env}}", name).split()[0] == committed


@pytest.mark.needs("root", "podman", "docker", "userns", "overlay")
def test_archives_go_to_docker_and_podman_and_back(
    engine: Engine, committed: str, podman: Command, docker: Command, tmp_path: Path
) -> None:
    engine.images.save("made", tmp_path / "ours.tar")

    docker("load", "--input", tmp_path / "ours.tar")
    podman("load", "--quiet", "--input", tmp_path / "ours.tar")
    docker("save", "--output", tmp_path / "docker.tar", "made")
    podman("save", "--quiet", "--output", tmp_path / "podman.tar", "docker.io/library/made")

    for archive in ("ours", "docker", "podman"):
        engine.images.remove(committed, force=True)
        loaded = engine.images.load(tmp_path / f"{archive}.tar")
        assert [(image.id, image.tags) for image in loaded] == [(committed, ["made:latest"])]
        assert engine.run("made", timeout=60).stdout == b"it is there"


@pytest.mark.needs("docker-registry", "userns", "overlay")
def test_copies_go_through_all_media(
    engine: Engine, docker_registry: DockerRegistry, committed: str, tmp_path: Path
) -> None:
    engine.images.save("made", tmp_path / "first.tar")
    name = str(docker_registry.reference())
    way = [
        f"docker-archive:{tmp_path}/first.tar:made",
        f"oci:{tmp_path}/layout:x",
        name,
        f"oci-archive:{tmp_path}/oci.tar:x",
        f"docker-archive:{tmp_path}/docker.tar:made",
        f"oci:{tmp_path}/layout:y",
    ]

    digests = [engine.images.copy(source, target) for source, target in pairwise(way)]

    assert len(set(digests)) == 1
    for medium in way:
        assert engine.images.pull(medium).id == committed
        assert engine.run(medium, timeout=60).stdout == b"it is there"


@pytest.mark.needs("userns", "overlay")
def test_an_image_without_layers_has_no_program(engine: Engine, scripted: ScriptedRegistry) -> None:
    name = publish(scripted, image_of())

    with pytest.raises(CommandError, match="has no files") as caught:
        engine.run(name, ["true"])

    assert caught.value.exit_code == 127


def test_a_pull_that_is_interrupted_leaves_no_image(engine: Engine, scripted: ScriptedRegistry) -> None:
    name = publish(scripted, image_of(tar({"a": os.urandom(100_000)}), tar({"b": os.urandom(100_000)})))

    def interrupt(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.images.pull(name, on_progress=interrupt)

    assert engine.images.list() == []
    assert engine.images.pull(name).tags == [name]
