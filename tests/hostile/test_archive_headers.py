"""Archives whose headers are made to cost their reader more than they cost their author."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from pyrt.errors import InvalidSpec
from pyrt.image.loading import Archive


def header(name: bytes, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name.decode())
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


@pytest.mark.parametrize(
    "records",
    [
        b"2 " * 1000 + b"=\n",  # each record begins inside the one before
        b"9999 path=x\n",  # longer than the header
        b"5 a=b\n",  # ends before its line does
        b"x path=y\n",
    ],
)
def test_records_that_lie_about_their_length(tmp_path: Path, records: bytes) -> None:
    raw = header(b"pax", b"x", len(records)) + padded(records) + header(b"manifest.json", b"0", 0) + bytes(1024)

    with (
        pytest.raises(InvalidSpec, match="record"),
        Archive(io.BytesIO(raw), "it", spool_directory=str(tmp_path)) as it,
    ):
        it.images()


def test_global_records_without_end(tmp_path: Path) -> None:
    raw = b""
    for number in range(80):
        text = b"key%03d=x\n" % number
        record = b"%d %s" % (len(text) + 3, text)
        raw += header(b"pax", b"g", len(record)) + padded(record) + header(b"f%d" % number, b"0", 0)

    with (
        pytest.raises(InvalidSpec, match="global"),
        Archive(io.BytesIO(raw + bytes(1024)), "it", spool_directory=str(tmp_path)) as it,
    ):
        it.images()
