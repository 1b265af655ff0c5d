"""What `inspect` prints: documents as JSON, or what a template makes of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Labels", "lines"]


class Labels(dict[str, Any]):
    """A map whose keys are no fields: one that is absent is no mistake."""

    def __missing__(self, key: str) -> None:
        return None


def lines(
    documents: Sequence[dict[str, Any]], form: str | None, typed: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[str]:
    """Give a JSON list, or what a template makes of each document once `typed` has given it docker's types."""
    if form in (None, "", "json"):
        shape: dict[str, Any] = {"separators": (",", ":")} if form else {"indent": 4}
        return [json.dumps(documents, ensure_ascii=False, **shape)]
    from pyrt.cli.template import compile_template

    assert form is not None
    template = compile_template(form)
    return [template.render(typed(document)) for document in documents]
