"""Manifests, indexes, configs, descriptors, platforms: read with care, written again as they were."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from pyrt.errors import ImageNotFound, InvalidArgument, InvalidDigest, InvalidSpec
from pyrt.oci import mediatype
from pyrt.oci.config import ImageConfig
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.image import ImageDocument, chain_ids, config_from_json, config_to_json
from pyrt.oci.manifest import Index, Manifest, make_index, make_manifest, parse
from pyrt.oci.platform import Platform, rank

LAYER = Descriptor.of(mediatype.OCI_LAYER_GZIP, b"layer")
CONFIG = Descriptor.of(mediatype.OCI_CONFIG, b"{}")


def raw(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=3).encode()


def manifest_document(**fields: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "config": CONFIG.to_json(), "layers": [LAYER.to_json()], **fields}


def test_a_manifest_keeps_its_bytes_and_what_nobody_knows() -> None:
    written = raw(manifest_document(mediaType=mediatype.OCI_MANIFEST, custom={"a": 1}))

    manifest = parse(written)

    assert isinstance(manifest, Manifest)
    assert manifest.raw == written
    assert manifest.descriptor.digest == Digest("sha256", hashlib.sha256(written).hexdigest())
    assert manifest.document["custom"] == {"a": 1}
    assert (manifest.config, manifest.layers, manifest.is_image) == (CONFIG, (LAYER,), True)


def test_a_manifest_without_a_type_of_its_own_has_the_one_it_was_sent_with() -> None:
    assert parse(raw(manifest_document()), mediatype.DOCKER_MANIFEST).media_type == mediatype.DOCKER_MANIFEST
    assert parse(raw(manifest_document())).media_type == mediatype.OCI_MANIFEST
    assert isinstance(parse(raw({"schemaVersion": 2, "manifests": []})), Index)


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        (manifest_document(manifests=[]), None),
        (manifest_document(mediaType=mediatype.OCI_INDEX, manifests=[]), mediatype.OCI_MANIFEST),
        (manifest_document(mediaType=mediatype.OCI_MANIFEST), mediatype.OCI_INDEX),
        (manifest_document(schemaVersion=1), mediatype.OCI_MANIFEST),
        ({"schemaVersion": 1, "name": "a", "fsLayers": []}, mediatype.DOCKER_MANIFEST_V1),
        (manifest_document(config="x"), None),
        (manifest_document(config=None), None),
        (manifest_document(layers=[{"mediaType": "x", "digest": "sha256:1", "size": 1}]), None),
        (manifest_document(layers=["x"]), None),
        (manifest_document(layers=[LAYER.to_json() | {"size": -1}]), None),
        (manifest_document(layers=[LAYER.to_json() | {"size": True}]), None),
        (manifest_document(layers=[LAYER.to_json() | {"size": 2**63}]), None),
        (manifest_document(annotations={"a": 1}), None),
        ({}, None),
        ({"layers": []}, "text/html"),
    ],
)
def test_an_ambiguous_or_broken_manifest_is_refused(document: dict[str, Any], media_type: str | None) -> None:
    with pytest.raises((InvalidSpec, InvalidDigest)):
        parsed = parse(raw(document), media_type)
        assert parsed.annotations is None  # annotations are read when they are asked for


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidSpec):
        parse(text)


def test_made_documents_are_read_again() -> None:
    manifest = make_manifest(CONFIG, [LAYER], annotations={"a": "b"})
    index = make_index([manifest.descriptor])

    assert parse(manifest.raw).annotations == {"a": "b"}
    assert index.manifests == (manifest.descriptor,)


def entry(platform: str) -> Descriptor:
    return Descriptor(mediatype.OCI_MANIFEST, Digest.of(platform.encode()), 1, Platform.parse(platform))


@pytest.mark.parametrize(
    ("wanted", "there", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64"], "linux/arm64"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm64"], "linux/arm/v6"),
        ("linux/riscv64", ["linux/riscv64"], "linux/riscv64"),
    ],
)
def test_the_best_platform_is_chosen(wanted: str, there: list[str], chosen: str) -> None:
    index = make_index(map(entry, there))

    assert index.choose(Platform.parse(wanted)).platform == Platform.parse(chosen)


def test_an_index_without_the_platform_says_what_it_has() -> None:
    attestation = Descriptor(mediatype.OCI_MANIFEST, Digest.of(b"a"), 1, Platform("unknown", "unknown"))
    index = make_index([entry("linux/arm64"), entry("windows/amd64"), attestation])

    with pytest.raises(ImageNotFound, match=r"linux/arm64, windows/amd64$"):
        index.choose(Platform.parse("linux/amd64"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("Linux/AMD64/v1", "linux/amd64"),
    ],
)
def test_a_platform_has_one_name(text: str, shown: str) -> None:
    assert str(Platform.parse(text)) == shown


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux/", "a b"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Platform.parse(text)


def test_a_candidate_without_platform_comes_last() -> None:
    assert rank(Platform.parse("linux/amd64"), [None, Platform.parse("linux/amd64"), Platform.parse("linux/386")]) == [
        1,
        0,
    ]


def test_chain_ids_are_those_of_the_specification() -> None:
    first, second = Digest.of(b"1"), Digest.of(b"2")

    chain = chain_ids([first, second])

    assert chain == (first, Digest.of(f"{first} {second}".encode()))
    assert chain_ids([]) == ()


def test_a_config_is_read_as_docker_writes_it_and_what_is_unknown_stays() -> None:
    config: dict[str, Any] = {
        "Env": ["A=b"],
        "Cmd": None,
        "Entrypoint": ["/e"],
        "User": "u",
        "Volumes": {"/v": {}},
        "ExposedPorts": {"80/tcp": {}},
        "Labels": None,
        "OnBuild": ["RUN x"],
        "ArgsEscaped": True,
    }
    document = {
        "architecture": "arm64",
        "os": "linux",
        "variant": "v8",
        "created": "2026-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(b"x"))]},
        "history": [{"created_by": "RUN x"}, {"empty_layer": True}],
    }

    image = ImageDocument.parse(raw(document))

    assert image.platform == Platform("linux", "arm64")
    assert image.config == ImageConfig(
        env=("A=b",), entrypoint=("/e",), user="u", volumes=("/v",), exposed_ports=("80/tcp",)
    )
    assert image.diff_ids == (Digest.of(b"x"),)
    assert [entry.is_empty_layer for entry in image.history] == [False, True]
    assert config_to_json(image.config, config) == {
        "Env": ["A=b"],
        "Entrypoint": ["/e"],
        "User": "u",
        "Volumes": {"/v": {}},
        "ExposedPorts": {"80/tcp": {}},
        "OnBuild": ["RUN x"],
        "ArgsEscaped": True,
    }
    assert config_from_json(config_to_json(image.config)) == image.config


@pytest.mark.parametrize(
    "document",
    [
        {"rootfs": []},
        {"rootfs": {"diff_ids": "sha256:1"}},
        {"rootfs": {"diff_ids": ["sha256:1"]}},
        {"config": {"Env": "A=b"}},
        {"config": {"Env": [1]}},
        {"config": {"Labels": {"a": 1}}},
        {"history": {}},
        {"history": ["x"]},
        {"created": 1},
    ],
)
def test_a_config_of_wrong_types_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises((InvalidSpec, InvalidDigest)):
        ImageDocument.parse(raw(document))


def test_a_descriptor_is_written_as_it_was_read() -> None:
    document = {
        "mediaType": "application/x",
        "digest": str(Digest.of(b"")),
        "size": 0,
        "urls": ["https://example.org/x"],
        "annotations": {"a": "b"},
        "artifactType": "application/y",
        "platform": {"architecture": "arm", "os": "linux", "variant": "v6", "os.version": "1", "os.features": ["f"]},
        "data": "e30=",
    }

    assert Descriptor.from_json(document).to_json() == document
    assert Descriptor.from_json(document).data == b"{}"
    with pytest.raises(InvalidSpec):
        Descriptor.from_json(document | {"data": "e"})


@pytest.mark.parametrize(
    ("media_type", "kind"), [(mediatype.OCI_LAYER, "none"), (mediatype.DOCKER_LAYER, "gzip"), ("x+zstd", "zstd")]
)
def test_a_media_type_names_the_compression(media_type: str, kind: str) -> None:
    assert mediatype.compression_of(media_type) == kind


def test_foreign_layers_are_layers() -> None:
    assert mediatype.is_layer(mediatype.DOCKER_FOREIGN_LAYER)
    assert mediatype.is_foreign(mediatype.DOCKER_FOREIGN_LAYER)
    assert not mediatype.is_foreign(mediatype.OCI_LAYER)
