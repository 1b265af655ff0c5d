"""What a program in a container may do: capabilities, the filter of system calls, Landlock."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from pyrt import InvalidArgument, InvalidOption, Unsupported
from tests.containers import Shell, small_image

DOCKER = """
AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID
SYS_CHROOT
""".split()
NUMBERS = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_ADMIN": 12,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "SYS_ADMIN": 21,
    "MKNOD": 27,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}
SETS = ["Inh", "Prm", "Eff", "Bnd", "Amb"]
PROBE = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(each) for each in arguments])
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
"""


def mask(names: list[str]) -> int:
    return sum(1 << NUMBERS[name] for name in names)


def capabilities(box: Shell, **options: object) -> dict[str, int]:
    values = box.sh("sed -n 's/^Cap...:.//p' /proc/self/status", **options).split()
    return {name: int(value, 16) for name, value in zip(SETS, values, strict=True)}


def bounding_set_of_this_process() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapBnd"))


def available(box: Shell) -> int:
    """What a container can have: in a user namespace, all that the kernel knows."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return (2 << last) - 1 if box.is_inside else bounding_set_of_this_process()


def test_docker_s_fourteen(box: Shell) -> None:
    expected = mask(DOCKER) & available(box)

    assert capabilities(box) == {"Inh": 0, "Prm": expected, "Eff": expected, "Bnd": expected, "Amb": 0}


@pytest.mark.needs("other_ids")
def test_an_ordinary_user_has_none_but_could_gain_them(box: Shell) -> None:
    assert capabilities(box, user="65534") == {
        "Inh": 0,
        "Prm": 0,
        "Eff": 0,
        "Bnd": mask(DOCKER) & available(box),
        "Amb": 0,
    }


def test_added_and_dropped(box: Shell) -> None:
    found = capabilities(box, cap_add=["NET_ADMIN", "cap_sys_admin"], cap_drop=["MKNOD", "CHOWN"])

    expected = mask([*DOCKER, "NET_ADMIN", "SYS_ADMIN"]) & ~mask(["MKNOD", "CHOWN"])
    assert found["Eff"] == found["Bnd"] == expected


def test_all_dropped_but_one(box: Shell) -> None:
    assert capabilities(box, cap_drop=["ALL"], cap_add=["CHOWN"])["Eff"] == mask(["CHOWN"])
    assert capabilities(box, cap_drop=["ALL"]) == dict.fromkeys(SETS, 0)


def test_a_dropped_one_lacks(box: Shell) -> None:
    box.sh("chmod 000 /etc/hosts; cat /etc/hosts; chroot / true")

    assert "Operation not permitted" in box.fails("chroot / true", cap_drop=["SYS_CHROOT"])


@pytest.mark.needs("root")
@pytest.mark.needs("fewer_capabilities")
def test_one_that_this_process_has_not_is_refused(root_shell: Shell) -> None:
    names = {17: "SYS_RAWIO", 24: "SYS_RESOURCE", 16: "SYS_MODULE", 38: "PERFMON", 22: "SYS_BOOT"}
    lacking = [name for number, name in names.items() if not bounding_set_of_this_process() >> number & 1]

    with pytest.raises(Unsupported, match=lacking[0]):
        root_shell.run("true", cap_add=[lacking[0]])


def test_privileged_is_all_there_is(box: Shell) -> None:
    found = capabilities(box, privileged=True)

    assert found["Eff"] == found["Bnd"] == available(box)
    shown = box.sh("grep Seccomp: /proc/self/status; cat /proc/self/mountinfo", privileged=True)
    assert shown.splitlines()[0].split()[1] == ("0" if seccomp_of_this_process() == 0 else "2")
    assert " /proc/sys " not in shown and " /proc/keys " not in shown


def seccomp_of_this_process() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Seccomp:"))


def test_privileged_may_mount(box: Shell) -> None:
    box.sh(
        "mount -t tmpfs memory /tmp && touch /tmp/x && umount /tmp && mount -o remount,ro / && ! touch /x",
        privileged=True,
    )


@pytest.fixture
def set_user_id(public_rootfs: Path, scratch: Path, shell: Shell) -> Shell:
    """The test image with /bin/effective, a set-user-id program of root whose return code is its effective user id."""
    copy = small_image(public_rootfs, scratch / "image")
    program = copy / "bin/effective"
    source = "#include <unistd.h>\nint main(void) { return (int)geteuid() & 127; }"
    compiler = [os.environ.get("CC", "cc"), "-static", "-x", "c", "-", "-o", str(program)]
    subprocess.run(compiler, input=source, text=True, check=True)
    program.chmod(0o4755)
    return Shell(shell.engine, f"rootfs:{copy}")


@pytest.mark.needs("root")
def test_set_user_id_works_unless_it_may_not(set_user_id: Shell) -> None:
    assert set_user_id.run("/bin/effective", user="app").returncode == 0
    assert set_user_id.run("/bin/effective", user="app", security_opt=["no-new-privileges"]).returncode == 1000 & 127


def test_no_new_privileges(box: Shell) -> None:
    assert box.sh("grep NoNewPrivs /proc/self/status").split()[1] == "0"
    assert box.sh("grep NoNewPrivs /proc/self/status", security_opt=["no-new-privileges"]).split()[1] == "1"


@pytest.mark.needs("seccomp")
@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        ("mount -t tmpfs memory /tmp", "permitted|permission denied"),
        ("unshare -n true", "permitted"),
        ("unshare -U true", "permitted"),
        ("umount /proc", "permitted"),
        ("hostname other", "permitted"),
        ("swapoff /x", "permitted|no such file"),
        ("insmod /bin/nop", "permitted|not implemented"),
        ("pivot_root / /tmp", "permitted"),
    ],
)
def test_what_the_default_filter_forbids(box: Shell, command: str, refusal: str) -> None:
    assert re.search(refusal, box.fails(command).lower())


@pytest.mark.needs("seccomp")
def test_the_filter_is_in_force(box: Shell) -> None:
    assert box.sh("grep Seccomp: /proc/self/status").split()[1] == "2"
    assert box.sh("grep Seccomp: /proc/self/status", security_opt=["no-new-privileges"]).split()[1] == "2"


@pytest.mark.needs("seccomp")
def test_system_calls_that_are_no_commands(shell: Shell) -> None:
    # keyctl, userfaultfd, bpf, perf_event_open, clone3, io_uring_setup, kexec_load
    numbers = {"x86_64": (250, 323, 321, 298, 435, 425, 246), "aarch64": (219, 282, 280, 241, 435, 425, 104)}
    names = ("keyctl", "userfaultfd", "bpf", "perf_event_open", "clone3", "io_uring_setup", "kexec_load")
    calls = dict(zip(names, numbers[os.uname().machine], strict=True))
    script = PROBE + "".join(f"print({name!r}, call({number}, 0, 0, 0, 0, 0))\n" for name, number in calls.items())

    done = shell.engine.run("host:", ["python3", "-c", script], text=True, check=True)

    found = dict(line.split() for line in done.stdout.splitlines())
    assert found.pop("clone3") == "ENOSYS"  # so that libc falls back to clone, whose flags a filter can see
    assert found == dict.fromkeys(found, "EPERM")


@pytest.mark.needs("seccomp")
def test_a_child_cannot_be_traced_across_the_filter_but_otherwise(shell: Shell) -> None:
    """PTRACE_TRACEME is allowed since Linux 4.8, as in Docker's profile."""
    trace = 101 if os.uname().machine == "x86_64" else 117
    script = PROBE + f"print(call({trace}, 0, 0, 0, 0))"

    assert shell.engine.run("host:", ["python3", "-c", script], text=True).stdout == "ok\n"


