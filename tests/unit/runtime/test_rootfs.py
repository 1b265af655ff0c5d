"""What a plan does to build a root, as data: nothing is mounted here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyrt.errors import InvalidSpec
from pyrt.oci.spec import Mount, Process, Root, Spec
from pyrt.runtime.bundle import Bundle, File, Rootfs
from pyrt.runtime.plan_writer import Kind, OpFlag
from pyrt.runtime.rootfs import RootfsWriter
from pyrt.runtime.stack import Clones, Stack, clones
from pyrt.snapshot import Uppers, ephemeral
from tests.oracles.plan import Op, decode

STAGE = "/stage"


def plan(
    mounts: Sequence[Mount],
    files: Sequence[File] = (),
    *,
    stage: str = STAGE,
    idmapped: Clones | None = None,
    inside: Sequence[Mount] = (),
) -> list[Op]:
    """Give the operations that build a root, and mount what is `inside`."""
    spec = Spec(process=Process(args=("true",)), root=Root("/"), mounts=tuple(inside))
    bundle = Bundle(spec, Rootfs(tuple(mounts), tuple(files)))
    writer = RootfsWriter(bundle, (), stage=stage, in_user_namespace=idmapped is not None, idmapped=idmapped)
    before, root, rest = writer.mounts()
    return decode(before + writer.uppers() + root + writer.root_files() + rest)


def of(ops: Sequence[Op], kind: Kind) -> list[Op]:
    return [op for op in ops if op.kind == kind]


def options(op: Op) -> dict[str, str]:
    """Give the options of a NEW_MOUNT, or of an OVERLAY."""
    if op.kind == Kind.OVERLAY:
        words = text(op).split(",")
        return {key: value for key, _, value in (word.partition("=") for word in words)}
    parts = op.plan[op.data :].split(b"\0")
    found = {}
    while parts[0]:
        found[os.fsdecode(parts[0])] = os.fsdecode(parts[1])
        parts = parts[2:]
    return found


def text(op: Op) -> str:
    return os.fsdecode(op.plan[op.data : op.plan.index(b"\0", op.data)])


def links(ops: Sequence[Op]) -> dict[str, str]:
    return {os.fsdecode(op.path or b""): text(op) for op in of(ops, Kind.SYMLINK)}


def overlays(ops: Sequence[Op]) -> list[Op]:
    return [op for op in ops if op.kind == Kind.OVERLAY or (op.kind == Kind.NEW_MOUNT and op.type == b"overlay")]


def test_few_layers_are_named() -> None:
    ops = plan([ephemeral(["/b", "/a"])])

    (overlay,) = overlays(ops)
    assert overlay.kind == Kind.NEW_MOUNT
    assert options(overlay) == {"lowerdir": "/b:/a", "upperdir": "/stage/0/upper", "workdir": "/stage/0/work"}
    assert links(ops) == {}


@pytest.mark.parametrize("count", [40, 500])
def test_many_layers_are_linked(count: int) -> None:
    lowers = [f"/store/layers/{number}/fs" for number in range(count)]

    ops = plan([ephemeral(lowers)])

    (overlay,) = overlays(ops)
    made, said = links(ops), options(overlay)
    assert (overlay.kind, overlay.path, overlay.source) == (Kind.OVERLAY, b"/stage/0/l", b"M")
    assert [made[f"0/l/{name}"] for name in said["lowerdir"].split(":")] == lowers
    assert (made["0/l/U"], made["0/l/W"]) == ("/stage/0/upper", "/stage/0/work")
    assert (said["upperdir"], said["workdir"]) == ("U", "W")
    assert len(text(overlay)) < 4096


@pytest.mark.parametrize(
    ("lower", "stage"),
    [("/" + "x" * 255, STAGE), ("/a,b", STAGE), ("/a:b", STAGE), ("/a\\b", STAGE), ("/a", "/" + "s" * 250)],
)
def test_names_that_an_option_cannot_take_are_linked(lower: str, stage: str) -> None:
    ops = plan([ephemeral([lower])], stage=stage)

    (overlay,) = overlays(ops)
    assert overlay.kind == Kind.OVERLAY
    assert links(ops)["0/l/0"] == lower


def test_an_upper_on_disk_needs_no_scratch(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    mount = Uppers(str(tmp_path / "c")).prepare("key", [str(tmp_path / "a")])

    ops = plan([mount])

    (overlay,) = overlays(ops)
    assert overlay.kind == Kind.NEW_MOUNT
    assert {"upperdir": f"{tmp_path}/c/key/upper", "index": "off"}.items() <= options(overlay).items()
    assert [op.type for op in of(ops, Kind.NEW_MOUNT)] == [b"overlay"]


def test_files_of_an_upper_on_disk_are_the_topmost_lower(tmp_path: Path) -> None:
    (tmp_path / "a/etc").mkdir(parents=True)
    (tmp_path / "a/etc").chmod(0o711)
    mount = Uppers(str(tmp_path / "c")).prepare("key", [str(tmp_path / "a")])

    ops = plan([mount], [File("/etc/hosts", content=b"x")])

    (overlay,) = overlays(ops)
    assert options(overlay)["lowerdir"] == f"/stage/0/files:{tmp_path}/a"
    assert [(op.path, op.a) for op in of(ops, Kind.DIR)][-1] == (b"0/files/etc", 0o711)
    assert [op.path for op in of(ops, Kind.FILE)] == [b"0/files/etc/hosts"]


def test_one_clone_stands_for_all_layers_beside_each_other(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"layers/{number}/fs").mkdir(parents=True)
    (tmp_path / "c/key").mkdir(parents=True)
    mounts = [
        ephemeral([f"{tmp_path}/layers/{number}/fs" for number in range(3)], user_namespace=True),
        ephemeral([f"{tmp_path}/layers/1"], "/single", user_namespace=True),
        ephemeral(["/usr"], "/usr", user_namespace=True),
    ]
    given = Clones(tuple(clones([Stack.read(mount) for mount in mounts])), 65536)

    ops = plan(mounts, idmapped=given, stage="/s")

    assert given.directories == (f"{tmp_path}/layers", f"{tmp_path}/layers/1", "/usr")
    assert [op.b for op in of(ops, Kind.TAKE)] == [5, 6, 7]
    assert [options(op)["lowerdir"] for op in overlays(ops)] == [
        "/s/clones/0/0/fs:/s/clones/1/fs:/s/clones/0/2/fs",
        "/s/clones/1",
        "/s/clones/2",
    ]


def test_an_upper_and_its_work_are_in_one_clone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    mount = Uppers(str(tmp_path / "c"), user_namespace=True).prepare("key", [str(tmp_path / "a")])

    directories = tuple(clones([Stack.read(mount)]))
    ops = plan([mount], idmapped=Clones(directories, 65536), stage="/s")

    assert directories == (str(tmp_path / "a"), f"{tmp_path}/c/key")
    (overlay,) = overlays(ops)
    assert {"upperdir": "/s/clones/1/upper", "workdir": "/s/clones/1/work"}.items() <= options(overlay).items()


def test_what_is_in_another_mount_has_its_own_clone() -> None:
    stack = Stack.read(ephemeral(["/proc/sys", "/usr"]))

    assert set(clones([stack])) == {"/proc/sys", "/usr"}


def test_fragments_are_kept_for_equal_roots_only() -> None:
    def key(files: Sequence[File]) -> object:
        bundle = Bundle(
            Spec(process=Process(args=("true",)), root=Root("/")), Rootfs((ephemeral(["/a"]),), tuple(files))
        )
        return RootfsWriter(bundle, (), stage=STAGE, in_user_namespace=False, idmapped=None).key()

    assert key([]) == key([])
    assert key([File("/a")]) == key([File("/b")]) != key([])


def test_what_lies_below_a_source_is_resolved_by_the_plan(tmp_path: Path) -> None:
    (tmp_path / "data/in").mkdir(parents=True)
    (tmp_path / "data/file").touch()
    source = str(tmp_path / "data")
    inside = [
        Mount(f"/{number}", "bind", source, ("rbind", f"X-mount.subdir={below}"))
        for number, below in enumerate(("in", "file"))
    ]

    ops = plan([ephemeral(["/a"])], inside=inside)

    trees = of(ops, Kind.OPEN_TREE)
    assert [(op.source, op.path) for op in trees] == [(os.fsencode(source), b"in"), (os.fsencode(source), b"file")]
    flags = [op.flags & (OpFlag.MAKE_DIR | OpFlag.MAKE_FILE) for op in of(ops, Kind.ATTACH)[-2:]]
    assert flags == [OpFlag.MAKE_DIR, OpFlag.MAKE_FILE]


def test_idmapped_binds_come_after_the_layers() -> None:
    inside = [Mount("/one", "bind", "/usr", ("rbind", "idmap")), Mount("/two", "bind", "/usr", ("rbind",))]

    ops = plan([ephemeral(["/layers/a"])], idmapped=Clones(("/layers/a",), 65536, ("/one",)), inside=inside)

    assert [op.b for op in of(ops, Kind.TAKE)] == [5, 6]
    assert len(of(ops, Kind.OPEN_TREE)) == 1
    with pytest.raises(InvalidSpec, match="/one"):
        plan([ephemeral(["/layers/a"])], inside=inside)
