"""Small images, made and not downloaded: the same number gives the same bytes; and media in memory to hold them."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyrt.errors import BlobNotFound, ImageNotFound
from pyrt.image.blob import verified
from pyrt.image.medium import OpenBlob, Source
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.fields import dump
from pyrt.oci.manifest import Index, Manifest, make_index, make_manifest, parse
from pyrt.oci.platform import Platform

__all__ = [
    *("MemoryMedium", "add_artifact", "add_image", "add_index", "content_of", "manifest_of", "parts_of"),
    *("random_image", "random_index", "read_back", "tar"),
]

_DOCKER_LAYER_TAR = "application/vnd.docker.image.rootfs.diff.tar"


@dataclass(slots=True)
class MemoryMedium:
    """Documents and blobs by digest, as a Source and as a Target; `top` is what the name stands for."""

    name: str = "memory:"
    top: Manifest | Index | None = None
    documents: dict[Digest, Manifest | Index] = field(default_factory=dict)
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def resolve(self) -> Manifest | Index:
        if self.top is None:
            raise ImageNotFound(f"{self.name} is empty")
        return self.top

    def manifest(self, descriptor: Descriptor) -> Manifest | Index:
        return self.documents[descriptor.digest]

    @contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        self.log.append(f"open {descriptor.digest.short}")
        if descriptor.digest not in self.blobs:
            raise BlobNotFound(f"{self.name} has no blob {descriptor.digest}")
        content = self.blobs[descriptor.digest]
        chunks = (content[at : at + 1000] for at in range(0, len(content), 1000))
        yield verified(chunks, descriptor, self.name)

    def has(self, descriptor: Descriptor) -> bool:
        return descriptor.digest in self.blobs or descriptor.digest in self.documents

    def put(self, descriptor: Descriptor, open_blob: OpenBlob) -> str | None:
        if descriptor.digest in self.blobs:
            return "Already exists"
        with open_blob() as chunks:
            self.blobs[descriptor.digest] = b"".join(chunks)
        return None

    def put_manifest(self, document: Manifest | Index) -> None:
        self.documents[document.descriptor.digest] = document

    def finish(self, document: Manifest | Index) -> None:
        self.put_manifest(document)
        self.top = document

    def close(self) -> None:
        self.log.append("close")

    def add(self, media_type: str, content: bytes) -> Descriptor:
        """Take a blob in, and describe it."""
        descriptor = Descriptor.of(media_type, content)
        self.blobs[descriptor.digest] = content
        return descriptor


def tar(files: dict[str, bytes]) -> bytes:
    """Give a tar of files with times, users and order that are always the same."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def add_image(
    medium: MemoryMedium,
    layers: list[bytes],
    *,
    docker: bool = False,
    compressed: bool = True,
    architecture: str = "amd64",
    extra: dict[str, Any] | None = None,
) -> Manifest:
    """Make an image of layers (tars, the base first); `extra` are fields of its manifest that nobody knows."""
    diff_ids = [str(Digest.of(layer)) for layer in layers]
    config: dict[str, Any] = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["/bin/true"], "Env": ["A=b"]},
    }
    config |= {"rootfs": {"type": "layers", "diff_ids": diff_ids}}
    created = "1970-01-01T00:00:00Z"
    config |= {"history": [{"created": created, "created_by": f"step {at}"} for at in range(len(layers))]}
    plain = _DOCKER_LAYER_TAR if docker else mediatype.OCI_LAYER
    packed = mediatype.DOCKER_LAYER if docker else mediatype.OCI_LAYER_GZIP
    described = [
        medium.add(packed, gzip.compress(layer, 6, mtime=0)) if compressed else medium.add(plain, layer)
        for layer in layers
    ]
    of_config = medium.add(mediatype.DOCKER_CONFIG if docker else mediatype.OCI_CONFIG, json.dumps(config).encode())
    media_type = mediatype.DOCKER_MANIFEST if docker else mediatype.OCI_MANIFEST
    manifest = make_manifest(of_config, described, media_type=media_type)
    if extra:
        made = parse(json.dumps({**manifest.document, **extra}, indent=1).encode(), media_type)
        assert isinstance(made, Manifest)
        manifest = made
    medium.put_manifest(manifest)
    return manifest


