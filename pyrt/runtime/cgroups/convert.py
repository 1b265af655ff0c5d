"""The scales of Docker and cgroup v1, turned into those of cgroup v2. Pure arithmetic."""

from __future__ import annotations

import math

__all__ = ["blkio_weight_to_io_weight", "cpu_max", "or_max", "shares_to_weight", "swap_max"]

SHARES = (2, 262144)
BLKIO_WEIGHT = (10, 1000)
DEFAULT_PERIOD_US = 100_000


def shares_to_weight(shares: int) -> int:
    """Turn cpu.shares (2 to 262144, default 1024) into cpu.weight (1 to 10000, default 100).

    A quadratic in log2(shares) goes through the minimum, the default and the maximum of both scales, so the defaults
    agree; the straight line that runtimes used before gave 39 for 1024.
    """
    low, high = SHARES
    if shares <= low:
        return 1
    if shares >= high:
        return 10000
    bits = math.log2(shares)
    return math.ceil(round(10 ** ((bits * bits + 125 * bits) / 612 - 7 / 34), 9))


def blkio_weight_to_io_weight(weight: int) -> int:
    """Turn a blkio weight (10 to 1000) into io.weight (1 to 10000), linearly. io.bfq.weight takes it as it is."""
    low, high = BLKIO_WEIGHT
    return 1 + (weight - low) * 9999 // (high - low)


def swap_max(limit: int, memory_and_swap: int) -> int:
    """Turn Docker's limit of memory and swap together into one of swap alone; -1 is unlimited."""
    return -1 if memory_and_swap == -1 else memory_and_swap - limit


def cpu_max(quota_us: int | None, period_us: int | None) -> str:
    """Give the text of cpu.max; a quota of None or below 1 is unlimited, a period of None or 0 the kernel's default."""
    quota = "max" if quota_us is None or quota_us <= 0 else str(quota_us)
    return f"{quota} {period_us or DEFAULT_PERIOD_US}"


def or_max(value: int) -> str:
    """Give a number as v2 takes it: -1 is `max`."""
    return "max" if value == -1 else str(value)
