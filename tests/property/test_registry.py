"""Laws of the headers that registries speak in: what is written is read, and nothing else breaks the reader."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from pyrt.registry.headers import Challenge, ContentRange, challenges, content_range, next_link, retry_after, upload_end

TOKEN = st.text("abcxyzABC019!#$%&'*+.^_`|~-", min_size=1, max_size=8)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
PARAMETERS = st.dictionaries(TOKEN.map(str.lower), VALUE, min_size=1, max_size=4)
CHALLENGES = st.lists(st.builds(Challenge, st.sampled_from(["bearer", "basic", "digest"]), PARAMETERS), max_size=3)
SIZES = st.integers(0, 10**18)
URL = st.text(st.characters(min_codepoint=33, max_codepoint=126, blacklist_characters="<>"), min_size=1, max_size=30)
ANYTHING = st.text(max_size=60) | st.text('<>;=," \\relnextbsy0-9/*', max_size=40)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(challenge: Challenge, scheme: str) -> str:
    return f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in challenge.parameters.items())


@given(CHALLENGES, st.booleans(), st.booleans())
def test_challenges_are_read_as_they_are_written(given: list[Challenge], together: bool, upper: bool) -> None:
    headers = [written(each, each.scheme.upper() if upper else each.scheme.title()) for each in given]

    assert challenges([", ".join(headers)] if together and headers else headers) == given


@given(TOKEN, st.text("abc019:/._-", min_size=1, max_size=10))
def test_a_value_may_be_without_quotes(name: str, value: str) -> None:
    assert challenges([f"Bearer {name}={value}"]) == [Challenge("bearer", {name.lower(): value})]


@given(st.lists(ANYTHING, max_size=3))
def test_challenges_of_anything_are_challenges(values: list[str]) -> None:
    assert all(each.scheme == each.scheme.lower() != "" for each in challenges(values))


@given(
    URL, st.lists(URL, max_size=2), st.sampled_from(['rel="next"', "rel=next", 'Rel="prev next"', 'x="y"; rel=next'])
)
def test_the_next_link_is_found_among_others(target: str, others: list[str], relation: str) -> None:
    header = ", ".join([*(f'<{each}>; rel="other"' for each in others), f"<{target}>; {relation}"])

    assert next_link([header]) == target
    assert next_link([*(f"<{each}>; rel=prev" for each in others), header]) == target


@given(st.lists(ANYTHING, max_size=3))
def test_a_link_of_anything_is_a_text_or_none(values: list[str]) -> None:
    assert next_link(values) is None or any(f"<{next_link(values)}>" in value for value in values)


@given(SIZES, SIZES, st.none() | SIZES)
def test_a_content_range_is_read_where_it_makes_sense(first: int, last: int, total: int | None) -> None:
    found = content_range(f"bytes {first}-{last}/{'*' if total is None else total}")

    makes_sense = first <= last and (total is None or last < total)
    assert found == (ContentRange(first, last, total) if makes_sense else None)


@given(SIZES)
def test_an_upload_has_come_so_far(end: int) -> None:
    assert upload_end(f"0-{end}") == upload_end(f"bytes=0-{end}") == (end + 1 if end else 0)


@given(ANYTHING)
def test_ranges_of_anything_are_none_or_sane(text: str) -> None:
    found = content_range(text)

    assert found is None or found.first <= found.last
    assert (upload_end(text) or 0) >= 0


@given(st.integers(-(10**6), 10**6))
def test_a_wait_may_be_a_date(seconds: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert retry_after(format_datetime(now + timedelta(seconds=seconds), usegmt=True), now) == max(seconds, 0)
    assert retry_after(str(abs(seconds))) == abs(seconds)


@given(ANYTHING)
def test_a_wait_of_anything_is_none_or_a_time(text: str) -> None:
    assert (retry_after(text) or 0.0) >= 0.0
