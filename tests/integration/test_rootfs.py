"""The root of a container: private, as large as it may be, and gone with it; the image is never written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pyrt import Engine, Unsupported
from tests.containers import Shell

OVERWRITE = """
echo mine > /etc/os-release; rm /etc/group; mv /home/app /home/other; chmod 700 /tmp; mkdir -p /new/deep
ln -s /new /etc/link; rm -r /var; mkdir /var; touch /var/fresh
"""


@pytest.fixture
def copying(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell of an engine to which the kernel refuses every overlay."""
    monkeypatch.setattr(
        shell.engine._rooms.launcher._snapshotters._probe,
        "refusal",
        lambda lower, user_namespace=None: "refused by the test",
    )
    return shell


def tree(top: Path) -> list[tuple[object, ...]]:
    """All that can be seen of a directory."""
    paths = sorted([top, *top.rglob("*")])
    found = [(path, path.lstat()) for path in paths]
    return [
        (str(path), st.st_mode, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_uid) for path, st in found
    ]


def test_the_image_is_never_written(shell: Shell, public_rootfs: Path) -> None:
    before = tree(public_rootfs)

    shell.sh(OVERWRITE + "cat /etc/os-release; ls /new/deep /home/other /var/fresh")

    assert tree(public_rootfs) == before


def test_what_one_container_writes_no_other_sees(box: Shell) -> None:
    script = "echo mine > /tmp/mine; touch /ready; sleep 60"
    with box.engine.popen(box.image, ["sh", "-c", script], **box.options) as first:
        seen = Path(f"/proc/{first.pid}/root/ready")
        box.sh("! ls /tmp/mine /ready")
        assert first.poll() is None
    assert not seen.exists()
    box.sh("! ls /tmp/mine /ready")


def test_nothing_stays_on_the_host(box: Shell) -> None:
    box.sh("true")
    before = {str(path) for path in box.engine.root.rglob("*")}

    box.sh("dd if=/dev/zero of=/big bs=1M count=8")

    after = {str(path) for path in box.engine.root.rglob("*")}
    assert {path for path in after - before if "/cache/" not in path and not path.endswith("/cache")} == set()


def test_the_host_sees_none_of_the_mounts(box: Shell) -> None:
    with box.engine.popen(box.image, ["sleep", "60"], **box.options):
        assert os.listdir(box.engine.root / "stage") == []
        assert str(box.engine.root) not in Path("/proc/self/mountinfo").read_text()


def test_size_limit(box: Shell) -> None:
    fits = "dd if=/dev/zero of=/big bs=64k count=16; dd if=/dev/zero of=/etc/more bs=64k count=16"

    box.sh(fits, storage_opt={"size": "4m"})
    refused = box.fails(f"{fits} && dd if=/dev/zero of=/too-much bs=64k count=64", storage_opt={"size": "4m"})

    assert "No space left on device" in refused


def test_size_limit_leaves_the_image_readable(box: Shell) -> None:
    box.sh("! dd if=/dev/zero of=/big bs=64k; cat /etc/os-release; ls /bin/busybox", storage_opt={"size": "1m"})


def test_read_only_root(box: Shell) -> None:
    for path in ("/x", "/etc/x", "/etc/hosts", "/tmp/x", "/home/app/x"):
        assert "Read-only file system" in box.fails(f"echo no > {path}", read_only=True)


def test_what_is_no_part_of_the_root_can_be_written(box: Shell) -> None:
    box.sh("touch /dev/shm/x /tmp/x; echo y > /dev/null", read_only=True, tmpfs=["/tmp"])


def test_a_program_cannot_make_a_read_only_root_writable(box: Shell) -> None:
    box.fails("mount -o remount,rw /", read_only=True)
    if box.is_inside:
        box.fails("mount -o remount,rw / && touch /x", read_only=True, cap_add=["SYS_RESOURCE"])


def test_the_storage_is_named(shell: Shell) -> None:
    assert shell.run("true").effective["storage_driver"] == "overlay"


