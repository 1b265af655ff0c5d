"""Images of a registry on loopback: pull, commit and push, save, load, diff; pyrt beside its peers, interleaved.

The image is a Debian with python3, gcc and git, as one layer and as eight; with --quick a tree of a few MB. README.md
says what each row is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import image_peers as peers
from benchmarks.fixtures import Fixtures, fixtures
from benchmarks.harness import Case, Missing, Options, Row, against, interleave, missing, row, usable
from benchmarks.image_peers import CHANGE, Cli, Pyrt, Scene
from benchmarks.images import Image, debian, disk, layers, listing, serve, small
from benchmarks.peers import program, world
from benchmarks.timer import Timer

__all__ = ["run"]

_SPLIT = 8
_LABELS = ("1 layer", f"{_SPLIT} layers")
_GETS = 200
_DIFFS = 30


@dataclass(frozen=True, slots=True)
class Field:
    """Who takes part: pyrt, and the engines, or why they cannot."""

    pyrt: Pyrt
    engines: Mapping[str, Cli | Missing]
    images: tuple[Image, ...]

    @property
    def scene(self) -> Scene:
        """Where it happens."""
        return self.pyrt.scene

    def cli(self, name: str) -> Cli:
        """Give an engine; raise Missing with the reason why there is none."""
        found = self.engines[name]
        if isinstance(found, Missing):
            raise Missing(*found.args)
        return found


def run(options: Options) -> list[Row]:
    """Give the rows of all scenarios, then the ratios that have a target."""
    with ExitStack() as stack:
        try:
            directory = None if options.quick else stack.enter_context(disk())
            field = _field(stack.enter_context(fixtures(directory)), options, stack)
        except Missing as reason:
            return [missing("images", reason)]
        rows = _pulls(field, options)
        rows += _present(field, options)
        rows += _commits(field, options)
        rows += _archives(field, options)
        rows += _changes(field, options)
    value = {row["name"]: row["value"] for row in rows if row["value"] is not None}
    return rows + ([] if options.quick else _ratios(value)) + _limits(value)


def _field(made: Fixtures, options: Options, stack: ExitStack) -> Field:
    """Make the images, and arrange all that is there from the beginning to the end."""
    tree = small(made) if options.quick else debian()
    host = stack.enter_context(Timer(bytecode=made.top / "bytecode"))
    registry = serve(made.top / "registry", host)
    whole = registry.put("whole", _LABELS[0], layers(made.top / "whole", tree))
    split = registry.put("split", _LABELS[1], layers(made.top / "split", tree, _SPLIT))
    bottom, upper = made.top / "bottom", made.top / "upper"
    bottom.mkdir()
    (bottom / "base").write_text("below the layer that is committed\n")
    base = registry.put("base", "base", layers(made.top / "base", bottom))
    upper.mkdir()
    host.spawn([program("tar"), "-xpf", str(whole.layers[0].archive), "-C", str(upper)], 1)
    try:
        inside: Timer | Missing = stack.enter_context(world(made))
    except Missing as reason:
        inside = reason
    scene = Scene(made, registry, base, upper, host, inside, options.quick)
    pyrt = Pyrt(scene, made.top / "kept")
    for image in (whole, split):
        pyrt.do(pyrt.kept, "pull", image.reference)
    return Field(pyrt, {"docker": _try(peers.docker, scene), "podman": _try(peers.podman, scene)}, (whole, split))


def _try(make: Callable[[Scene], Cli], scene: Scene) -> Cli | Missing:
    try:
        return make(scene)
    except Missing as reason:
        return reason


def _pulls(field: Field, options: Options) -> list[Row]:
    """Pull images that are not there, ready to run."""
    made: dict[str, Callable[[], Case]] = {}
    for image in field.images:
        at, scene = image.label, field.scene
        made[f"pyrt pull, {at}"] = partial(field.pyrt.pull, image)
        made[f"images.pull, {at}"] = partial(field.pyrt.pull_by_api, image)
        made |= {f"{name} pull, {at}": partial(_of, field, name, Cli.pull, image) for name in field.engines}
        made[f"skopeo + umoci, {at}"] = partial(peers.skopeo_and_umoci, scene, image)
        made[f"tar xzf, {at}"] = partial(peers.tar, scene, image, compressed=True)
    whole = field.images[0]
    made[f"tar xf, {whole.label}"] = partial(peers.tar, field.scene, whole, compressed=False)
    rows = _measured(made | peers.floors(field.scene, whole), options.rounds(full=5, quick=1), "s")
    return rows + [
        row(f"{name}: peak memory", [max(peaks)], "MiB", scale=1024) for name, peaks in field.pyrt.peaks_kib.items()
    ]


def _present(field: Field, options: Options) -> list[Row]:
    """Pull an image that is there, count the requests of that, and look it up."""
    image, registry = field.images[0], field.scene.registry
    made = {"pyrt pull, present": partial(field.pyrt.present, image)}
    made |= {f"{name} pull, present": partial(_of, field, name, Cli.present, image) for name in field.engines}
    rows = _measured(made, options.rounds(full=20, quick=2), "ms")
    for name, make in made.items():
        try:
            case = make()
            before = registry.requests()
            case.sample(1)
        except Missing:
            continue  # its row says why
        rows.append(row(f"{name}: requests", [registry.requests() - before], "requests"))
    reference, root = image.reference, str(field.pyrt.kept)
    taken = _asked(field, "images.get", "get", root=root, reference=reference, runs=_GETS)
    return rows + _measured({"images.get": taken}, 1, "ms")


def _commits(field: Field, options: Options) -> list[Row]:
    """Make a layer of a container's files, and send it."""
    made = {"commit + push": field.pyrt.commit_and_push}
    made |= {f"{name} commit + push": partial(_of, field, name, Cli.commit_and_push) for name in field.engines}
    return _measured(made, options.rounds(full=3, quick=1), "s")


