"""Stores of images on a directory of a test, what comes into them, and a listing of all that lies in one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyrt.content import LocalStore
from pyrt.image.receive import receive, select
from pyrt.image.record import ImageName, StoredImage
from pyrt.image.store import ImageStore
from pyrt.layer import LocalTrees
from pyrt.oci import mediatype
from pyrt.oci.manifest import Manifest, make_manifest
from pyrt.oci.reference import Reference
from pyrt.snapshot import Layers
from pyrt.state import Database, Leases
from tests.images import MemoryMedium, add_image

__all__ = ["TREES", "bring", "configured", "image_of", "listing", "names", "open_store", "store"]

TREES = LocalTrees()


@contextmanager
def open_store(root: Path) -> Iterator[ImageStore]:
    """Open the store below a directory, as an engine does."""
    root.mkdir(exist_ok=True)
    with Database(root / "state.db") as database:
        layers = Layers(root / "layers", database, remover=TREES.remove)
        yield ImageStore(
            database, LocalStore(root / "content", durable=False), layers, Leases(database, root / "owners")
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    """A store without images, below `store` of the test's directory."""
    with open_store(tmp_path / "store") as opened:
        yield opened


def image_of(*layers: bytes, **options: Any) -> MemoryMedium:
    """Make a medium of one image."""
    medium = MemoryMedium()
    medium.top = add_image(medium, list(layers), **options)
    return medium


def configured(medium: MemoryMedium, config: Mapping[str, Any], **fields: Any) -> MemoryMedium:
    """Change the medium's image: fields of its config's `config`, and of the document itself."""
    manifest = medium.resolve()
    assert isinstance(manifest, Manifest)
    document = json.loads(medium.blobs[manifest.config.digest])
    document = document | fields | {"config": document["config"] | config}
    described = medium.add(mediatype.OCI_CONFIG, json.dumps(document).encode())
    medium.top = make_manifest(described, manifest.layers)
    medium.put_manifest(medium.top)
    return medium


def bring(store: ImageStore, medium: MemoryMedium, *texts: str, digest: bool = False) -> StoredImage:
    """Bring an image in under names; with `digest` also under its manifest's digest in the repository of each."""
    source = select(medium, medium.resolve())
    references = names(*texts)
    if digest:
        references += [each.with_digest(source.descriptor.digest) for each in references]
    return receive(
        store,
        TREES,
        medium,
        source,
        names=lambda id: [ImageName(each, id, source.descriptor.digest) for each in references],
    )


def names(*texts: str) -> list[Reference]:
    return [Reference.parse(text) for text in texts]


def listing(root: Path) -> set[str]:
    """Give all that is in a store: blobs, layers, images and names, and what is on its way."""
    found = {f"{above}/{name}" for above in ("content/ingest", "layers/staging") for name in entries(root / above)}
    found |= {
        f"blob {name}" for algorithm in ("sha256", "sha512") for name in entries(root / "content/blobs" / algorithm)
    }
    found |= {f"layer {name}" for name in entries(root / "layers") if name != "staging"}
    found |= {f"owner {name}" for name in entries(root / "owners")}
    if (root / "state.db").exists():
        with open_store(root) as opened:
            for image in opened.all():
                found |= {f"image {image.id}"} | {f"name {name.reference}" for name in image.names}
    return found


def entries(directory: Path) -> list[str]:
    return os.listdir(directory) if directory.exists() else []
