"""Laws of subordinate ids and of the options of an overlay, for all inputs."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pyrt.runtime.rootless import MAX_ID, mappings, subordinate_ids
from pyrt.snapshot import ephemeral

LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.builds("{}:{}:{}".format, st.sampled_from(["me", "you", "7"]), st.integers(0, 2**33), st.integers(0, 2**17)),
    )
).map("\n".join)
PATHS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20).map("/{}".format)


@given(LINES)
def test_ranges_never_overlap_and_are_ids(text: str) -> None:
    ranges = sorted(subordinate_ids(text, ["me", "7"]))

    assert all(count > 0 and first + count - 1 <= MAX_ID for first, count in ranges)
    assert all(a + n <= b for (a, n), (b, _) in pairwise(ranges))


@given(LINES, LINES, st.integers(1, MAX_ID), st.integers(0, MAX_ID))
def test_maps_are_ones_that_the_kernel_takes(subuid: str, subgid: str, uid: int, gid: int) -> None:
    found = mappings(uid, gid, names=["me", "7"], subuid=subuid, subgid=subgid, helpers=True)

    # The same maps asked for in so many words pass the check of every rule of user_namespaces(7).
    assert mappings(uid, gid, asked=(found.uids, found.gids)) == found
    assert (found.uids[0].container_id, found.uids[0].host_id, found.uids[0].size) == (0, uid, 1)


def split_as_the_kernel_does(data: str) -> list[str]:
    """Split the data of an overlay into options at commas, and the first one's value into paths at colons."""
    parts, separator = [""], ","
    characters = iter(data.removeprefix("lowerdir="))
    for character in characters:
        if character == "\\":
            parts[-1] += next(characters, "")
        elif character == ":":
            parts.append("")
        elif character == separator:
            break
        else:
            parts[-1] += character
    return parts


@given(st.lists(PATHS, min_size=1, max_size=5))
def test_the_kernel_reads_the_lowers_that_were_given(lowers: list[str]) -> None:
    assert split_as_the_kernel_does(",".join(ephemeral(lowers, user_namespace=True).options)) == lowers