def test_no_filter_on_request(box: Shell) -> None:
    unconfined = {"security_opt": ["seccomp=unconfined"]}

    mode = box.sh("grep Seccomp: /proc/self/status", **unconfined).split()[1]
    box.sh("unshare -n true || exit 7", cap_add=["SYS_ADMIN"], **unconfined)

    assert mode == str(seccomp_of_this_process())


@pytest.mark.needs("seccomp")
def test_a_capability_opens_the_filter(box: Shell) -> None:
    box.sh("mount -t tmpfs memory /tmp; hostname other; unshare -n true", cap_add=["SYS_ADMIN"])


@pytest.mark.needs("seccomp")
def test_an_own_profile(box: Shell, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))

    options = {"security_opt": [f"seccomp={profile}"]}

    assert "Operation not supported" in box.fails("mkdir /tmp/x", **options)
    box.sh("touch /dev/shm/x", **options)


@pytest.mark.needs("seccomp")
def test_a_profile_that_kills(box: Shell, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))

    done = box.run("mkdir", "/tmp/x", security_opt=[f"seccomp={profile}"])

    assert done.returncode == -31


@pytest.mark.parametrize("text", ["", "{", "[]", '{"defaultAction": "SCMP_ACT_NONE"}'])
def test_a_profile_that_is_none(shell: Shell, tmp_path: Path, text: str) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(text)

    with pytest.raises(InvalidArgument, match="seccomp"):
        shell.run("true", security_opt=[f"seccomp={profile}"])


def test_a_profile_that_is_not_there(shell: Shell) -> None:
    with pytest.raises(InvalidOption, match="/no/such") as caught:
        shell.run("true", security_opt=["seccomp=/no/such"])

    assert caught.value.argument == "security_opt"


@pytest.mark.needs("landlock")
def test_landlock_confines_what_the_root_would_allow(box: Shell) -> None:
    wall = {"read_only": ["/bin", "/etc", "/proc", "/dev"], "read_write": ["/dev/shm"]}

    box.sh("cat /etc/os-release; touch /dev/shm/x", landlock=wall)

    for command in ("touch /etc/x", "ls /home", "cat /sys/kernel/mm/ksm/run", "rmdir /var"):
        assert "denied" in box.fails(command, landlock=wall)


def test_landlock_is_never_dropped_in_silence(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrt.runtime.landlock.abi_version", lambda: 0)  # as on a kernel without it

    with pytest.raises(Unsupported, match="landlock"):
        shell.run("true", landlock={"read_only": ["/"]})


def test_the_program_can_be_no_one_s_parent_outside(box: Shell) -> None:
    """What starts a program has its descriptors closed: nothing of the host is in reach but its streams."""
    assert box.sh("ls /proc/self/fd").split() == ["0", "1", "2", "3"]  # 3 is ls reading the directory
    assert box.sh("readlink /proc/self/exe") == "/bin/busybox"
