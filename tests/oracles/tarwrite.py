"""The archive of a tree in overlay form, by listdir, lstat and struct: slow, whole in memory, and plain to see.

Knows every rule of csrc/prt_tarwrite.h but the mapping of owners. Nothing may change meanwhile.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

__all__ = ["archive"]

_BLOCK = 512
_LABELS = ("security.selinux", "security.evm")
_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}


def archive(top: bytes, *, userxattr: bool, latest: int | None = None, root: bool = False) -> bytes:
    """Give the whole archive of a directory."""
    opaque = "user.overlay.opaque" if userxattr else "trusted.overlay.opaque"
    names: dict[tuple[int, int], bytes] = {}
    parts = [_entry(top, b"./", names, latest)] if root else []
    parts += [_mark(b".wh..wh..opq")] if _is_opaque(top, opaque) else []
    parts += _tree(top, b"", names, latest, opaque)
    return b"".join(parts) + bytes(2 * _BLOCK)


def _tree(
    top: bytes, above: bytes, names: dict[tuple[int, int], bytes], latest: int | None, opaque: str
) -> Iterator[bytes]:
    for name in sorted(os.listdir(os.path.join(top, above))):
        path = above + name
        place = os.path.join(top, path)
        st = os.lstat(place)
        if stat.S_ISSOCK(st.st_mode):
            continue
        if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0:
            yield _mark(above + b".wh." + name)
            continue
        is_directory = stat.S_ISDIR(st.st_mode)
        yield _entry(place, path + b"/" * is_directory, names, latest)
        if is_directory:
            yield _mark(path + b"/.wh..wh..opq") if _is_opaque(place, opaque) else b""
            yield from _tree(top, path + b"/", names, latest, opaque)


def _is_opaque(place: bytes, attribute: str) -> bool:
    return attribute in os.listxattr(place) and os.getxattr(place, attribute) == b"y"


def _mark(path: bytes) -> bytes:
    return _headers(b"0", path, mode=0o600)


def _entry(place: bytes, path: bytes, names: dict[tuple[int, int], bytes], latest: int | None) -> bytes:
    st = os.lstat(place)
    mtime = st.st_mtime_ns if latest is None else min(st.st_mtime_ns, latest * 10**9)
    fields: dict[str, Any] = {"mode": stat.S_IMODE(st.st_mode), "uid": st.st_uid, "gid": st.st_gid, "mtime_ns": mtime}
    inode = (st.st_dev, st.st_ino)
    if inode in names:
        return _headers(b"1", path, target=names[inode], **fields)
    if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
        names[inode] = path
    kind = stat.S_IFMT(st.st_mode)
    data = Path(os.fsdecode(place)).read_bytes() if kind == stat.S_IFREG else b""
    target = os.readlink(place) if kind == stat.S_IFLNK else b""
    device = st.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else None
    attributes = {name: os.getxattr(place, name, follow_symlinks=False) for name in _attributes(place)}
    head = _headers(_TYPES[kind], path, target=target, size=len(data), device=device, attributes=attributes, **fields)
    return head + _padded(data)


def _attributes(place: bytes) -> list[str]:
    found = os.listxattr(place, follow_symlinks=False)
    return sorted(
        name for name in found if not name.startswith(("trusted.overlay.", "user.overlay.")) and name not in _LABELS
    )


def _headers(
    kind: bytes,
    path: bytes,
    *,
    mode: int,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime_ns: int = 0,
    target: bytes = b"",
    device: int | None = None,
    attributes: dict[str, bytes] | None = None,
) -> bytes:
    """Give the header block, after a pax header where that is too small."""
    records = {f"SCHILY.xattr.{name}": value for name, value in (attributes or {}).items()}
    for key, number in (("gid", gid), ("uid", uid)):
        records |= {key: b"%d" % number} if number > 0o7777777 else {}
    seconds, ns = divmod(mtime_ns, 10**9)
    if ns or not 0 <= seconds < 8**11:
        records["mtime"] = format((Decimal(mtime_ns) / 10**9).normalize(), "f").encode()
    for key, name in (("linkpath", target), ("path", path)):
        records |= {key: name} if len(name) > 100 or not name.isascii() else {}
    texts = [_record(key, records[key]) for key in sorted(records)]
    if not _is_utf8(path) or not _is_utf8(target):
        texts.insert(0, _record("hdrcharset", b"BINARY"))
    pax = b"".join(texts)
    before = _block(b"x", b"././@PaxHeader", 0o644, 0, 0, len(pax), 0, b"", None) + _padded(pax) if pax else b""
    return before + _block(kind, path, mode, uid, gid, size, seconds, target, device)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _record(key: str, value: bytes) -> bytes:
    rest = f" {key}=".encode() + value + b"\n"
    return next(b"%d%s" % (n, rest) for n in range(len(rest), len(rest) + 9) if len(b"%d%s" % (n, rest)) == n)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


def _block(
    kind: bytes, path: bytes, mode: int, uid: int, gid: int, size: int, seconds: int, target: bytes, device: int | None
) -> bytes:
    def octal(number: int, width: int) -> bytes:
        return b"%0*o\0" % (width, number if 0 <= number < 8**width else 0)

    def ascii_only(name: bytes) -> bytes:
        return bytes(byte if byte < 128 else ord("?") for byte in name[:100])

    devices = [b"", b""] if device is None else [octal(os.major(device), 7), octal(os.minor(device), 7)]
    numbers = [octal(mode, 7), octal(uid, 7), octal(gid, 7), octal(size, 11), octal(seconds, 11)]

    def packed(checksum: bytes) -> bytes:
        fields = [*numbers, checksum, kind, ascii_only(target), b"ustar", b"00", b"", b"", *devices, b""]
        return struct.pack("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x", ascii_only(path), *fields)

    return packed(b"%06o\0 " % sum(packed(b" " * 8)))
