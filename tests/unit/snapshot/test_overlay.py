from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pyrt._native.userns import UserNamespace
from pyrt.errors import InvalidOption, SyscallError
from pyrt.oci.spec import Mount
from pyrt.runtime.rootless import UserNamespaces, own_mappings
from pyrt.snapshot import Overlay, OverlayProbe, Snapshotter, Uppers, ephemeral
from pyrt.snapshot.probe import _explain
from tests.suites.snapshotter import SnapshotterSuite
from tests.views import in_view


@pytest.mark.needs("overlay")
class TestOverlay(SnapshotterSuite):
    @pytest.fixture
    def snapshotter(self) -> Snapshotter:
        return Overlay(user_namespace=os.geteuid() != 0)

    def shortcoming(self, lower: Path) -> str | None:
        if os.geteuid() == 0:
            return OverlayProbe().shortcoming(str(lower))
        with UserNamespaces() as namespaces:
            return OverlayProbe().shortcoming(str(lower), namespaces.get(own_mappings()))


@pytest.mark.needs("overlay")
class TestUppers(SnapshotterSuite):
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        return tmp_path / "containers: a, b"

    @pytest.fixture
    def snapshotter(self, directory: Path) -> Snapshotter:
        return Uppers(str(directory), user_namespace=os.geteuid() != 0)

    def test_what_was_written_is_in_the_upper(self, snapshotter: Uppers, lower: Path) -> None:
        lower.chmod(0o751)

        in_view(snapshotter.prepare("c1", [str(lower)]), "echo mine >new; rm script")
        again = in_view(snapshotter.mount("c1", [str(lower)]), "cat new; ls script || echo gone")
        upper = Path(snapshotter.upper("c1"))
        names, mode = sorted(os.listdir(upper)), upper.stat().st_mode & 0o7777
        snapshotter.remove("c1")

        assert (names, mode) == (["new", "script"], 0o751)
        assert again.split() == ["mine", "gone"]

    def test_remove_leaves_nothing(self, snapshotter: Uppers, directory: Path, lower: Path) -> None:
        for destination in ("", "/a", "/a%2f"):
            in_view(snapshotter.prepare("c1", [str(lower)], destination), "mkdir x; chmod 0 x")
        uppers = {snapshotter.upper("c1", destination) for destination in ("", "/a", "/a%2f")}

        snapshotter.remove("c1")

        assert len(uppers) == 3
        assert list(directory.iterdir()) == []

    def test_a_failure_leaves_nothing(self, snapshotter: Uppers, directory: Path) -> None:
        with pytest.raises(SyscallError) as caught:
            snapshotter.prepare("c1", ["/does/not/exist"])

        assert caught.value.errno == errno.ENOENT
        assert list(directory.iterdir()) == []

    def test_trees_of_other_ids_are_removed_by_who_can(self, directory: Path, lower: Path) -> None:
        removed: list[str] = []
        snapshotter = Uppers(str(directory), remover=removed.append)

        snapshotter.prepare("c1", [str(lower)])
        snapshotter.remove("c1")

        assert removed == [f"{directory}/c1"]


def test_an_ephemeral_overlay_names_its_lowers_and_no_upper() -> None:
    assert ephemeral(["/top", "/bottom"]) == Mount("", "overlay", "overlay", ("lowerdir=/top:/bottom",))


def test_in_a_user_namespace_the_attributes_are_the_users() -> None:
    assert ephemeral(["/a"], "/b", user_namespace=True).options == ("lowerdir=/a", "userxattr")


@pytest.mark.parametrize("lowers", [[], ["relative"], ["/nul\0"], ["/x"] * 501])
def test_lowers_that_are_none(lowers: list[str]) -> None:
    with pytest.raises(InvalidOption) as caught:
        ephemeral(lowers)

    assert caught.value.argument == "lowers"


@pytest.mark.needs("root", "overlay")
def test_a_directory_is_fit_for_an_overlay(tmp_path: Path) -> None:
    assert OverlayProbe().refusal(str(tmp_path)) is None


@pytest.mark.needs("userns", "overlay")
def test_a_file_system_below_is_refused_in_a_user_namespace() -> None:
    with_proc_below = "/"
    namespace = UserNamespace()
    if os.geteuid() != 0:
        namespace.write("setgroups", b"deny")
    namespace.write("uid_map", f"0 {os.geteuid()} 1\n".encode())
    namespace.write("gid_map", f"0 {os.getegid()} 1\n".encode())

    refusal = OverlayProbe().refusal(with_proc_below, namespace.fileno())
    namespace.close()

    assert refusal is not None
    assert "mounted below it" in refusal


@pytest.mark.needs("userns")
def test_an_answer_is_kept(tmp_path: Path) -> None:
    probe = OverlayProbe()
    lower = tmp_path / "lower"
    lower.mkdir()
    first = probe.refusal(str(lower))
    lower.rmdir()

    assert probe.refusal(str(lower)) == first


@pytest.mark.needs("root")
def test_a_lower_that_is_not_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(SyscallError):
        OverlayProbe().refusal(str(tmp_path / "missing"))


def test_an_overlay_without_attributes_is_good_with_a_shortcoming(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lower: str, userns: int) -> None:
        raise SyscallError(95, "setxattr", "user.overlay.opaque")

    monkeypatch.setattr("pyrt.snapshot.probe.probe_overlay", refuse)
    probe = OverlayProbe()

    assert probe.refusal("/usr", 3) is None
    assert "6.6" in (probe.shortcoming("/usr", 3) or "")


@pytest.mark.needs("root", "overlay")
def test_the_overlay_of_root_has_no_shortcoming(tmp_path: Path) -> None:
    assert OverlayProbe().shortcoming(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("errno", "op", "inside", "said"),
    [
        (19, "mount", False, "modprobe overlay"),
        (1, "mount", True, "Linux 5.11"),
        (22, "mount", True, "mounted below"),
        (22, "mount", False, "overlay on an overlay"),
        (1, "unshare", False, "needs root"),
        (12, "fsopen", False, "refuses"),
    ],
)
def test_a_refusal_says_what_lacks(errno: int, op: str, inside: bool, said: str) -> None:
    assert said in _explain(SyscallError(errno, op), inside)
