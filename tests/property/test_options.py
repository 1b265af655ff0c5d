"""Laws of the notations: what is written is read back, and nothing but InvalidArgument comes of nonsense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.container import (
    HostFacts,
    Identity,
    Mount,
    RunOptions,
    build,
    parse_device,
    parse_device_rule,
    parse_env,
    parse_env_file,
    parse_mount,
    parse_signal,
    parse_size,
    parse_throttle,
    parse_tmpfs,
    parse_ulimit,
    parse_volume,
    parse_weight,
)
from pyrt.errors import InvalidArgument, Unsupported
from pyrt.oci.config import ImageConfig
from pyrt.oci.spec import User

PARSERS: list[Callable[[str], Any]] = [
    parse_size,
    parse_volume,
    parse_mount,
    parse_device,
    parse_device_rule,
    parse_ulimit,
    parse_tmpfs,
    parse_throttle,
    parse_weight,
    parse_signal,
    lambda text: parse_env([text]),
    lambda text: parse_env_file(text, {}),
]
WORDS = [
    *"/a : , = ro * - . c b rwm 1 2 64 m k SIG RT MIN+ type=bind dst=/ src=/ size= mode= tmpfs-size= nofile=".split(),
    *(" ", '"', "\0", "\n"),
]
UNITS = {"": 0, "b": 0, "k": 10, "Kb": 10, "KiB": 10, "m": 20, "MB": 20, "g": 30, "GiB": 30, "t": 40, "p": 50}
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="=\0"), min_size=1)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
PATHS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters='/\0:,"\r\n'), min_size=1).filter(
        lambda s: s not in (".", "..")
    ),
    min_size=1,
).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(text=st.text() | st.text(st.characters()) | st.lists(st.sampled_from(WORDS)).map("".join))
def test_any_text_is_read_or_refused(parse: Callable[[str], Any], text: str) -> None:
    try:
        parse(text)
    except InvalidArgument as error:
        assert error.argument is not None


@given(number=st.integers(0, 4000), unit=st.sampled_from(sorted(UNITS)), space=st.sampled_from(["", " "]))
def test_a_size_is_its_number_times_its_unit(number: int, unit: str, space: str) -> None:
    assert parse_size(f"{number}{space}{unit}") == number << UNITS[unit]


@given(size=st.integers(0, 2**63 - 1))
def test_bytes_are_read_exactly(size: int) -> None:
    assert parse_size(str(size)) == size


@given(eighths=st.integers(0, 10**6), unit=st.sampled_from(["k", "m", "g"]))
def test_fractions_are_exact(eighths: int, unit: str) -> None:
    assert parse_size(f"{eighths // 8}.{eighths % 8 * 125:03d}{unit}") == (eighths << UNITS[unit]) // 8


@given(environment=st.dictionaries(NAMES, VALUES))
def test_an_environment_comes_back_from_its_entries(environment: dict[str, str]) -> None:
    assert parse_env([f"{name}={value}" for name, value in environment.items()]) == environment
    assert parse_env(environment) == environment


@given(
    source=PATHS,
    target=PATHS,
    read_only=st.booleans(),
    propagation=st.sampled_from([None, "private", "rslave", "shared"]),
)
def test_a_bind_is_the_same_in_both_notations(
    source: str, target: str, read_only: bool, propagation: str | None
) -> None:
    wanted = Mount(target, source, "bind", read_only, propagation)
    words = ["ro"] * read_only + [propagation] * (propagation is not None)
    fields = ["type=bind", f"src={source}", f"dst={target}"]
    fields += ["readonly"] * read_only + [f"bind-propagation={propagation}"] * (propagation is not None)

    assert parse_volume(":".join([source, target, *([",".join(map(str, words))] if words else [])])) == wanted
    assert parse_mount(",".join(fields)) == wanted


@given(
    target=PATHS, size=st.integers(1, 2**40), mode=st.integers(0, 0o7777), flags=st.permutations(["exec", "rw", "suid"])
)
def test_the_options_of_a_tmpfs_are_a_fixed_point(target: str, size: int, mode: int, flags: list[str]) -> None:
    once = parse_tmpfs(f"{target}:{','.join([*flags, f'size={size}', f'mode={mode:o}'])}")

    assert {*flags, f"size={size}", f"mode={mode:o}", "nodev"} == set(once.options)
    assert parse_tmpfs(f"{target}:{','.join(once.options)}") == once


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@given(options=st.dictionaries(st.sampled_from(sorted(RunOptions.__optional_keys__)), JUNK, max_size=3))
def test_any_value_is_taken_or_refused_by_name(options: dict[str, Any]) -> None:
    try:
        build(ImageConfig(), ["a"], cast(RunOptions, options), HostFacts(), Identity(User()), container_id="0" * 64)
    except InvalidArgument as error:
        assert error.argument in options
    except Unsupported as error:
        assert error.feature
