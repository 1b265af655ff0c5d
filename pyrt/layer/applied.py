"""What unpacking a layer is allowed to cost, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Applied", "Limits", "Link", "Pending", "Skipped"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one layer may not exceed; InvalidSpec where it does.

    `size_bytes` sums the files as they appear, holes included. `headers` are those of entries, and that extend them.
    `metadata_bytes` is for the names, xattrs and sparse map of one entry, `memory_bytes` for what is remembered of
    directories until the end (some 150 bytes for each). `stream_bytes` are all of the archive's own, padding and what
    lies behind its end included.
    """

    size_bytes: int = 64 << 30
    headers: int = 4_000_000
    metadata_bytes: int = 1 << 20
    memory_bytes: int = 128 << 20
    stream_bytes: int = 128 << 30


@dataclass(frozen=True, slots=True)
class Link:
    """A hard link to a file that is not in this layer; both are paths below the root."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Pending:
    """What only the layers below can tell.

    `implied` are directories that the archive has no entry for, children first; "" is the root. `opaque_root` says that
    nothing of the lower layers is to be seen.
    """

    implied: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    opaque_root: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """How many things were left out: by the caller's lack of rights, by the file system, or because they are no one's.

    `devices` and `set_ids` only without the rights of root. `overlay_xattrs` are what an archive would tell overlayfs,
    `aufs` the files in which AUFS kept its books.
    """

    devices: int = 0
    xattrs: int = 0
    set_ids: int = 0
    overlay_xattrs: int = 0
    aufs: int = 0


@dataclass(frozen=True, slots=True)
class Applied:
    """A layer that was unpacked: the size of its files, the number of its entries, and what waits for settle()."""

    size_bytes: int
    entries: int
    pending: Pending = field(default_factory=Pending)
    skipped: Skipped = field(default_factory=Skipped)