def test_a_copy_where_there_is_no_overlay(copying: Shell, public_rootfs: Path) -> None:
    before = tree(public_rootfs)
    done = copying.run(
        "sh", "-ec", OVERWRITE + "cat /etc/os-release; ls /new/deep /home/other; ls -l /bin/sh; stat -c %a /tmp"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.effective["storage_driver"] == "copying"
    assert tree(public_rootfs) == before
    assert os.listdir(copying.engine.root / "copies") == []


def test_a_copy_is_there_as_long_as_its_container(copying: Shell) -> None:
    with copying.engine.popen(copying.image, ["sleep", "60"], **copying.options):
        assert len(os.listdir(copying.engine.root / "copies")) == 1
    assert os.listdir(copying.engine.root / "copies") == []


def test_a_copy_can_be_read_only_and_has_its_etc(copying: Shell) -> None:
    assert "Read-only" in copying.fails("touch /x", read_only=True)
    assert copying.sh("cat /etc/hostname", hostname="copied") == "copied"


def test_a_size_limit_on_a_copy_is_refused(copying: Shell) -> None:
    with pytest.raises(Unsupported, match="storage_opt"):
        copying.run("true", storage_opt={"size": "4m"})
    assert not (copying.engine.root / "copies").exists()


def test_host_programs_are_not_copied(copying: Shell) -> None:
    with pytest.raises(Unsupported, match="refused by the test"):
        copying.engine.run("host:", ["true"])


@pytest.mark.needs("root", "overlay")
def test_the_kernel_s_own_refusal_leads_to_a_copy(engine: Engine, public_rootfs: Path, scratch: Path) -> None:
    """An overlay on an overlay on an overlay is more than the kernel stacks."""
    lower = public_rootfs
    mounted: list[Path] = []
    try:
        for level in ("1", "2"):
            parts = {name: scratch / level / name for name in ("upper", "work", "merged")}
            memory = scratch / level
            memory.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "memory", memory], check=True)
            mounted.append(memory)
            for part in parts.values():
                part.mkdir()
            options = f"lowerdir={lower},upperdir={parts['upper']},workdir={parts['work']}"
            subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, parts["merged"]], check=True)
            mounted.append(parts["merged"])
            lower = parts["merged"]
        done = engine.run(f"rootfs:{lower}", ["cat", "/etc/os-release"], text=True)
        with pytest.raises(Unsupported, match=r"userns_mode: the file system of .* cannot show other ids"):
            engine.run(f"rootfs:{lower}", ["true"], userns_mode="private")
    finally:
        for mount in reversed(mounted):
            subprocess.run(["umount", mount], check=True)

    assert done.stdout == "ID=pyrt-test\n"
    assert done.effective["storage_driver"] == "copying"


@pytest.mark.needs("root", "userns", "overlay")
@pytest.mark.parametrize("image", ["host:", "rootfs"])
def test_files_have_their_owners_in_a_user_namespace(root_shell: Shell, public_rootfs: Path, image: str) -> None:
    script = "stat -c %u:%g /etc/passwd /bin; echo x >>/etc/passwd; rm /etc/passwd; mkdir /bin/a; touch /tmp/x; echo ok"
    name = f"rootfs:{public_rootfs}" if image == "rootfs" else image

    done = root_shell.engine.run(name, ["sh", "-c", script], userns_mode="private", text=True)

    assert (done.stdout, done.stderr) == ("0:0\n0:0\nok\n", "")


def test_files_that_say_who_and_where(box: Shell) -> None:
    shown = box.sh(
        "cat /etc/hostname; echo --; cat /etc/hosts; echo --; cat /etc/resolv.conf; readlink /etc/mtab",
        hostname="web-1",
        extra_hosts={"db": "10.1.2.3"},
        dns=["9.9.9.9"],
        dns_search=["example.org"],
        dns_opt=["ndots:1"],
    )
    name, hosts, rest = (part.strip() for part in shown.split("--"))

    assert name == "web-1"
    assert hosts.splitlines()[0].split() == ["127.0.0.1", "localhost"]
    assert {"10.1.2.3\tdb", "127.0.1.1\tweb-1"} <= set(hosts.splitlines())
    assert {"nameserver 9.9.9.9", "search example.org", "options ndots:1"} <= set(rest.splitlines())
    assert rest.splitlines()[-1] == "/proc/mounts"


def test_those_files_belong_to_the_container(box: Shell) -> None:
    shown = box.sh(
        "stat -c '%a %u %g' /etc/hosts /etc/hostname /etc/resolv.conf; echo more >> /etc/hosts; tail -1 /etc/hosts"
    )

    assert shown.splitlines() == ["644 0 0"] * 3 + ["more"]


def test_the_name_resolves(box: Shell) -> None:
    assert "127.0.1.1" in box.sh("ping -c 1 -W 5 web-1", hostname="web-1")


def test_empty_places_are_made_where_the_image_has_none(
    engine: Engine, scratch: Path, public_rootfs: Path, root_or_user: str
) -> None:
    image = scratch / "bare"
    (image / "bin").mkdir(parents=True)
    os.link(public_rootfs / "bin/busybox", image / "bin/busybox")

    done = engine.run(
        f"rootfs:{image}", ["/bin/busybox", "ls", "/", "/etc", "/dev/pts", "/sys/fs"], text=True, check=True
    )

    assert {"bin", "dev", "etc", "proc", "sys"} <= set(done.stdout.split())
    assert sorted(os.listdir(image)) == ["bin"]
