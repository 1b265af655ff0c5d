"""`rootfs:DIR` as a Source: a directory as an image of one layer, the same for the same tree on every machine."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pyrt.errors import BlobNotFound, ImageNotFound, InvalidArgument
from pyrt.image.blob import LocalBlob, Piece, spool
from pyrt.image.view import DEFAULT_PATH
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.fields import dump
from pyrt.oci.manifest import Index, Manifest, make_manifest
from pyrt.oci.platform import Platform

if TYPE_CHECKING:
    from pyrt.layer import Compression

__all__ = ["TreeSource"]

_MEDIA_TYPES = {
    "none": mediatype.OCI_LAYER,
    "gzip": mediatype.OCI_LAYER_GZIP,
    "zstd": mediatype.OCI_LAYER_ZSTD,
}


class TreeSource:
    """An image of what a directory holds when it is first asked for. Close it.

    Its layer is kept in a file without a name, in `spool_directory` (by default TMPDIR). It was created when
    SOURCE_DATE_EPOCH says, else at the beginning of 1970.
    """

    def __init__(
        self,
        directory: str,
        *,
        spool_directory: str | None = None,
        compression: Compression = "gzip",
        platform: Platform | None = None,
    ) -> None:
        """Raises ImageNotFound where there is no directory."""
        if not os.path.isdir(directory):
            raise ImageNotFound(f"rootfs:{directory}: {directory} is no directory")
        self.name = f"rootfs:{directory}"
        self._directory = directory
        self._spool_directory = spool_directory
        self._compression = compression
        self._platform = platform or Platform.host()
        self._closing = ExitStack()
        self._lock = threading.Lock()
        self._made: tuple[Manifest, bytes, Piece] | None = None

    def resolve(self) -> Manifest | Index:
        """Give the manifest, for which the directory is read once (see Source)."""
        return self._make()[0]

    def manifest(self, descriptor: Descriptor) -> Manifest | Index:
        """Give that same manifest: there is no other (see Source)."""
        manifest = self._make()[0]
        if descriptor.digest != manifest.descriptor.digest:
            raise ImageNotFound(f"{self.name}: there is no manifest {descriptor.digest}")
        return manifest

    @contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """Open the config or the layer (see Source)."""
        manifest, config, layer = self._make()
        if descriptor.digest == manifest.config.digest:
            yield iter([config])
        elif descriptor.digest == manifest.layers[0].digest:
            yield LocalBlob(layer)
        else:
            raise BlobNotFound(f"{self.name}: there is no blob {descriptor.digest}")

    def close(self) -> None:
        """Let the layer go (see Medium)."""
        self._closing.close()

    def _make(self) -> tuple[Manifest, bytes, Piece]:
        with self._lock:
            if self._made is None:
                layer, piece, diff_id = self._spool()
                config = _config(diff_id, self._platform)
                manifest = make_manifest(Descriptor.of(mediatype.OCI_CONFIG, config), [layer])
                self._made = manifest, config, piece
            return self._made

    def _spool(self) -> tuple[Descriptor, Piece, Digest]:
        """Write the layer down, compressed; give its descriptor, its file and its DiffID."""
        from pyrt.layer import compress, hashed, write

        plain, packed = hashlib.sha256(), hashlib.sha256()
        chunks = hashed(compress(hashed(write(self._directory), plain), self._compression), packed)
        piece = spool(chunks, self.name, self._spool_directory, self._closing)
        digest = Digest("sha256", packed.hexdigest())
        descriptor = Descriptor(_MEDIA_TYPES[self._compression], digest, piece.size_bytes)
        return descriptor, piece, Digest("sha256", plain.hexdigest())


def _config(diff_id: Digest, platform: Platform) -> bytes:
    created = _created()
    return dump(
        {
            "created": created,
            **platform.to_json(),
            "config": {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [str(diff_id)]},
            "history": [{"created": created, "created_by": "pyrt: a directory"}],
        }
    )


def _created() -> str:
    """Give the time of creation (reproducible-builds.org/specs/source-date-epoch). Raises InvalidArgument."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "0")
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(given)))
    except (ValueError, OverflowError, OSError) as e:
        raise InvalidArgument(f"{given!r} is no number of seconds", argument="SOURCE_DATE_EPOCH") from e
