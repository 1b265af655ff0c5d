"""Write archives for the fuzzer to begin with: `python -m tests.native.fuzz_seeds DIRECTORY` (and DIRECTORY.dict).

Each has 4 bytes before it (see fuzz_untar.c).
"""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.oracles.archives import Header, archive, pax, sparse_0_0, sparse_0_1, sparse_1_0, sparse_old

__all__ = ["main", "seeds"]

WORDS = """path linkpath size uid gid mtime SCHILY.xattr.user.a SCHILY.xattr.system.posix_acl_default
    SCHILY.xattr.trusted.overlay.opaque LIBARCHIVE.xattr.user.a%3Db GNU.sparse.major GNU.sparse.minor GNU.sparse.name
    GNU.sparse.realsize GNU.sparse.size GNU.sparse.map GNU.sparse.offset GNU.sparse.numbytes hdrcharset""".split()
NAMES = ["../", "./", "/", ".wh.", ".wh..wh..opq", ".wh..wh.plnk", "outside/witness", "ustar  ", "\\x80\\x00\\x00\\x01"]


def seeds() -> Iterator[bytes]:
    """Give small archives of every dialect and kind of entry."""
    for dialect in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        yield _everything(dialect)
    yield archive([Header(b"f", size=3, data=b"abc", magic=b""), Header(b"d/", type=b"\0", magic=b"")])
    yield archive([*sparse_old(b"sparse", [(0, b"a"), (5000, b"b")] + [(n * 9000, b"c") for n in range(1, 30)])])
    for form in (sparse_0_0, sparse_0_1, sparse_1_0):
        yield archive([*form(b"sparse", [(0, b"a"), (5000, b"b" * 600)])])
    for target in (b"../outside", b"/outside", b"."):
        link = Header(b"s", type=b"2", link=target)
        yield archive([link, Header(b"s/witness", data=b"x"), Header(b"l", type=b"1", link=b"s/witness")])
        yield archive([link, Header(b"s/.wh.witness"), Header(b"s/", type=b"5"), Header(b"s/n/n", data=b"x")])
    names = [b".wh.a", b"a/b", b"a/.wh..wh..opq", b".wh.a", b".wh..wh..opq", b".wh..wh.plnk/x", b"a"]
    yield archive([Header(name) for name in names])
    records = {b"SCHILY.xattr.user.a": b"\0=\n", b"LIBARCHIVE.xattr.user.b": b"eHg=", b"mtime": b"-1.5"}
    yield archive([pax(records), Header(b"f", data=b"x"), pax({b"size": b"3"}, type=b"g"), Header(b"g", data=b"yyy")])


def _everything(dialect: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=dialect) as tar:
        for name, kind, link in (
            ("./", tarfile.DIRTYPE, ""),
            ("d", tarfile.DIRTYPE, ""),
            ("d/" + "n" * 90 + "/" + "m" * 90, tarfile.REGTYPE, ""),
            ("d/s", tarfile.SYMTYPE, "l" * (90 if dialect == tarfile.USTAR_FORMAT else 150)),
            ("h", tarfile.LNKTYPE, "d/s"),
            ("missing", tarfile.LNKTYPE, "x/y"),
            ("p", tarfile.FIFOTYPE, ""),
            ("c", tarfile.CHRTYPE, ""),
            ("d", tarfile.REGTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.mtime, info.devmajor = kind, link, 0o4755, 1.5, 1
            info.mtime = int(info.mtime) if dialect == tarfile.USTAR_FORMAT else info.mtime
            info.size = 700 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return stream.getvalue()[: stream.tell()]


def main(directory: Path) -> None:
    """Fill the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        for flags in range(4):
            (directory / f"seed-{number}-{flags}").write_bytes(bytes([flags, 1, 2, 3]) + seed)
    lines = [f'"{word}="' for word in WORDS] + [f'"{name}"' for name in NAMES]
    directory.with_suffix(".dict").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
