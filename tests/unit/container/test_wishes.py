"""How to come by an image, and whether a container stays."""

from __future__ import annotations

import pytest

from pyrt.container import RunOptions, Wishes, read_wishes
from pyrt.errors import InvalidOption


def test_by_default_a_missing_image_is_pulled_and_the_container_goes() -> None:
    assert read_wishes({}) == read_wishes({"pull": None, "remove": None}) == Wishes("missing", None, None, True, None)


def test_what_is_wished_is_read() -> None:
    options: RunOptions = {"pull": "never", "platform": "arm64", "on_progress": print, "remove": False, "name": "a_1"}

    assert read_wishes(options) == Wishes("never", "arm64", print, False, "a_1")


def test_a_container_that_goes_has_no_name() -> None:
    with pytest.raises(InvalidOption, match="remove=False"):
        read_wishes({"name": "web"})
