"""The scales of Docker and v1 on those of v2."""

from __future__ import annotations

import pytest

from pyrt.runtime.cgroups.convert import blkio_weight_to_io_weight, cpu_max, or_max, shares_to_weight, swap_max


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 100), (262144, 10000), (512, 59), (2048, 174), (1, 1)])
def test_default_and_both_ends_of_shares_are_those_of_weight(shares: int, weight: int) -> None:
    assert shares_to_weight(shares) == weight


@pytest.mark.parametrize(("weight", "io_weight"), [(10, 1), (1000, 10000), (500, 4950)])
def test_blkio_weight_is_stretched_linearly(weight: int, io_weight: int) -> None:
    assert blkio_weight_to_io_weight(weight) == io_weight


def test_swap_alone_is_what_memory_leaves_of_both() -> None:
    assert swap_max(100, 250) == 150
    assert swap_max(100, 100) == 0
    assert swap_max(100, -1) == -1


@pytest.mark.parametrize(
    ("quota", "period", "text"),
    [(50000, 100000, "50000 100000"), (-1, None, "max 100000"), (None, 20000, "max 20000"), (2000, 0, "2000 100000")],
)
def test_cpu_max_has_quota_and_period(quota: int | None, period: int | None, text: str) -> None:
    assert cpu_max(quota, period) == text


def test_minus_one_is_max() -> None:
    assert [or_max(-1), or_max(7)] == ["max", "7"]
