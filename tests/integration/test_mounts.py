"""What is mounted on request, what a program inherits, and that no path of an image leads out of it."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrt import Engine, InvalidOption, SyscallError, Unsupported
from pyrt.container import Mount
from tests.containers import Shell, small_image


@pytest.fixture
def data(scratch: Path) -> Path:
    """A directory of the host with a file and a directory in it, which everybody may write."""
    made = scratch / "data"
    (made / "inner").mkdir(parents=True)
    (made / "file").write_text("of the host\n")
    for path in (made, made / "inner", made / "file"):
        path.chmod(0o777)
    return made


@pytest.fixture
def with_inner_mount(data: Path) -> Iterator[Path]:
    """The same, with a file system mounted at `inner`, and all of it on a shared mount of its own."""
    subprocess.run(["mount", "--bind", data, data], check=True)
    subprocess.run(["mount", "--make-shared", data], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "inner", data / "inner"], check=True)
    (data / "inner/deep").write_text("deep\n")
    yield data
    subprocess.run(["umount", "-R", data], check=True)


def options_of(box: Shell, place: str, **options: object) -> set[str]:
    lines = [line.split() for line in box.sh("cat /proc/self/mounts", **options).splitlines()]
    return set(next(fields[3] for fields in lines if fields[1] == place).split(","))


def test_a_bind_is_the_host_s_directory(box: Shell, data: Path) -> None:
    box.sh("cat /data/file; echo changed > /data/file; echo new > /data/new", volumes=[f"{data}:/data"])

    assert (data / "file").read_text() == "changed\n"
    assert (data / "new").read_text() == "new\n"


def test_a_read_only_bind(box: Shell, data: Path) -> None:
    for volumes in ([f"{data}:/data:ro"], {str(data): {"bind": "/data", "mode": "ro"}}):
        assert "Read-only file system" in box.fails("echo x > /data/new", volumes=volumes)
        assert "Read-only file system" in box.fails("echo x > /data/file", volumes=volumes)
    assert (data / "file").read_text() == "of the host\n"


def test_a_file_as_a_bind(box: Shell, data: Path) -> None:
    volumes = [f"{data / 'file'}:/etc/made/here:ro"]

    assert box.sh("cat /etc/made/here; stat -c %F /etc/made/here", volumes=volumes).splitlines() == [
        "of the host",
        "regular file",
    ]


def test_a_socket_as_a_bind(shell: Shell, data: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(data / "s"))
        assert shell.sh("stat -c %F /s", volumes=[f"{data / 's'}:/s"]) == "socket"


def test_mount_points_are_made_where_they_are_missing(box: Shell, data: Path, public_rootfs: Path) -> None:
    box.sh("ls /made/for/this/inner", volumes=[f"{data}:/made/for/this"])

    assert not (public_rootfs / "made").exists()


def test_a_bind_in_a_bind(box: Shell, data: Path, scratch: Path) -> None:
    (scratch / "other").mkdir()
    (scratch / "other/x").write_text("other\n")

    volumes = [f"{scratch / 'other'}:/data/inner", f"{data}:/data"]

    assert box.sh("cat /data/file /data/inner/x", volumes=volumes).splitlines() == ["of the host", "other"]


@pytest.mark.needs("root")
def test_read_only_reaches_mounts_below(box: Shell, with_inner_mount: Path) -> None:
    volumes = [f"{with_inner_mount}:/data:ro"]

    assert "Read-only file system" in box.fails("echo x > /data/inner/deep", volumes=volumes)
    assert (with_inner_mount / "inner/deep").read_text() == "deep\n"


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("recursive", "is_there", "is_writable"),
    [("enabled", True, False), ("readonly", True, False), ("writable", True, True), ("disabled", False, False)],
)
def test_what_becomes_of_mounts_below(
    root_shell: Shell, with_inner_mount: Path, recursive: Any, is_there: bool, is_writable: bool
) -> None:
    mount = Mount("/data", str(with_inner_mount), "bind", read_only=True, recursive=recursive)

    shown = root_shell.run(
        "sh", "-c", "ls /data/inner; touch /data/inner/x && echo wrote", mounts=[mount]
    ).stdout.split()

    assert ("deep" in shown, "wrote" in shown) == (is_there, is_writable)


@pytest.mark.needs("root")
@pytest.mark.parametrize(("propagation", "arrives"), [("rslave", True), ("rshared", True), ("rprivate", False)])
def test_mounts_of_the_host_arrive_later(
    root_shell: Shell, with_inner_mount: Path, propagation: str, arrives: bool
) -> None:
    late = with_inner_mount / "late"
    late.mkdir()
    script = "read go; ls /data/late"
    process = root_shell.engine.popen(
        root_shell.image,
        ["sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        volumes=[f"{with_inner_mount}:/data:{propagation}"],
    )
    with process:
        subprocess.run(["mount", "-t", "tmpfs", "late", late], check=True)
        (late / "arrived").touch()
        shown, _ = process.communicate(b"go\n", timeout=60)

    assert shown.split() == ([b"arrived"] if arrives else [])


@pytest.mark.needs("root")
def test_mounts_of_the_container_reach_a_shared_bind_alone(root_shell: Shell, with_inner_mount: Path) -> None:
    (with_inner_mount / "late").mkdir()
    script = "mount -t tmpfs late /data/late && touch /data/late/inside"
    for propagation, arrives in (("rslave", False), ("rshared", True)):
        volumes = [f"{with_inner_mount}:/data:{propagation}"]
        root_shell.sh(script, volumes=volumes, cap_add=["SYS_ADMIN"])
        assert (with_inner_mount / "late/inside").exists() == arrives


@pytest.mark.needs("root")
def test_propagation_that_the_source_has_not_is_refused(root_shell: Shell, with_inner_mount: Path) -> None:
    subprocess.run(["mount", "--make-rprivate", with_inner_mount], check=True)

    with pytest.raises(InvalidOption, match="private"):
        root_shell.run("true", volumes=[f"{with_inner_mount}:/data:rslave"])


def test_a_missing_source_is_refused_or_made(shell: Shell, scratch: Path) -> None:
    missing = scratch / "missing"
    with pytest.raises(InvalidOption, match="does not exist") as caught:
        shell.run("true", volumes=[f"{missing}:/data"])
    assert caught.value.argument == "volumes"
    assert not missing.exists()

    shell.sh("ls /data", mounts=[Mount("/data", str(missing), "bind", create_source=True)])
    assert missing.is_dir()


def test_a_source_that_cannot_be_made_is_named(shell: Shell, data: Path) -> None:
    mount = Mount("/data", str(data / "file/below"), "bind", create_source=True)

    with pytest.raises(InvalidOption, match=r"file/below") as caught:
        shell.run("true", mounts=[mount])
    assert caught.value.argument == "mounts"


def test_tmpfs(box: Shell) -> None:
    box.sh("touch /run/x; stat -c %a /run; ! ls /run/mine", tmpfs={"/run": "size=64k,mode=1770"})

    found = options_of(box, "/run", tmpfs={"/run": "size=64k,mode=1770"})
    assert {"rw", "nosuid", "nodev", "noexec", "size=64k", "mode=1770"} <= found
    assert not {"noexec", "nosuid"} & options_of(box, "/run", tmpfs=["/run:exec,suid"])
    assert "No space left" in box.fails("dd if=/dev/zero of=/run/x", tmpfs=["/run:size=64k"])


def test_the_caller_s_mounts_win(box: Shell) -> None:
    assert "size=128k" in options_of(box, "/dev/shm", tmpfs=["/dev/shm:size=128k"])


@pytest.mark.parametrize("link", ["/etc", "/", "../../../../../../etc", "/proc/self/cwd", "/proc/1/root/etc"])
def test_a_link_of_the_image_never_leads_out(
    engine: Engine, public_rootfs: Path, scratch: Path, data: Path, root_or_user: str, link: str
) -> None:
    image = scratch / "image"
    small_image(public_rootfs, image)
    (image / "way").symlink_to(link)
    before = sorted(os.listdir("/etc"))
    mark = f"pyrt-test-{os.getpid()}"

    try:
        engine.run(f"rootfs:{image}", ["true"], volumes=[f"{data}:/way/{mark}"], working_dir=f"/way/{mark}/inner")
    except SyscallError as error:
        assert link.startswith("/proc"), error

    assert sorted(os.listdir("/etc")) == before
    assert not os.path.exists(f"/{mark}")


def test_a_link_inside_of_the_image_is_followed(box: Shell, engine: Engine, scratch: Path, data: Path) -> None:
    image = scratch / "image"
    small_image(Path(box.image.removeprefix("rootfs:")), image)
    (image / "place").mkdir()
    (image / "way").symlink_to("/place")

    done = engine.run(f"rootfs:{image}", ["cat", "/place/file"], volumes=[f"{data}:/way"], text=True, **box.options)

    assert done.stdout == "of the host\n"


def test_parameters_of_the_kernel(box: Shell) -> None:
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    wanted = {
        "net.ipv4.ip_forward": "1" if before.strip() == "0" else "0",
        "kernel.shmmni": 123,
        "fs.mqueue.msg_max": "9",
    }

    files = " ".join(f"/proc/sys/{name.replace('.', '/')}" for name in wanted)
    shown = box.sh(f"cat {files}", sysctls=wanted)

    assert shown.split() == [str(value) for value in wanted.values()]
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


def test_every_user_may_open_low_ports(box: Shell) -> None:
    assert box.sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "0"


@pytest.mark.parametrize("name", ["vm.swappiness", "kernel.panic", "fs.file-max", "kernel.hostname", "net/ipv4/x"])
def test_parameters_of_the_host_are_refused(shell: Shell, name: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        shell.run("true", sysctls={name: "1"})
    assert caught.value.argument == "sysctls"


def test_a_parameter_that_there_is_not(shell: Shell) -> None:
    with pytest.raises(SyscallError, match="net/no_such"):
        shell.run("true", sysctls={"net.no_such": "1"})


def test_ulimits(box: Shell) -> None:
    done = box.run("sh", "-ec", "ulimit -Sn; ulimit -Hn; ulimit -c", ulimits={"nofile": (100, 200), "core": 0})

    assert done.stdout.split() == ["100", "200", "0"]
    assert done.effective["nofile"] == (100, 200)


def test_ulimits_are_otherwise_the_caller_s(box: Shell) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert box.sh("ulimit -Sn; ulimit -Hn").split() == [str(soft), str(hard)]


@pytest.mark.needs("hard_nproc", "no_sys_resource")
def test_a_hard_limit_above_the_caller_s_is_refused(shell: Shell) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]

    with pytest.raises(Unsupported, match=r"nproc.*CAP_SYS_RESOURCE"):
        shell.run("true", ulimits={"nproc": hard + 1})


def test_preference_of_the_oom_killer(box: Shell) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())

    assert box.sh("cat /proc/self/oom_score_adj") == str(own)
    done = box.run("cat", "/proc/self/oom_score_adj", oom_score_adj=500)
    assert (done.stdout, done.effective["oom_score_adj"]) == ("500\n", 500)


@pytest.mark.needs("no_sys_resource")
def test_lowering_it_is_refused_without_the_right(shell: Shell) -> None:
    with pytest.raises(Unsupported, match="CAP_SYS_RESOURCE"):
        shell.run("true", oom_score_adj=-1000)


def test_a_device(box: Shell) -> None:
    shown = box.sh(
        "stat -c '%F %t,%T' /dev/second-null; echo x > /dev/second-null", devices=["/dev/null:/dev/second-null:rw"]
    )

    assert shown == "character special file 1,3"


@pytest.mark.needs("root", "cgroup_v1", "block_device")
def test_a_device_that_was_not_asked_for_cannot_be_opened(root_shell: Shell) -> None:
    block = next(str(path) for path in sorted(Path("/dev").iterdir()) if path.is_block_device())
    number = os.stat(block).st_rdev
    make = f"mknod /tmp/d b {os.major(number)} {os.minor(number)}; head -c 1 /tmp/d > /dev/null"

    assert "Operation not permitted" in root_shell.fails(make)
    assert "Operation not permitted" in root_shell.fails(f"echo x > {block}", devices=[f"{block}:{block}:r"])


def test_a_device_that_is_not_there(shell: Shell) -> None:
    with pytest.raises(InvalidOption) as caught:
        shell.run("true", devices=["/dev/no-such"])
    assert caught.value.argument == "devices"
