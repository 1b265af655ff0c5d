from __future__ import annotations

import io
import os
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from pyrt.errors import ImageNotFound, InvalidArgument
from pyrt.image.copy import copy
from pyrt.image.tree_source import TreeSource
from pyrt.layer import Compression, decompress
from pyrt.oci.digest import Digest
from pyrt.oci.image import ImageDocument
from pyrt.oci.manifest import Manifest
from tests.images import MemoryMedium, content_of, read_back


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/bin").mkdir(parents=True)
    (tmp_path / "tree/bin/a").write_bytes(b"1" * 3000)
    return tmp_path / "tree"


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_directory_is_an_image_of_one_layer(tree: Path, tmp_path: Path, compression: Compression) -> None:
    target = MemoryMedium()
    (tmp_path / "spool").mkdir()
    with closing(TreeSource(str(tree), compression=compression, spool_directory=str(tmp_path / "spool"))) as source:
        copy(source, target)
        assert os.listdir(tmp_path / "spool") == []

    manifest = target.resolve()
    assert isinstance(manifest, Manifest)
    plain = b"".join(decompress([target.blobs[manifest.layers[0].digest]]))
    document = ImageDocument.parse(target.blobs[manifest.config.digest])
    assert document.diff_ids == (Digest.of(plain),)
    assert document.created == "1970-01-01T00:00:00Z"
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        assert content_of(archive, "bin/a") == b"1" * 3000


def test_the_same_tree_gives_the_same_image(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    seen = []
    for _ in range(2):
        with closing(TreeSource(str(tree))) as source:
            seen.append(read_back(source))

    assert seen[0] == seen[1]
    assert b'"created":"1970-01-02T00:00:00Z"' in b"".join(seen[0][1].values())


def test_what_cannot_be_a_source(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageNotFound, match="no directory"):
        TreeSource(str(tree / "bin/a"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with closing(TreeSource(str(tree))) as source, pytest.raises(InvalidArgument, match="SOURCE_DATE_EPOCH"):
        source.resolve()
