"""The peers on images: docker and podman (one command line), skopeo with umoci, tar and gzip; and pyrt beside them.

Each function or method gives a Case for one thing. What a sample must not find (the image it pulls, the file it
writes) is removed before it, outside of the time taken, and all that is waiting to be written is written: nobody pays
for what another left behind. Raises Missing where a peer is not on PATH or does not work here.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fixtures import Fixtures
from benchmarks.harness import Case, Missing
from benchmarks.images import Image, Registry
from benchmarks.peers import docker_command, podman_command, program, pyrt_program
from benchmarks.timer import Timer

__all__ = ["CHANGE", "Cli", "Pyrt", "Scene", "docker", "floors", "podman", "skopeo_and_umoci", "tar"]

CHANGE = """
set -e
cd "$1"; shift
for name in "$1" "$2" "$3" "$4"; do echo changed >> "$name"; done
rm "$5" "$6"
chmod 600 "$7"
for name in new-1 new-2 new-3; do echo new > "etc/$name"; done
"""
"""A shell program that makes ten changes in the tree `$1`, on the seven files that follow."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where it all happens: `host` times on this machine, `inside` in a world of the peers' own (or says why not).

    `base` is a small image, and `upper` a directory that is a layer above it.
    """

    made: Fixtures
    registry: Registry
    base: Image
    upper: Path
    host: Timer
    inside: Timer | Missing
    is_quick: bool
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def world(self) -> Timer:
        """Give the timer of the world; raise Missing where there is none."""
        if isinstance(self.inside, Missing):
            raise Missing(*self.inside.args)
        return self.inside

    def case(self, name: str, before: Callable[[], object], measure: Callable[[], float]) -> Case:
        """Give the case of a measurement (in microseconds) that asks for something to be arranged before it."""

        def sample(runs: int) -> list[float]:
            times = []
            for _ in range(runs):
                before()
                if not self.is_quick:
                    os.sync()
                times.append(measure())
            return times

        return Case(name, sample)

    def fresh(self, name: str) -> Path:
        """Give a new directory of this name, without what was in it."""
        path = self.made.top / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def restamp(self) -> Path:
        """Change a file of the upper, so that no layer made of it is in the registry yet."""
        path = self.upper / "stamp"
        path.write_text(f"{time.time_ns()}\n")
        return path

    def new_reference(self, name: str) -> str:
        """Give a name that the registry has never seen."""
        return f"{self.registry.host}/{name}-{next(self.numbers)}:latest"


@dataclass(frozen=True, slots=True)
class Cli:
    """An engine of docker's command line; `insecure` are the words by which it speaks plain HTTP."""

    name: str
    scene: Scene
    timer: Timer
    command: tuple[str, ...]
    insecure: tuple[str, ...] = ()

    def do(self, *words: str) -> float:
        """Carry out one verb and give its time."""
        return self.timer.spawn([*self.command, *words], 1)[0]

    def remove(self, reference: str) -> None:
        """Remove an image, if it is there."""
        with suppress(Missing):
            self.do("rmi", "-f", reference)

    def bring(self, reference: str) -> float:
        """Pull, and give the time of it."""
        return self.do("pull", *self.insecure, reference)

    def pull(self, image: Image) -> Case:
        """`pull` of an image that is not there."""
        name, reference = f"{self.name} pull, {image.label}", image.reference
        return self.scene.case(name, lambda: self.remove(reference), lambda: self.bring(reference))

    def present(self, image: Image) -> Case:
        """`pull` of an image that is there."""
        self.bring(image.reference)
        name = f"{self.name} pull, present"
        return Case(name, lambda runs: [self.bring(image.reference) for _ in range(runs)])

    def commit_and_push(self) -> Case:
        """`commit` and `push` of a container that was filled by `cp`; its image is removed again."""
        scene, container = self.scene, "committed"
        self.bring(scene.base.reference)
        self.do("create", "--name", container, scene.base.reference, "/bin/sh")
        self.do("cp", f"{scene.upper}/.", f"{container}:/")
        last: list[str] = []

        def before() -> None:
            while last:
                self.remove(last.pop())
            self.do("cp", str(scene.restamp()), f"{container}:/stamp")
            last.append(scene.new_reference(self.name))

        def measure() -> float:
            return self.do("commit", container, last[0]) + self.do("push", *self.insecure, last[0])

        return scene.case(f"{self.name} commit + push", before, measure)

    def save(self, image: Image, archive: Path) -> Case:
        """`save` to a file."""
        self.bring(image.reference)
        return self.scene.case(
            f"{self.name} save",
            lambda: archive.unlink(missing_ok=True),
            lambda: self.do("save", "-o", str(archive), image.reference),
        )

    def load(self, image: Image, archive: Path) -> Case:
        """`load` of an archive, without the image being there."""
        return self.scene.case(
            f"{self.name} load",
            lambda: self.remove(image.reference),
            lambda: self.do("load", "-i", str(archive)),
        )

    def diff(self, image: Image, victims: Sequence[str]) -> Case:
        """`diff` of a container that has made ten changes."""
        self.bring(image.reference)
        program_of_it = ["/bin/sh", "-c", CHANGE, "sh", "/", *victims]
        place = [f"--cgroup-parent=/{self.scene.made.name}", "--network=none"]
        self.do("run", "--name", "changed", *place, image.reference, *program_of_it)
        return Case(f"{self.name} diff", lambda runs: [self.do("diff", "changed") for _ in range(runs)])


