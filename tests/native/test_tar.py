"""Headers of every dialect, made by hand: what is read, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pyrt.errors import IntegrityError, InvalidSpec
from pyrt.layer import apply
from tests.oracles.archives import GNU, Header, archive, block, pax, sparse_0_1, sparse_1_0, sparse_old

Make = Callable[[Sequence[Header]], Path]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Give a function that unpacks headers, byte blocks of 700, and gives the directory."""

    def make(headers: Sequence[Header]) -> Path:
        raw = archive(headers)
        apply((raw[at : at + 700] for at in range(0, len(raw), 700)), str(tmp_path / "layer"))
        return tmp_path / "layer"

    return make


def test_old_v7(made: Make) -> None:
    top = made([Header(b"d/", type=b"\0", magic=b"", mode=0o700), Header(b"d/f", type=b"\0", magic=b"", data=b"old")])

    assert ((top / "d").stat().st_mode & 0o777, (top / "d/f").read_bytes()) == (0o700, b"old")


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"\xff" * 11 + b"\xfe", -2),
        (b"\x80" + bytes(10) + b"\x09", 9),
        (b"\x80" + bytes(6) + b"\1\0\0\0\0", 1 << 32),
        (b"     17 \0", 15),
        (b"", 0),
    ],
)
def test_numbers_of_every_kind(made: Make, field: bytes, seconds: int) -> None:
    assert (made([Header(b"f", mtime=field)]) / "f").stat().st_mtime == seconds


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"1.5", 1_500_000_000),
        (b"-1.25", -1_250_000_000),
        (b"-0.000000001", -1),
        (b"1.1234567899", 1_123_456_789),
        (b"7.", 7_000_000_000),
    ],
)
def test_times_with_a_fraction(made: Make, text: bytes, ns: int) -> None:
    assert (made([pax({b"mtime": text}), Header(b"f")]) / "f").stat().st_mtime_ns == ns


def test_signed_checksums(made: Make) -> None:
    name = "ü".encode()
    unsigned = sum(block(Header(name, checksum=b" " * 8))[:512])

    assert (made([Header(name, checksum=unsigned - 2 * 256)]) / "ü").exists()


def test_records_of_pax(made: Make) -> None:
    top = made(
        [
            pax({b"comment": b"of git", b"mtime": b"7", b"path": b"global"}, type=b"g"),
            pax({b"path": b"x" * 255, b"hdrcharset": b"BINARY", b"atime": b"9", b"size": b"3", b"unknown.key": b"\0"}),
            Header(b"short", data=b"abc", size=99),
            pax([(b"path", b"first"), (b"path", b"half=way")]),
            Header(b"short"),
            pax({b"path": b"", b"mtime": b""}),
            Header(b"own", mtime=5),
            Header(b"ignored"),
            pax({b"linkpath": b"t" * 300}),
            Header(b"ignored", type=b"2", link=b"short"),
        ]
    )

    assert sorted(os.listdir(top)) == sorted(["x" * 255, "half=way", "own", "global"])
    assert ((top / ("x" * 255)).read_bytes(), (top / ("x" * 255)).stat().st_mtime) == (b"abc", 7)
    assert (top / "own").stat().st_mtime == 5
    assert os.readlink(top / "global") == "t" * 300


def test_attributes_of_libarchive(made: Make) -> None:
    records = {
        b"LIBARCHIVE.xattr.user.a%3Db%25": b"AAE9/w",
        b"LIBARCHIVE.xattr.user.c": b"eA==",
        b"LIBARCHIVE.creationtime": b"1",
    }

    top = made([pax(records), Header(b"f")])

    assert {name: os.getxattr(top / "f", name) for name in os.listxattr(top / "f") if name.startswith("user.")} == {
        "user.a=b%": b"\0\1=\xff",
        "user.c": b"x",
    }


def test_empty_and_binary_attributes(made: Make) -> None:
    records = {
        b"SCHILY.xattr.user.none": b"",
        b"SCHILY.xattr.user.bin": b"\0=\n12 a=b\n",
        b"SCHILY.xattr.user.%41%3d": b"x",
    }

    top = made([pax(records), Header(b"f")])

    assert os.getxattr(top / "f", "user.none") == b""
    assert os.getxattr(top / "f", "user.%41=") == b"x"
    assert os.getxattr(top / "f", "user.bin") == b"\0=\n12 a=b\n"


