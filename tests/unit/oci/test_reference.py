"""Image names: Docker's grammar and its defaults."""

from __future__ import annotations

import pytest

from pyrt.errors import InvalidDigest, InvalidReference
from pyrt.oci.digest import Digest
from pyrt.oci.reference import Reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
        ("ubuntu:24.04", "docker.io/library/ubuntu:24.04", "ubuntu:24.04"),
        ("library/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
        ("index.docker.io/library/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
        ("me/app", "docker.io/me/app:latest", "me/app:latest"),
        ("docker.io/library/me/app", "docker.io/library/me/app:latest", "library/me/app:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1", "[::1]:5000/app:1"),
        ("Registry/app", "Registry/app:latest", "Registry/app:latest"),
        ("example.org/a/b/c:V_1.0-x", "example.org/a/b/c:V_1.0-x", "example.org/a/b/c:V_1.0-x"),
        (f"app@{DIGEST}", f"docker.io/library/app@{DIGEST}", f"app@{DIGEST}"),
        (f"app:1@{DIGEST}", f"docker.io/library/app:1@{DIGEST}", f"app:1@{DIGEST}"),
        ("a__b/c--d/e.f", "docker.io/a__b/c--d/e.f:latest", "a__b/c--d/e.f:latest"),
    ],
)
def test_a_name_is_filled_in_and_shortened_as_docker_does(text: str, full: str, familiar: str) -> None:
    reference = Reference.parse(text)

    assert str(reference) == full
    assert reference.familiar == familiar
    assert Reference.parse(full) == reference == Reference.parse(familiar)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "a:",
        "a:-x",
        "a:.x",
        f"a:{'x' * 129}",
        "Ubuntu",
        "me/App",
        "-a",
        "a-",
        "a___b",
        "a..b",
        "a//b",
        "/a",
        "a/",
        "http://a/b",
        "a b",
        "a\n",
        "exa_mple.org/a",
        HEX,
        f"{'a' * 250}/bbbbbb",
        "host:port/a",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        Reference.parse(text)


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:abc", f"md5:{HEX}", f"sha256:{HEX.upper()}"])
def test_what_follows_the_at_sign_is_a_digest(digest: str) -> None:
    with pytest.raises(InvalidDigest):
        Reference.parse(f"a@{digest}")


def test_a_tag_and_a_digest_take_each_others_place() -> None:
    reference = Reference.parse("me/app:1")

    assert str(reference.with_digest(Digest.parse(DIGEST))) == f"docker.io/me/app@{DIGEST}"
    assert reference.with_digest(Digest.parse(DIGEST)).with_tag("2") == Reference.parse("me/app:2")
    with pytest.raises(InvalidReference):
        reference.with_tag("no tag")


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("box:1", "box", True),
        ("box:1", "box:1", True),
        ("box:1", "box:2", False),
        ("box:1", "b*", True),
        ("box:1", "*:1", True),
        ("box:1", "docker.io/library/box", True),
        ("127.0.0.1:5601/box:1", "*box*", False),  # a star is no slash
        ("127.0.0.1:5601/box:1", "127.0.0.1:5601/*", True),
        ("127.0.0.1:5601/box:1", "box", False),
        ("box:1", "[ab]ox", True),
        ("box:1", "[", False),
    ],
)
def test_patterns_are_dockers(name: str, pattern: str, fits: bool) -> None:
    assert Reference.parse(name).matches(pattern) is fits