def add_artifact(medium: MemoryMedium, content: bytes, artifact_type: str = "application/vnd.example+type") -> Manifest:
    """Make something that is no image: an empty config, and a layer of an unknown type."""
    config, layer = medium.add(mediatype.EMPTY, b"{}"), medium.add("text/x-notes", content)
    document = {"schemaVersion": 2, "mediaType": mediatype.OCI_MANIFEST, "artifactType": artifact_type}
    document |= {"config": config.to_json() | {"data": "e30="}, "layers": [layer.to_json()]}
    manifest = parse(dump(document))
    assert isinstance(manifest, Manifest)
    medium.put_manifest(manifest)
    return manifest


def add_index(medium: MemoryMedium, documents: list[Manifest | Index], platforms: list[Platform | None]) -> Index:
    """Make an index of documents that the medium has."""
    entries = []
    for document, platform in zip(documents, platforms, strict=True):
        own = document.descriptor
        entries.append(Descriptor(own.media_type, own.digest, own.size, platform))
    index = make_index(entries)
    medium.put_manifest(index)
    return index


def random_layer(chance: random.Random) -> bytes:
    """Make the tar of a few files."""
    files = {f"etc/{chance.randrange(50)}": chance.randbytes(chance.choice([0, 3, 700])) for _ in range(3)}
    return tar(files | {f"big/{chance.randrange(9)}": chance.randbytes(chance.randrange(5000))})


def random_image(seed: int, architecture: str = "amd64") -> MemoryMedium:
    """Make an image of no to four layers, of which two may be the same."""
    chance = random.Random(seed)
    medium = MemoryMedium()
    layers = [random_layer(chance) for _ in range(chance.randrange(4))]
    layers += layers[:1] if chance.random() < 0.3 else []
    flags = {"docker": seed % 3 == 1, "compressed": chance.random() < 0.7}
    extra = {"org.example.unknown": {"kept": [1.50, None]}} if chance.random() < 0.5 else None
    medium.top = add_image(medium, layers, architecture=architecture, extra=extra, **flags)
    return medium


def random_index(seed: int) -> MemoryMedium:
    """Make an index: images of two platforms, perhaps an artifact, perhaps an index within."""
    chance = random.Random(seed)
    medium = MemoryMedium()
    documents: list[Manifest | Index] = [
        add_image(medium, [random_layer(chance)], architecture=name, docker=False) for name in ("amd64", "arm64")
    ]
    platforms: list[Platform | None] = [Platform("linux", "amd64"), Platform("linux", "arm64")]
    if chance.random() < 0.5:
        documents.append(add_artifact(medium, chance.randbytes(40)))
        platforms.append(Platform("unknown", "unknown"))
    if chance.random() < 0.5:
        inner = add_index(medium, [add_image(medium, [], architecture="s390x")], [Platform("linux", "s390x")])
        documents.append(inner)
        platforms.append(None)
    medium.top = add_index(medium, documents, platforms)
    return medium


def read_back(source: Any) -> tuple[bytes, dict[Digest, bytes]]:
    """Give the top document's bytes and, by digest, all that it refers to, read from any Source."""
    found: dict[Digest, bytes] = {}

    def read(document: Manifest | Index) -> None:
        if isinstance(document, Manifest):
            for descriptor in (document.config, *document.layers):
                with source.blob(descriptor) as chunks:
                    found[descriptor.digest] = b"".join(chunks)
            return
        for descriptor in document.manifests:
            inner = source.manifest(descriptor)
            found[descriptor.digest] = inner.raw
            read(inner)

    top = source.resolve()
    read(top)
    return top.raw, found


def manifest_of(source: Source) -> Manifest:
    """Give the manifest of a medium that holds one image."""
    document = source.resolve()
    assert isinstance(document, Manifest)
    return document


def parts_of(source: Source) -> tuple[Descriptor, ...]:
    """Give what the index of a medium lists."""
    document = source.resolve()
    assert isinstance(document, Index)
    return document.manifests


def content_of(archive: tarfile.TarFile, member: tarfile.TarInfo | str) -> bytes:
    """Give the content of a file of an archive."""
    file = archive.extractfile(member)
    assert file is not None
    return file.read()
