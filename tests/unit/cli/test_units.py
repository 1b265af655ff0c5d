"""Sizes and durations as go-units writes them."""

from __future__ import annotations

import pytest

from pyrt.cli.units import ago, binary_size, duration, size

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("size_bytes", "digits", "text"),
    [
        (0, 3, "0B"),
        (999, 3, "999B"),
        (1000, 3, "1kB"),
        (1024, 4, "1.024kB"),
        (1982270, 3, "1.98MB"),
        (1982270, 4, "1.982MB"),
        (116_965_000, 3, "117MB"),
        (999_999, 3, "1e+03kB"),
        (123_456_789_012, 4, "123.5GB"),
        (10**27, 3, "1e+03YB"),
    ],
)
def test_sizes(size_bytes: int, digits: int, text: str) -> None:
    assert size(size_bytes, digits) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1536 << 10, "1.5MiB"), (25_275_000_000, "23.54GiB")],
)
def test_binary_sizes(size_bytes: int, text: str) -> None:
    assert binary_size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "Less than a second"),
        (0.45, "Less than a second"),
        (1, "1 second"),
        (1.9, "1 second"),
        (45, "45 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (3 * MINUTE, "3 minutes"),
        (59 * MINUTE + 59, "59 minutes"),
        (60 * MINUTE, "About an hour"),
        (65 * MINUTE, "About an hour"),
        (90 * MINUTE, "2 hours"),
        (35 * HOUR, "35 hours"),
        (47 * HOUR + 29 * MINUTE, "47 hours"),
        (47 * HOUR + 30 * MINUTE, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
        (56 * 365 * DAY, "56 years"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_moment_that_is_not_known() -> None:
    assert (ago(0, 100), ago(55, 100)) == ("N/A", "45 seconds ago")
