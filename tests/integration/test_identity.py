"""Who the program is: users and groups of the image, its home, its environment, its working directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrt import InvalidArgument
from tests.containers import Shell

pytestmark = pytest.mark.needs("overlay")


@pytest.fixture
def people(request: pytest.FixtureRequest, shell: Shell) -> Shell:
    """A shell where other users than root can be had: for an ordinary user that takes subordinate ids."""
    return shell


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("root", "uid=0(root) gid=0(root) groups=0(root)"),
        ("app", "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"),
        ("1000", "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"),
        (1000, "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"),
        ("app:extra", "uid=1000(app) gid=2000(extra) groups=2000(extra)"),
        ("app:3000", "uid=1000(app) gid=3000 groups=3000"),
        ("1234", "uid=1234 gid=0(root) groups=0(root)"),
        ("1234:2000", "uid=1234 gid=2000(extra) groups=2000(extra)"),
        ("nobody", "uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup)"),
    ],
)
@pytest.mark.needs("other_ids")
def test_users_are_the_image_s(people: Shell, user: str | int, shown: str) -> None:
    assert people.sh("id", user=user) == shown


@pytest.mark.needs("other_ids")
def test_further_groups(people: Shell) -> None:
    shown = people.sh("id -G", user="app", group_add=["nogroup", "4000", 4001])

    assert {*shown.split()} == {"1000", "2000", "65534", "4000", "4001"}


@pytest.mark.needs("other_ids")
def test_further_groups_of_root(people: Shell) -> None:
    assert people.sh("id -G", group_add=["extra"]).split() == ["0", "2000"]


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"user": "nobody-knows"}, "user"),
        ({"user": "app:no-group"}, "user"),
        ({"user": "4294967295"}, "user"),
        ({"user": -1}, "user"),
        ({"user": "a:b:c"}, "user"),
        ({"group_add": ["no-group"]}, "group_add"),
    ],
)
def test_unknown_users_and_groups(shell: Shell, options: dict[str, object], argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        shell.run("true", **options)

    assert caught.value.argument == argument


def test_the_host_s_users_do_not_count(shell: Shell) -> None:
    inside = {"root", "app", "nobody"}
    outside = next(
        line.split(":")[0] for line in Path("/etc/passwd").read_text().splitlines() if line.split(":")[0] not in inside
    )

    with pytest.raises(InvalidArgument, match=outside):
        shell.run("true", user=outside)


@pytest.mark.needs("other_ids")
def test_the_home_is_the_user_s(people: Shell) -> None:
    assert people.sh("echo $HOME") == "/root"
    assert people.sh("echo $HOME", user="app") == "/home/app"
    assert people.sh("echo $HOME", user="1234") == "/"
    assert people.sh("echo $HOME", user="app", environment={"HOME": "/elsewhere"}) == "/elsewhere"


def test_the_environment_is_docker_s_and_not_the_host_s(box: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")

    lines = box.run("env", hostname="web", environment={"NAME": "value", "NUMBER": 7, "EMPTY": ""}).stdout.splitlines()

    assert sorted(lines) == sorted(
        [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            *("HOSTNAME=web", "HOME=/root", "NAME=value", "NUMBER=7", "EMPTY="),
        ]
    )


def test_a_variable_can_be_taken_away(box: Shell) -> None:
    assert "PATH=" not in box.run("/usr/bin/env", environment={"PATH": None}).stdout


def test_umask(box: Shell) -> None:
    before = os.umask(0o077)
    try:
        assert box.sh("umask") == "0022"
    finally:
        os.umask(before)


def test_the_working_directory(box: Shell) -> None:
    assert box.sh("pwd") == "/"
    assert box.sh("pwd", working_dir="/home/app") == "/home/app"


def test_a_working_directory_is_made_where_it_is_missing(shell: Shell) -> None:
    assert shell.sh("pwd; stat -c '%a %u' .", working_dir="/srv/new/deep").split() == ["/srv/new/deep", "755", "0"]


@pytest.mark.needs("other_ids")
def test_files_made_by_a_user_are_the_user_s(people: Shell) -> None:
    assert people.sh("touch /tmp/x; stat -c '%u %g %a' /tmp/x", user="app") == "1000 1000 644"


@pytest.mark.needs("other_ids")
def test_a_user_may_not_what_root_may(people: Shell) -> None:
    assert "Permission denied" in people.fails("echo x > /etc/os-release", user="app")
    assert "Operation not permitted" in people.fails("chown app /etc/os-release", user="app")
    people.sh("chown app /etc/os-release; echo x > /etc/os-release")


@pytest.mark.needs("root")
def test_an_ordinary_program_of_the_host_cannot_be_impersonated(root_shell: Shell, scratch: Path) -> None:
    """What root of a user namespace writes on a bind belongs to nobody of the host."""
    scratch.chmod(0o777)
    root_shell.sh("touch /data/x", userns_mode="private", volumes=[f"{scratch}:/data"])

    assert (scratch / "x").stat().st_uid >= 1 << 16


def test_names_of_the_program_stay_as_they_are(box: Shell) -> None:
    words = ["printf", "[%s]", "", "a b", "*", "$HOME", "ü", "\udcff"]

    done = box.run(*words, text=False)

    assert done.stdout == "[][a b][*][$HOME][ü]".encode() + b"[\xff]"
    assert done.args == tuple(words)


def test_an_entrypoint_comes_first(box: Shell) -> None:
    assert box.run("world", entrypoint=["echo", "hello"]).stdout == "hello world\n"
    assert box.run("x", entrypoint="sh -c 'echo $0'").stdout == "x\n"
