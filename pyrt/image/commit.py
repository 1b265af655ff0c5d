"""New images from trees and tars: commit, import.

A layer is written, hashed, compressed, stored and unpacked for use in one pass over its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pyrt.image.changes import Changed, change
from pyrt.image.record import ImageName, StoredImage
from pyrt.image.store import ImageStore
from pyrt.layer import Compression, Pending, Trees, ahead, aside, compress, decompress, hashed
from pyrt.oci import mediatype
from pyrt.oci.config import ImageConfig
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.fields import dump
from pyrt.oci.image import History, ImageDocument, chain_ids, config_to_json
from pyrt.oci.manifest import Manifest, make_manifest
from pyrt.oci.platform import Platform
from pyrt.oci.reference import Reference
from pyrt.state import Lease

__all__ = ["NewLayer", "commit", "import_tar", "store_layer"]

_TYPES = {
    "gzip": mediatype.OCI_LAYER_GZIP,
    "zstd": mediatype.OCI_LAYER_ZSTD,
    "none": mediatype.OCI_LAYER,
}
_OF_ANOTHER_ENGINE = frozenset({"container", "container_config", "docker_version", "id", "parent"})


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer that has come into the store: its blob, and the digest of its files."""

    descriptor: Descriptor
    diff_id: Digest


def commit(
    store: ImageStore,
    trees: Trees,
    upper: Iterable[bytes],
    parent: StoredImage | None,
    *,
    config: ImageConfig | None = None,
    changes: Sequence[str] = (),
    author: str = "",
    message: str = "",
    created_by: str = "",
    reference: Reference | None = None,
    compression: Compression = "gzip",
    platform: Platform | None = None,
) -> StoredImage:
    """Make an image of a parent and one more layer, the uncompressed tar `upper`; let a name point to it.

    `config` replaces the parent's before `changes` (a Dockerfile's instructions) are applied. Raises InvalidOption.
    """
    below = None if parent is None else store.document(parent)
    changed = change(config or (below.config if below else ImageConfig()), changes)
    with store.receiving() as lease:
        if parent is not None:
            store.keep(lease, parent)
        layer = store_layer(store, trees, lease, upper, below.diff_ids if below else (), compression)
        history = History(_now(), created_by, author, message)
        document = _document(below, changed, layer.diff_id, history, platform)
        descriptor = Descriptor.of(mediatype.OCI_CONFIG, document.raw)
        manifest = make_manifest(descriptor, (*map(_as_oci, parent.record.layers if parent else ()), layer.descriptor))
        return record(store, lease, manifest, document, reference)


def import_tar(
    store: ImageStore, trees: Trees, chunks: Iterable[bytes], *, message: str = "", **options: Any
) -> StoredImage:
    """Make an image of one layer from a tar of a whole root, compressed or not. Options are those of `commit`."""
    return commit(store, trees, decompress(chunks), None, message=message or "Imported from -", **options)


def record(
    store: ImageStore, lease: Lease, manifest: Manifest, document: ImageDocument, reference: Reference | None
) -> StoredImage:
    """Store a new image's documents and name it; its layers are there."""
    lease.add(str(manifest.descriptor.digest), str(document.digest))
    store.content.add(document.raw)
    store.content.add(manifest.raw)
    names = [] if reference is None else [ImageName(reference, document.digest)]
    return store.add(manifest, document, names)


def store_layer(
    store: ImageStore,
    trees: Trees,
    lease: Lease,
    chunks: Iterable[bytes],
    below: Sequence[Digest],
    compression: Compression = "gzip",
) -> NewLayer:
    """Take a layer's tar into the store, as a blob and unpacked on top of the layers `below` (DiffIDs)."""
    parents = chain_ids(below)
    parent = parents[-1] if parents else None
    with store.layers.stage(None) as stage, store.content.ingest(None) as ingest:
        hasher = Digest.of(b"").hasher()

        def keep(plain: Iterable[bytes]) -> None:
            for block in compress(plain, compression):
                ingest.write(block)

        with ahead(chunks) as written, aside(hashed(written, hasher), keep) as plain:
            applied = trees.apply(plain, stage.directory)
        diff_id = Digest("sha256", hasher.hexdigest())
        chain_id = chain_ids((*below, diff_id))[-1]
        size = ingest.offset_bytes
        with store.database.write() as tx:  # a collector comes before both, or after them
            digest = ingest.commit()
            lease.add(str(chain_id), str(digest), tx=tx)
        if applied.pending != Pending():
            lowers = [layer.directory for layer in store.layers.chain(parent)] if parent else []
            trees.settle(stage.directory, applied.pending, lowers)
        stage.commit(chain_id=chain_id, diff_id=diff_id, parent=parent, size_bytes=applied.size_bytes)
    return NewLayer(Descriptor(_TYPES[compression], digest, size), diff_id)


def _document(
    below: ImageDocument | None,
    changed: Changed,
    diff_id: Digest,
    history: History,
    platform: Platform | None,
) -> ImageDocument:
    """Write the config of an image that has one layer more; what the parent's says besides is kept."""
    own = dict(below.document) if below else {}
    runs_on = below.platform if below and platform is None else platform or Platform.host()
    own |= {"created": history.created, **runs_on.to_json(), "author": history.author or own.get("author", "")}
    own["config"] = config_to_json(changed.config, own.get("config")) | changed.more
    own["rootfs"] = {
        "type": "layers",
        "diff_ids": [str(each) for each in (*(below.diff_ids if below else ()), diff_id)],
    }
    own["history"] = [*(own.get("history") or ()), history.to_json()]
    document = {name: value for name, value in own.items() if value != "" and name not in _OF_ANOTHER_ENGINE}
    return ImageDocument.parse(dump(document))


def _as_oci(layer: Descriptor) -> Descriptor:
    """Give a layer the name that the OCI has for what Docker calls otherwise: one manifest has the words of one."""
    if not layer.media_type.startswith("application/vnd.docker.") or mediatype.is_foreign(layer.media_type):
        return layer
    return replace(layer, media_type=_TYPES[mediatype.compression_of(layer.media_type)])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
