from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import InvalidOption
from pyrt.state import parse_moment, stamp

SECOND = 1_000_000_000
NOON = 1_706_702_400 * SECOND  # 2024-01-31T12:00:00Z
NOW = NOON + 7


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0, 0),
        (12, 12 * SECOND),
        (1.5, 1_500_000_000),
        (-1, 0),
        (datetime(2024, 1, 31, 12), NOON),
        (datetime(2024, 1, 31, 13, tzinfo=timezone(timedelta(hours=1))), NOON),
        (datetime(2024, 1, 31, 12, 0, 0, 1, tzinfo=UTC), NOON + 1000),
        ("1706702400", NOON),
        ("1706702400.000000001", NOON + 1),
        ("1706702400.5", NOON + SECOND // 2),
        ("2024-01-31T12:00:00Z", NOON),
        ("2024-01-31T12:00:00.000000001Z", NOON + 1),
        ("2024-01-31T12:00:00.25+00:00", NOON + SECOND // 4),
        ("2024-01-31T14:30:00+02:30", NOON),
        ("2024-01-31T12:00Z", NOON),
        ("2024-01-31T12Z", NOON),
        ("2024-01-31Z", NOON - 12 * 3600 * SECOND),
        ("10m", NOW - 600 * SECOND),
        ("1h30m", NOW - 5400 * SECOND),
        ("1.5h", NOW - 5400 * SECOND),
        ("90s", NOW - 90 * SECOND),
        ("100ms", NOW - SECOND // 10),
        ("2us1ns", NOW - 2001),
        ("-10m", NOW + 600 * SECOND),
        ("100000000h", 0),
    ],
)
def test_moments(value: Any, wanted: int) -> None:
    assert parse_moment(value, "since", now_ns=NOW) == wanted


@pytest.mark.parametrize(("text", "hour"), [("2024-01-31T07:00:00", 0), ("2024-01-31T07", 0), ("2024-01-31", -7)])
def test_a_text_without_a_zone_is_local(new_york: None, text: str, hour: int) -> None:
    assert parse_moment(text, "since") == NOON + hour * 3600 * SECOND


@pytest.mark.parametrize(
    "value",
    [
        *("", "now", "10 m", "m", "1h-", "--1h", "2024-13-01", "2024-01-31T25:00:00Z", "2024-01-31T12:60Z", "10d"),
        *("2024-01-31T12:00:00+99:00", "٣m", "24-01-31", "2024-1-31", "0x10", "1e3", "9999999999999", "999999999999"),
        *(True, None, [], float("inf"), float("nan"), 1e12),
    ],
)
def test_what_is_no_moment(value: Any) -> None:
    with pytest.raises(InvalidOption, match="since: "):
        parse_moment(value, "since", now_ns=NOW)


@given(st.integers(0, 253_402_300_800 * SECOND - 1))
def test_a_stamp_is_a_moment(moment_ns: int) -> None:
    assert parse_moment(stamp(moment_ns), "until") == moment_ns


@given(st.integers(0, 253_402_300_800 * SECOND - 1), st.integers(0, 253_402_300_800 * SECOND - 1))
def test_stamps_are_in_order_as_texts(first_ns: int, second_ns: int) -> None:
    assert (stamp(first_ns) < stamp(second_ns)) == (first_ns < second_ns)