def _archives(field: Field, options: Options) -> list[Row]:
    """Save the image; load it, everybody from docker's archive, and pyrt also from its own."""
    pyrt, image, top = field.pyrt, field.images[0], field.scene.made.top
    archives = {name: top / f"{name}.tar" for name in ("pyrt", *field.engines)}
    made = {"pyrt save": partial(pyrt.save, image, archives["pyrt"])}
    made |= {f"{name} save": partial(_of, field, name, Cli.save, image, archives[name]) for name in field.engines}
    rows = _measured(made, options.rounds(full=3, quick=1), "s")
    theirs = archives["docker"] if archives["docker"].exists() else archives["pyrt"]
    made = {"pyrt load": partial(pyrt.load, "pyrt load", theirs)}
    made["pyrt load, own archive"] = partial(pyrt.load, "pyrt load, own archive", archives["pyrt"])
    made |= {f"{name} load": partial(_of, field, name, Cli.load, image, theirs) for name in field.engines}
    return rows + _measured(made, options.rounds(full=3, quick=1), "s")


def _changes(field: Field, options: Options) -> list[Row]:
    """Say what a container has changed in the image of many layers."""
    image = field.images[-1]
    victims = _victims(field)
    made = {"changes": partial(_own_changes, field, image, victims)}
    made["docker diff"] = partial(_of, field, "docker", Cli.diff, image, victims)
    return _measured(made, options.rounds(full=10, quick=2), "ms")


def _own_changes(field: Field, image: Image, victims: list[str]) -> Case:
    """Change the files through an overlay of pyrt's layers, and give the case of finding out."""
    inside = field.scene.world()
    top = field.scene.fresh("changed")
    for name in ("upper", "work", "merged"):
        (top / name).mkdir()
    with Timer() as timer:
        lowers = timer.ask("call", function="image_verbs:lowers", root=str(field.pyrt.kept), reference=image.reference)
    overlay = f"lowerdir={':'.join(lowers)},upperdir={top}/upper,workdir={top}/work"
    inside.spawn([program("mount"), "-t", "overlay", "overlay", "-o", overlay, f"{top}/merged"], 1)
    inside.spawn([program("sh"), "-c", CHANGE, "sh", f"{top}/merged", *victims], 1)
    inside.spawn([program("umount"), f"{top}/merged"], 1)
    return _asked(field, "changes", "changes", layers=lowers, upper=f"{top}/upper", runs=_DIFFS)()


def _victims(field: Field) -> list[str]:
    """Choose seven files of the image, here and there."""
    upper = field.scene.upper
    paths = [path for path in listing(upper) if path.startswith("usr/share/")]
    files = [path for path in paths if (upper / path).is_file() and not (upper / path).is_symlink()]
    return [files[number * len(files) // 7] for number in range(7)]


def _of(field: Field, name: str, make: Callable[..., Case], *arguments: Any) -> Case:
    return make(field.cli(name), *arguments)


def _asked(field: Field, name: str, verb: str, **arguments: Any) -> Callable[[], Case]:
    """Give what makes the case of a verb of image_verbs.py that measures itself, in a process of its own."""

    def sample(_: int) -> list[float]:
        with Timer(bytecode=field.scene.made.top / "bytecode") as timer:
            times: list[float] = timer.ask("call", function=f"image_verbs:{verb}", **arguments)
        return times

    return lambda: Case(name, sample)


def _measured(made: Mapping[str, Callable[[], Case]], rounds: int, unit: str) -> list[Row]:
    """Try and then interleave cases whose samples are microseconds."""
    cases, lacking = usable(made)
    series = interleave(cases, rounds, warm_up=0)
    scale = {"s": 1e6, "ms": 1e3}[unit]
    return [row(name, times, unit, scale=scale) for name, times in series.items()] + lacking


def _ratios(value: dict[str, float]) -> list[Row]:
    """Give the ratios that the project aims at, each as far as both its sides were measured."""
    wanted = [(f"pyrt pull, {at}", f"docker pull, {at}", 0.2) for at in _LABELS]
    wanted += [(f"pyrt pull, {at}", f"tar xzf, {at}", 1.0) for at in _LABELS]
    wanted += [("commit + push", "docker commit + push", 0.2)]
    wanted += [("pyrt save", "docker save", 0.3), ("pyrt load", "docker load", 0.3)]
    return [
        against(f"{above} ÷ {below}", value[above] / value[below], "×", limit)
        for above, below, limit in wanted
        if above in value and below in value
    ]


def _limits(value: dict[str, float]) -> list[Row]:
    """Give the values that have a limit of their own, whatever the image."""
    wanted = [(f"images.pull, {at}: peak memory", "MiB", 150.0) for at in _LABELS]
    wanted += [("pyrt pull, present: requests", "requests", 1.0), ("images.get", "ms", 1.0), ("changes", "ms", 5.0)]
    return [against(f"{name} (target)", value[name], unit, limit) for name, unit, limit in wanted if name in value]
