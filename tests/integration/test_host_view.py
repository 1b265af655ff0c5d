"""`host:` as a container would see it, mounted for real in a throw-away namespace."""

from __future__ import annotations

import os
import sys

import pytest

from pyrt.image import open_image
from pyrt.snapshot import Overlay
from tests.views import in_rootfs

WAYS = [
    pytest.param(False, marks=pytest.mark.needs("root", "overlay"), id="root"),
    pytest.param(True, marks=pytest.mark.needs("userns", "overlay"), id="user-namespace"),
]
pytestmark = pytest.mark.parametrize("inside", WAYS)


def shell(name: str, inside: bool, command: str) -> str:
    return in_rootfs(open_image(name).rootfs(Overlay(user_namespace=inside), "c"), command)


def test_programs_are_there(inside: bool) -> None:
    assert shell("host:", inside, "sort --version | head -1; test -r /etc/passwd; test -d /usr/lib").startswith("sort")


def test_the_interpreter_is_there_wherever_it_lies(inside: bool) -> None:
    shown = shell("host:", inside, f"{sys.executable} -c 'import sys; print(sys.prefix)'")

    assert shown.strip() == sys.prefix


def test_private_places_are_empty(inside: bool) -> None:
    interpreters = [path for path in (sys.prefix, sys.base_prefix) if not path.startswith("/usr")]
    places = "/home /root /tmp /run /srv /mnt /var/tmp /var/lib /var/cache /var/log"
    prunes = " ".join(f"-path {path} -prune -o" for path in interpreters)

    files = "/etc/shadow /etc/gshadow /etc/machine-id"
    command = f"find {places} {prunes} ! -type d -print; for file in {files}; do ! test -s $file; done"

    found = shell("host:", inside, command)

    assert found == ""


def test_every_top_level_directory_that_is_not_known_is_empty(inside: bool) -> None:
    known = {"usr", "bin", "sbin", "etc", "opt", "nix", "gnu", "root", "home", "tmp", "run", "var"}
    tops = [entry.name for entry in os.scandir("/") if entry.is_dir() and not entry.name.startswith("lib")]
    parents = {path.split("/")[1] for path in (sys.prefix, sys.base_prefix)}
    unknown = sorted({*tops} - known - parents)

    shown = shell("host:", inside, f"for top in {' '.join(unknown)}; do ls -A /$top; done")

    assert {"proc", "sys", "dev"} <= {*unknown}
    assert shown == ""


def test_writes_stay_inside(inside: bool) -> None:
    write = "for place in /etc /usr /tmp ''; do echo mine > $place/written-inside; done; cat /etc/written-inside"

    assert shell("host:", inside, write) == "mine\n"
    assert not os.path.exists("/etc/written-inside")
    assert not os.path.exists("/usr/written-inside")


def test_full_hides_nothing(inside: bool) -> None:
    here = os.path.dirname(__file__)

    assert "test_host_view.py" in shell("host:full", inside, f"ls {here}").split()


def test_modes_are_what_programs_expect(inside: bool) -> None:
    shown = shell("host:", inside, "stat -c %a /tmp /var/tmp /run/lock / /var; readlink /var/run /var/lock")

    assert shown.split() == ["1777", "1777", "1777", "755", "755", "/run", "/run/lock"]