def test_gnu_magic_has_no_prefix(made: Make) -> None:
    top = made([Header(b"f", magic=GNU, tail=b"12345670123\0" + b"7" * 20), Header(b"g", prefix=b"dir/ectory")])

    assert sorted(os.listdir(top)) == ["dir", "f"]
    assert (top / "dir/ectory/g").exists()


def test_an_archive_may_end_with_its_last_entry_only(tmp_path: Path) -> None:
    raw = archive(
        [Header(b"a", data=b"x" * 600), Header(b"b"), pax({b"path": b"cc"}), Header(b"c", data=b"y")], end=b""
    )
    wholes = {0: False, 1536: True, 2048: True, 3072: False, len(raw): True}
    for size in range(0, len(raw) + 1, 256):
        try:
            apply([raw[:size]], str(tmp_path / f"{size}"))
        except IntegrityError:
            assert not wholes.get(size), size
        else:
            assert wholes[size], size


def test_the_end_mark(tmp_path: Path) -> None:
    apply([archive([Header(b"a")]), b"anything", archive([Header(b"b")])], str(tmp_path / "two"))
    apply([archive([])], str(tmp_path / "none"))

    assert os.listdir(tmp_path / "two") == ["a"]
    assert os.listdir(tmp_path / "none") == []
    with pytest.raises(InvalidSpec, match="zero block"):
        apply([bytes(512), archive([Header(b"a")])], str(tmp_path / "three"))


BAD = {
    "checksum": [Header(b"f", checksum=1)],
    "octal": [Header(b"f", mode=b"8")],
    "negative size": [Header(b"f", size=-1)],
    "huge size": [Header(b"f", size=b"\x80" + b"\x7f" * 11)],
    "uid of nobody at all": [Header(b"f", uid=2**32 - 1)],
    "negative uid": [Header(b"f", uid=-5)],
    "unknown type": [Header(b"f", type=b"Q")],
    "pax length": [Header(b"x", type=b"x", data=b"8 path=f\n"), Header(b"f")],
    "pax length beyond": [Header(b"x", type=b"x", data=b"99999999999999999999 path=f\n"), Header(b"f")],
    "pax without newline": [Header(b"x", type=b"x", data=b"9 path=fx"), Header(b"f")],
    "pax without name": [Header(b"x", type=b"x", data=b"5 =f\n"), Header(b"f")],
    "pax size": [pax({b"size": b"-1"}), Header(b"f")],
    "pax uid": [pax({b"uid": b"4294967295"}), Header(b"f")],
    "pax time": [pax({b"mtime": b"soon"}), Header(b"f")],
    "NUL in a name": [pax({b"path": b"f\0g"}), Header(b"f")],
    "xattr name": [pax({b"LIBARCHIVE.xattr.user.%0": b""}), Header(b"f")],
    "xattr base64": [pax({b"LIBARCHIVE.xattr.user.a": b"?"}), Header(b"f")],
    "pax at the end": [pax({b"path": b"x"})],
    "sparse order": sparse_0_1(b"f", [(10, b"a"), (5, b"b")], 20),
    "sparse overlap": sparse_1_0(b"f", [(0, b"abc"), (1, b"b")]),
    "sparse beyond": sparse_old(b"f", [(10, b"a")], 5),
    "sparse text": [pax({b"GNU.sparse.size": b"9", b"GNU.sparse.map": b"1,"}), Header(b"f")],
    "sparse less data": [pax({b"GNU.sparse.size": b"9", b"GNU.sparse.map": b"0,9"}), Header(b"f", data=b"x")],
    "sparse more data": [pax({b"GNU.sparse.size": b"9", b"GNU.sparse.map": b"0,1"}), Header(b"f", data=b"xx")],
    "sparse of a directory": [pax({b"GNU.sparse.size": b"9", b"GNU.sparse.map": b"0,9"}), Header(b"f", type=b"5")],
    "sparse minor": [
        pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"7", b"GNU.sparse.realsize": b"1"}),
        Header(b"f"),
    ],
    "sparse map of nothing": [pax({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"1"}), Header(b"f", data=b"\n")],
    "symlink to nothing": [Header(b"f", type=b"2")],
    "root that is a file": [Header(b".")],
    "link to the root": [Header(b"f", type=b"1", link=b"/")],
}


@pytest.mark.parametrize("headers", BAD.values(), ids=BAD.keys())
def test_malformed_headers_are_refused(tmp_path: Path, headers: list[Header]) -> None:
    with pytest.raises(InvalidSpec, match="layer"):
        apply([archive(headers)], str(tmp_path / "layer"))

    assert os.listdir(tmp_path / "layer") in ([], ["f"])
