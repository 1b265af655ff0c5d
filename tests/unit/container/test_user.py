from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrt.container.spec import Identity
from pyrt.container.user import MAX_FILE_BYTES, resolve_user
from pyrt.errors import InvalidArgument
from pyrt.oci.spec import User
from pyrt.snapshot import Merged

PASSWD = """root:x:0:0:root:/root:/bin/sh
# comment:x:1:1::/:
broken:x:one:two::/home/broken:
short:x:7
app:x:1000:1001:App:/home/app:/bin/sh
homeless:x:1002:1002:::
4242:x:5:5:a name of digits:/five:
twin:x:1000:9::/twin:
big:x:99999999999:1::/:
"""
GROUP = """root:x:0:
staff:x:50:app,root
extra:x:2000:other,app
app:x:1001:
broken:x:number:app
docker:x:998:nobody
"""

Resolve = Callable[..., Identity]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return tmp_path


@pytest.fixture
def resolve(image: Path) -> Iterator[Resolve]:
    yield lambda user, group_add=(): resolve_user(Merged((str(image),)).open, user, group_add)


def identity(uid: int, gid: int, home: str = "/", *more: int) -> Identity:
    return Identity(User(uid, gid, additional_gids=(gid, *more)), home)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", identity(0, 0, "/root", 50)),
        ("root", identity(0, 0, "/root", 50)),
        ("app", identity(1000, 1001, "/home/app", 50, 2000)),
        ("1000", identity(1000, 1001, "/home/app", 50, 2000)),
        ("app:", identity(1000, 1001, "/home/app", 50, 2000)),
        ("app:extra", identity(1000, 2000, "/home/app")),
        ("app:7", identity(1000, 7, "/home/app")),
        ("1234", identity(1234, 0)),
        ("1234:4321", identity(1234, 4321)),
        (":staff", identity(0, 50, "/root")),
        ("homeless", identity(1002, 1002)),
        ("4242", identity(4242, 0)),
        ("2147483647", identity(2147483647, 0)),
    ],
)
def test_users_are_found_by_dockers_rules(resolve: Resolve, user: str, expected: Identity) -> None:
    assert resolve(user) == expected


def test_groups_are_added_by_name_and_number(resolve: Resolve) -> None:
    assert resolve("app:7", ("docker", "12", "7")) == identity(1000, 7, "/home/app", 998, 12)


@pytest.mark.parametrize(
    "user", ["nobody", "app:nogroup", "a:b:c", "broken", "short", "2147483648", "-1", "app\0", "٣"]
)
def test_users_that_are_not_there_are_refused(resolve: Resolve, user: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve(user)

    assert caught.value.argument == "user"


@pytest.mark.parametrize("group", ["nogroup", "2147483648", ""])
def test_groups_that_are_not_there_are_refused(resolve: Resolve, group: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve("app", (group,))

    assert caught.value.argument == "group_add"


def test_an_image_without_users_has_numbers(image: Path, resolve: Resolve) -> None:
    (image / "etc/passwd").unlink()
    (image / "etc/group").unlink()

    assert resolve("") == identity(0, 0)
    assert resolve("12:13", ("14",)) == identity(12, 13, "/", 14)
    with pytest.raises(InvalidArgument):
        resolve("root")


def test_links_lead_no_further_than_the_root(image: Path, resolve: Resolve) -> None:
    (image / "etc/passwd").rename(image / "etc/real")
    (image / "etc/passwd").symlink_to("/etc/real")

    assert resolve("app").user.uid == 1000


def test_links_to_the_host_show_nothing_of_it(
    image: Path, resolve: Resolve, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "passwd"
    outside.write_text("hostuser:x:77:77::/:\n")
    (image / "etc/passwd").unlink()
    (image / "etc/passwd").symlink_to(f"{'../' * 20}{outside}")

    with pytest.raises(InvalidArgument):
        resolve("hostuser")


def test_hostile_files_are_refused_and_never_waited_for(image: Path, resolve: Resolve) -> None:
    passwd = image / "etc/passwd"
    passwd.unlink()
    os.mkfifo(passwd)
    with pytest.raises(InvalidArgument, match="not a regular file"):
        resolve("app")

    passwd.unlink()
    passwd.mkdir()
    with pytest.raises(InvalidArgument, match="not a regular file"):
        resolve("app")

    passwd.rmdir()
    passwd.symlink_to("passwd")
    with pytest.raises(InvalidArgument, match="cannot be opened"):
        resolve("app")

    passwd.unlink()
    passwd.touch()
    os.truncate(passwd, MAX_FILE_BYTES + 1)
    with pytest.raises(InvalidArgument, match="more than"):
        resolve("app")


def test_binary_lines_are_passed_over(image: Path, resolve: Resolve) -> None:
    (image / "etc/passwd").write_bytes(b"\xff\xfe\0:::::::\n" * 100 + b"app:x:3:4::/home/\xff:\n\n::0:0:::\n")

    assert resolve("app") == identity(3, 4, os.fsdecode(b"/home/\xff"), 50, 2000)


@pytest.mark.needs("root")
def test_devices_are_not_opened(image: Path, resolve: Resolve) -> None:
    (image / "etc/passwd").unlink()
    os.mknod(image / "etc/passwd", 0o020666, os.makedev(1, 9))

    with pytest.raises(InvalidArgument, match="not a regular file"):
        resolve("app")


def test_too_many_groups_are_refused(image: Path, resolve: Resolve) -> None:
    (image / "etc/group").write_text("".join(f"g:x:{n}:root\n" for n in range(65600)))

    with pytest.raises(InvalidArgument, match="groups"):
        resolve("root")