def docker(scene: Scene) -> Cli:
    """Docker, with a dockerd that begins now and ends with the world."""
    inside = scene.world()
    return Cli("docker", scene, inside, tuple(docker_command(scene.made, inside)))


def podman(scene: Scene) -> Cli:
    """Podman, with storage of its own."""
    return Cli("podman", scene, scene.world(), tuple(podman_command(scene.made)), ("--tls-verify=false",))


@dataclass(frozen=True, slots=True)
class Pyrt:
    """pyrt: its command in a new interpreter, its Python API in a new process; `kept` is a root that has the images."""

    scene: Scene
    kept: Path
    peaks_kib: dict[str, list[float]] = field(default_factory=dict)

    def do(self, root: Path, *words: str) -> float:
        """Carry out one verb of the command and give its time."""
        return self.scene.host.spawn([pyrt_program(), "--root", str(root), *words], 1)[0]

    def new_root(self) -> Path:
        """Give the root of samples that want an empty one, emptied."""
        return self.scene.fresh("pyrt")

    def pull(self, image: Image) -> Case:
        """`pyrt pull` into an empty root."""
        root = self.scene.made.top / "pyrt"
        return self.scene.case(
            f"pyrt pull, {image.label}", self.new_root, lambda: self.do(root, "pull", image.reference)
        )

    def pull_by_api(self, image: Image) -> Case:
        """`images.pull` into an empty root, in a process that has done nothing before."""
        name = f"images.pull, {image.label}"

        def measure() -> float:
            with Timer(bytecode=self.scene.made.top / "bytecode") as timer:
                root = str(self.scene.made.top / "pyrt")
                took = timer.ask("call", function="image_verbs:pull", root=root, reference=image.reference)
            self.peaks_kib.setdefault(name, []).append(took["peak_kib"])
            return float(took["us"])

        return self.scene.case(name, self.new_root, measure)

    def present(self, image: Image) -> Case:
        """`pyrt pull` of an image that is there."""
        return Case(
            "pyrt pull, present", lambda runs: [self.do(self.kept, "pull", image.reference) for _ in range(runs)]
        )

    def commit_and_push(self) -> Case:
        """Commit and push by the API, in a new process whose root has the base image alone."""
        scene = self.scene

        def before() -> None:
            scene.restamp()
            self.new_root()

        def measure() -> float:
            with Timer(bytecode=scene.made.top / "bytecode") as timer:
                took: float = timer.ask(
                    "call",
                    function="image_verbs:commit_and_push",
                    root=str(scene.made.top / "pyrt"),
                    base=scene.base.reference,
                    upper=str(scene.upper),
                    reference=scene.new_reference("pyrt"),
                )
            return took

        return scene.case("commit + push", before, measure)

    def save(self, image: Image, archive: Path) -> Case:
        """`pyrt save` to a file."""
        return self.scene.case(
            "pyrt save",
            lambda: archive.unlink(missing_ok=True),
            lambda: self.do(self.kept, "save", "-o", str(archive), image.reference),
        )

    def load(self, name: str, archive: Path) -> Case:
        """`pyrt load` of an archive into an empty root."""
        root = self.scene.made.top / "pyrt"
        return self.scene.case(name, self.new_root, lambda: self.do(root, "load", "-i", str(archive)))


def skopeo_and_umoci(scene: Scene, image: Image) -> Case:
    """`skopeo copy` to an OCI layout, then `umoci unpack` of it."""
    top = scene.made.top / "umoci"
    fetch = [program("skopeo"), "copy", "--insecure-policy", "--src-tls-verify=false"]
    fetch += [f"docker://{image.reference}", f"oci:{top}/layout:it"]
    unpack = [program("umoci"), "unpack", "--image", f"{top}/layout:it", f"{top}/bundle"]

    def measure() -> float:
        return scene.host.spawn(fetch, 1)[0] + scene.host.spawn(unpack, 1)[0]

    return scene.case(f"skopeo + umoci, {image.label}", lambda: scene.fresh("umoci"), measure)


def tar(scene: Scene, image: Image, *, compressed: bool) -> Case:
    """`tar xzf` (or `tar xf` of what it holds) of each layer's file, into one directory."""
    files = [str(layer.compressed if compressed else layer.archive) for layer in image.layers]
    words = f'for file; do {program("tar")} {"-xzf" if compressed else "-xf"} "$file" -C "$0" || exit; done'
    command = [program("sh"), "-c", words, str(scene.made.top / "tar"), *files]
    name = f"tar {'xzf' if compressed else 'xf'}, {image.label}"
    return scene.case(name, lambda: scene.fresh("tar"), lambda: scene.host.spawn(command, 1)[0])


def floors(scene: Scene, image: Image) -> dict[str, Callable[[], Case]]:
    """What each pull must do at least with the bytes of an image of one layer: nothing is written."""
    file = str(image.layers[0].compressed)

    def asked(name: str, verb: str) -> Case:
        return Case(name, lambda _: [scene.host.ask("call", function=f"image_verbs:{verb}", path=file)])

    def gzip() -> Case:
        return Case("gzip -dc", lambda runs: scene.host.spawn([program("gzip"), "-dc", file], runs))

    return {
        "gzip -dc": gzip,
        "isal inflate": lambda: asked("isal inflate", "inflate"),
        "sha256": lambda: asked("sha256", "sha256"),
    }
