"""Text of a registry that is made to mislead its reader, or to keep it busy."""

from __future__ import annotations

import pytest

from pyrt.registry.endpoints import origin
from pyrt.registry.headers import challenges, next_link


@pytest.mark.parametrize(
    "url", ["https://evil.example\\@registry.example/v2/", "https://a\\b/", "ftp://registry.example/", "https:///v2/"]
)
def test_a_url_that_two_readers_understand_differently_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        origin(url)


def test_headers_of_any_form_are_read_in_one_pass() -> None:
    """Each of these would take hours if its reader tried all ways to read it."""
    assert next_link(["<x>" + ";a= " * 5000]) is None
    assert challenges([" " * 60_000 + '"x']) == []
