"""The notations that the command line shares with the options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pyrt.container import (
    DeviceMapping,
    Mount,
    Ulimit,
    parse_device,
    parse_device_rule,
    parse_env,
    parse_env_file,
    parse_mount,
    parse_signal,
    parse_size,
    parse_throttle,
    parse_tmpfs,
    parse_ulimit,
    parse_volume,
    parse_weight,
)
from pyrt.errors import InvalidOption
from pyrt.oci.spec import DeviceRule
from pyrt.oci.spec import Mount as SpecMount

GOOD: list[tuple[Callable[[str], Any], str, Any]] = [
    (parse_size, "0", 0),
    (parse_size, "64", 64),
    (parse_size, "64b", 64),
    (parse_size, "1k", 1024),
    (parse_size, "1KiB", 1024),
    (parse_size, "1 MB", 1 << 20),
    (parse_size, "1.5g", 3 << 29),
    (parse_size, "2T", 2 << 40),
    (parse_size, "1p", 1 << 50),
    (parse_size, "0.5", 0),
    (parse_volume, "/a:/b", Mount("/b", "/a", "bind")),
    (parse_volume, "/a:/b:ro,rshared", Mount("/b", "/a", "bind", True, "rshared")),
    (parse_volume, "/a:/b:rw,cached", Mount("/b", "/a", "bind")),
    (parse_volume, "name:/b:ro", Mount("/b", "name", "volume", True)),
    (parse_volume, "/b", Mount("/b")),
    (parse_mount, "type=bind,src=/a,dst=/b,readonly", Mount("/b", "/a", "bind", True)),
    (parse_mount, "type=bind,source=/a,target=/b,ro=false", Mount("/b", "/a", "bind")),
    (parse_mount, 'type=bind,"src=/a,b",dst=/c', Mount("/c", "/a,b", "bind")),
    (
        parse_mount,
        "type=bind,src=/a,destination=/b,bind-propagation=rslave,bind-recursive=writable",
        Mount("/b", "/a", "bind", False, "rslave", "writable"),
    ),
    (parse_mount, "type=bind,src=/a,dst=/b,bind-nonrecursive", Mount("/b", "/a", "bind", recursive="disabled")),
    (parse_mount, "type=bind,src=/a,dst=/b,bind-create-src=true", Mount("/b", "/a", "bind", create_source=True)),
    (
        parse_mount,
        "type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=1770,consistency=cached",
        Mount("/b", None, "tmpfs", tmpfs_size=1 << 20, tmpfs_mode=0o1770),
    ),
    (parse_mount, "dst=/b", Mount("/b")),
    (parse_device, "/dev/a", DeviceMapping("/dev/a", "/dev/a")),
    (parse_device, "/dev/a:r", DeviceMapping("/dev/a", "/dev/a", "r")),
    (parse_device, "/dev/a:/dev/b", DeviceMapping("/dev/a", "/dev/b")),
    (parse_device, "/dev/a:/dev/b:wm", DeviceMapping("/dev/a", "/dev/b", "wm")),
    (parse_device_rule, "a *:* rwm", DeviceRule(True, "a", None, None, "rwm")),
    (parse_device_rule, "c 10:200 r", DeviceRule(True, "c", 10, 200, "r")),
    (parse_ulimit, "nofile=1024:2048", Ulimit("nofile", 1024, 2048)),
    (parse_ulimit, "core=unlimited", Ulimit("core", -1)),
    (parse_ulimit, "core=5:-1", Ulimit("core", 5, -1)),
    (parse_tmpfs, "/run", SpecMount("/run", "tmpfs", "tmpfs", ("noexec", "nosuid", "nodev"))),
    (
        parse_tmpfs,
        "/run:rw,size=50%,mode=1777,suid,size=64m",
        SpecMount("/run", "tmpfs", "tmpfs", ("noexec", "nodev", "rw", "mode=1777", "suid", "size=64m")),
    ),
    (parse_throttle, "/dev/vda:1mb", ("/dev/vda", 1 << 20)),
    (parse_weight, "/dev/vda:500", ("/dev/vda", 500)),
    (parse_signal, "TERM", 15),
    (parse_signal, "sigkill", 9),
    (parse_signal, "15", 15),
    (parse_signal, "RTMAX-1", 63),
]


@pytest.mark.parametrize(("parse", "text", "expected"), GOOD, ids=lambda value: str(value)[:50])
def test_a_notation_is_read(parse: Callable[[str], Any], text: str, expected: Any) -> None:
    assert parse(text) == expected


BAD: list[tuple[Callable[[str], Any], str]] = [
    *[
        (parse_size, text)
        for text in ("", "b", "1i", "1ib", "-1", "1e3", ".5", "1.", "1x", "1kk", "\u0661", "9p" * 9, "9000000p")
    ],
    *[(parse_volume, text) for text in ("", ":", ":/b", "/a:b", "/a:/b:ro:x", "/a:/b:private,slave")],
    *[
        (parse_mount, text)
        for text in ("", "type=bind", "dst=b", "dst=/b,dst=/c", "dst=/b,x=1", 'dst=/b,"', "dst=/b,ro=x")
    ],
    *[
        (parse_mount, f"dst=/b,{text}")
        for text in ("type=", "tmpfs-mode=8", "tmpfs-mode=", "tmpfs-size=x", "bind-recursive=x")
    ],
    *[(parse_device, text) for text in ("", "a", "/a:b", "/a:/b:", "/a:/b:rr", "/a:/b:r:w")],
    *[(parse_device_rule, text) for text in ("", "c 1:2", "c 1:2:3 r", "d 1:2 r", "c 1:x r", "c 1:2 ")],
    *[
        (parse_ulimit, text)
        for text in ("", "nofile", "nofile=", "nofile=-2", "nofile=2:1", "nofile=-1:1", "x=1", "nofile=1:2:3")
    ],
    *[
        (parse_tmpfs, text)
        for text in ("", "run", "/run:size", "/run:size=", "/run:uid=x", "/run:mode=x", "/run:x=1", "/run:mpol=")
    ],
    *[(parse_throttle, text) for text in ("", "/a", "a:1", "/a:", "/a:x")],
    *[(parse_weight, text) for text in ("", "/a:9", "/a:1001", "/a:x")],
    *[(parse_signal, text) for text in ("", "SIG", "SIGSIGTERM", "RTMIN+", "RTMIN+31", "RTMAX-31", "-1", "99")],
]


@pytest.mark.parametrize(("parse", "text"), BAD, ids=lambda value: repr(value)[:50])
def test_what_is_no_notation_is_refused(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse(text)

    assert caught.value.argument is not None


def test_the_argument_is_the_callers_word_for_it() -> None:
    with pytest.raises(InvalidOption, match=r"^--ulimit: ") as caught:
        parse_ulimit("x", argument="--ulimit")

    assert caught.value.argument == "--ulimit"


def test_a_rate_of_operations_has_no_unit() -> None:
    assert parse_throttle("/dev/vda:1000", argument="device_read_iops") == ("/dev/vda", 1000)
    with pytest.raises(InvalidOption):
        parse_throttle("/dev/vda:1k", argument="device_read_iops")


def test_an_environment_file_is_read_line_by_line() -> None:
    content = "\ufeff# comment\n\nA=1\n  B = 2 \r\nC\nD\nQ='x'\n".replace("B = ", "B= ")

    assert parse_env_file(content, {"C": "outer"}) == {"A": "1", "B": " 2 ", "C": "outer", "Q": "'x'"}


@pytest.mark.parametrize("content", ["A B=1", "=1", "A\n\nB C\n"])
def test_an_environment_file_names_the_line_that_is_wrong(content: str) -> None:
    with pytest.raises(InvalidOption, match=f"line {content.count(chr(10)) or 1}: "):
        parse_env_file(content, {})


def test_a_variable_alone_is_taken_away() -> None:
    assert parse_env(["A", "B=", "C=d=e"]) == {"A": None, "B": "", "C": "d=e"}
    assert parse_env({"A": None, "B": 1.5}) == {"A": None, "B": "1.5"}
