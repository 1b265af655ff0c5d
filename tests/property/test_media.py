"""Media give back what they were given, byte for byte, whichever of them it goes through."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt.image.copy import copy
from pyrt.image.media import open_source, open_target
from pyrt.image.medium import Source
from pyrt.image.names import Kind, Transport, parse_name
from pyrt.oci.manifest import Index
from pyrt.registry import RegistryClient
from tests.images import MemoryMedium, random_image, random_index, read_back

NO_CLIENT = cast(RegistryClient, None)  # these media need none
MEDIA = ["oci:{}/layout:tag", "oci-archive:{}/a.tar:tag", "docker-archive:{}/d.tar:example.com/x:tag"]
IMAGES = st.one_of(st.builds(random_image, st.integers(0, 500)), st.builds(random_index, st.integers(0, 500)))


@contextmanager
def opened(name: str) -> Iterator[Source]:
    with closing(open_source(name, NO_CLIENT)) as source:
        yield source


def move(source: Source, name: str) -> None:
    with closing(open_target(name, NO_CLIENT)) as target:
        copy(source, target, all_platforms=True)


@settings(max_examples=40)
@given(image=IMAGES, way=st.lists(st.sampled_from(MEDIA), min_size=1, max_size=3))
def test_a_way_through_media_changes_nothing(image: MemoryMedium, way: list[str]) -> None:
    with tempfile.TemporaryDirectory() as top:
        names = [form.format(f"{top}/{number}") for number, form in enumerate(way)]
        for number in range(len(way)):
            Path(top, str(number)).mkdir()
        move(image, names[0])
        for before, after in itertools.pairwise(names):
            with opened(before) as source:
                move(source, after)

        with opened(names[-1]) as source:
            assert read_back(source) == read_back(image)


@settings(max_examples=15)
@given(st.integers(0, 500))
def test_one_platform_of_an_index_goes_through_all_media(seed: int) -> None:
    image = random_index(seed)
    index = image.resolve()
    assert isinstance(index, Index)
    with tempfile.TemporaryDirectory() as top:
        for form in MEDIA:
            with closing(open_target(form.format(top), NO_CLIENT)) as target:
                chosen = copy(image, target)
            with opened(form.format(top)) as source:
                assert source.resolve().raw == chosen.raw == image.manifest(chosen.descriptor).raw


PATHS = st.text(st.characters(blacklist_characters=":@\0", blacklist_categories=["Cs"]), min_size=1)
RESTS = st.sampled_from(["", "tag", "a/b:c", f"@sha256:{'0' * 64}"])


@given(kind=st.sampled_from(["oci", "oci-archive", "docker-archive"]), path=PATHS, rest=RESTS)
def test_names_of_media_are_read_as_they_are_written(kind: Kind, path: str, rest: str) -> None:
    written = Transport(kind, path, rest)

    assert parse_name(str(written)) == written


@pytest.mark.parametrize("form", MEDIA)
def test_a_second_copy_of_the_same_gives_the_same(form: str, tmp_path: Path) -> None:
    image = random_image(7)
    for _ in range(2):
        move(image, form.format(tmp_path))

    with opened(form.format(tmp_path)) as source:
        assert read_back(source) == read_back(image)
