"""The share of the processors between two samples."""

from __future__ import annotations

from typing import Any

import pytest

from pyrt.cli.stats import cpu_percent


def sample(used: int, passed: int) -> dict[str, Any]:
    return {"cpu_stats": {"cpu_usage": {"total_usage": used}, "system_cpu_usage": passed, "online_cpus": 4}}


@pytest.mark.parametrize(
    ("now", "before", "percent"),
    [
        (sample(500, 4000), None, 0.0),  # never the average of a whole life
        (sample(500, 4000), sample(500, 0), 0.0),
        (sample(1500, 8000), sample(500, 4000), 100.0),
        (sample(4500, 8000), sample(500, 4000), 400.0),
        (sample(100, 8000), sample(500, 4000), 0.0),  # it was started anew between the two
        (sample(1500, 4000), sample(500, 4000), 0.0),
    ],
)
def test_share(now: dict[str, Any], before: dict[str, Any] | None, percent: float) -> None:
    assert cpu_percent(now, before) == percent
