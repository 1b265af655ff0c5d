"""Show rows: Markdown tables, JSON, a comparison with an earlier run, a chart.

Takes the rows of each benchmark by its name, gives text. A row without a value stays in the table with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from benchmarks.harness import Row

__all__ = ["chart", "compare", "markdown"]

Results = Mapping[str, Sequence[Row]]

_BAR, _LEFT, _WIDTH = 22, 270, 960


def number(value: float | None) -> str:
    """Give three significant digits, or all that stand before the point."""
    if value is None:
        return "–"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def markdown(results: Results, machine: Mapping[str, str]) -> str:
    """Give the machine's record, then for each benchmark a table of what was measured and one of the targets."""
    parts = ["\n".join(f"- {key}: {value}" for key, value in machine.items())]
    for name, rows in results.items():
        parts.append(f"## {name}")
        measured = [row for row in rows if "target" not in row]
        aimed = [row for row in rows if "target" in row]
        if measured:
            parts.append(_table(["", "median", "p95", "unit", "runs", "note"], map(_measured, measured)))
        if aimed:
            parts.append(_table(["", "value", "target", "unit", "met"], map(_aimed, aimed)))
    return "\n\n".join(parts) + "\n"


def compare(old: Results, new: Results) -> str:
    """Give a table of the rows that both runs have, with the change in percent."""
    lines = []
    for name, rows in new.items():
        before = {row["name"]: row.get("value") for row in old.get(name, ())}
        for row in rows:
            was, now = before.get(row["name"]), row.get("value")
            if was and now is not None:
                lines.append([f"{name}: {row['name']}", number(was), number(now), row["unit"], f"{now / was - 1:+.1%}"])
    return _table(["", "before", "now", "unit", "change"], lines) + "\n"


def chart(results: Results) -> str:
    """Give an SVG: for each benchmark and unit one bar a row, on a logarithmic scale."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for name, rows in results.items():
        for row in rows:
            if "target" not in row and (row.get("value") or 0) > 0:  # the axis is logarithmic
                groups.setdefault((name, row["unit"]), []).append(row)
    body: list[str] = []
    top = 10
    for (name, unit), rows in groups.items():
        body += _bars(f"{name} ({unit})", rows, top)
        top += (len(rows) + 3) * _BAR
    size = f'width="{_WIDTH}" height="{top}" font-family="sans-serif" font-size="13"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>"]) + "\n"


def _bars(title: str, rows: Sequence[Row], top: int) -> list[str]:
    values = [float(row["value"]) for row in rows]
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)
    scale = (_WIDTH - _LEFT - 80) / (high - low)
    bottom = top + (len(rows) + 1) * _BAR
    out = [f'<text x="10" y="{top + 15}" font-weight="bold">{escape(title)}</text>']
    for power in range(low, high + 1):
        x = _LEFT + (power - low) * scale
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + _BAR}" y2="{bottom}" stroke="#ccc"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle" fill="#666">{10.0**power:g}</text>')
    for index, (row, value) in enumerate(zip(rows, values, strict=True), 1):
        y = top + index * _BAR
        width = max((math.log10(value) - low) * scale, 1.0)
        colour = "#3572a5" if row["name"].startswith(("pyrt", "import pyrt")) else "#9aa5b1"
        out.append(f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(row["name"])}</text>')
        out.append(f'<rect x="{_LEFT}" y="{y + 3}" width="{width:.1f}" height="{_BAR - 6}" fill="{colour}"/>')
        out.append(f'<text x="{_LEFT + width + 6:.1f}" y="{y + 15}">{number(value)}</text>')
    return out


def _measured(row: Row) -> list[str]:
    columns = [row["name"], number(row.get("value")), number(row.get("p95")), row["unit"], str(row.get("runs", "–"))]
    return [*columns, row.get("note", "")]


def _aimed(row: Row) -> list[str]:
    return [row["name"], number(row.get("value")), row["target"], row["unit"], "yes" if row.get("met") else "no"]


def _table(head: Sequence[str], lines: Any) -> str:
    cells = [[cell.replace("|", "\\|") for cell in line] for line in [head, *lines]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]])
