"""Laws of image names and documents."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import InvalidArgument, InvalidReference
from pyrt.oci.digest import Digest
from pyrt.oci.fields import dump
from pyrt.oci.image import ImageDocument, chain_ids
from pyrt.oci.manifest import parse
from pyrt.oci.platform import Platform
from pyrt.oci.reference import Reference

words = st.from_regex(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+){0,2}", fullmatch=True).filter(lambda word: len(word) < 20)
hosts = st.from_regex(r"[a-z0-9]{1,8}(?:\.[a-z0-9]{1,8}){1,2}(?::[0-9]{1,5})?", fullmatch=True)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.binary(max_size=8).map(Digest.of)


@given(st.none() | hosts, st.lists(words, min_size=1, max_size=3), st.none() | tags, st.none() | digests)
def test_a_name_and_its_forms_mean_the_same(
    host: str | None, path: list[str], tag: str | None, digest: Digest | None
) -> None:
    text = "/".join([*([host] if host else []), *path])
    text += (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        is_host = host is None and len(path) > 1 and "." in path[0]  # to Docker, and then it has to be one
        assert len(path[0]) == 64 or is_host  # digits alone are an id
        return

    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference
    assert reference.tag == (tag or (None if digest else "latest"))


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidArgument:
        return

    assert Reference.parse(str(reference)) == reference


@given(st.text(max_size=40))
def test_any_text_is_a_platform_or_refused(text: str) -> None:
    try:
        platform = Platform.parse(text)
    except InvalidArgument:
        return

    assert Platform.parse(str(platform)) == platform


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
names = st.sampled_from(
    "schemaVersion mediaType config layers manifests digest size rootfs diff_ids history Env".split()
)


@given(st.dictionaries(names, json_values))
def test_a_foreign_document_is_read_or_refused(document: dict[str, object]) -> None:
    for read in (parse, ImageDocument.parse):
        try:
            read(json.dumps(document).encode())
        except InvalidArgument:
            continue


@given(st.binary(max_size=64))
def test_foreign_bytes_are_read_or_refused(raw: bytes) -> None:
    for read in (parse, ImageDocument.parse):
        try:
            read(raw)
        except InvalidArgument:
            continue


@given(st.lists(digests, max_size=6))
def test_a_chain_begins_as_its_beginning_does(diff_ids: list[Digest]) -> None:
    chain = chain_ids(diff_ids)

    assert all(chain_ids(diff_ids[:length]) == chain[:length] for length in range(len(diff_ids) + 1))


@given(st.dictionaries(st.text(), json_values))
def test_what_is_written_is_what_is_read(document: dict[str, object]) -> None:
    assert json.loads(dump(document)) == document
