from __future__ import annotations

import pytest

from pyrt.errors import InvalidDigest, InvalidReference
from pyrt.image.names import StoredName, Transport, parse_name
from pyrt.oci.reference import Reference

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host:", Transport("host")),
        ("host:full", Transport("host", "full")),
        ("rootfs:a:b@c", Transport("rootfs", "a:b@c")),
        ("oci:a", Transport("oci", "a")),
        ("oci:/a/b:c", Transport("oci", "/a/b", "c")),
        ("oci:a@b:c:d", Transport("oci", "a@b", "c:d")),
        (f"oci:a@{DIGEST}", Transport("oci", "a", f"@{DIGEST}")),
        ("oci-archive:a.tar:latest", Transport("oci-archive", "a.tar", "latest")),
        ("docker-archive:a.tar:alpine:3.20", Transport("docker-archive", "a.tar", "alpine:3.20")),
        (f"docker-archive:a.tar@{DIGEST}", Transport("docker-archive", "a.tar", f"@{DIGEST}")),
    ],
)
def test_transports_end_their_path_at_the_first_colon(text: str, expected: Transport) -> None:
    assert parse_name(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "reference", "id"),
    [
        ("alpine", "docker.io/library/alpine:latest", ""),
        ("localhost:5000/oci:x", "localhost:5000/oci:x", ""),
        ("cafe", "docker.io/library/cafe:latest", "cafe"),
        ("sha256:cafe", None, "cafe"),
        ("0" * 64, None, "0" * 64),
        (DIGEST, None, "0" * 64),
    ],
)
def test_plain_names_are_references_or_ids_or_either(text: str, reference: str | None, id: str) -> None:
    parsed = parse_name(text)

    assert parsed == StoredName(text, Reference.parse(reference) if reference else None, id)
    assert str(parsed) == text


@pytest.mark.parametrize(
    "text", ["", "oci:", "oci::tag", "oci:a:", "rootfs:", "host:x", "docker-archive:a:c/B", "A", "a b"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        parse_name(text)


@pytest.mark.parametrize("text", ["oci:a@sha256:", "oci:a@sha256:xyz", "alpine@sha256:00"])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidDigest):
        parse_name(text)
