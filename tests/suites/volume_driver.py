"""What every Driver of volumes keeps of its contract. A subclass gives the fixtures `driver` and `options`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pyrt.errors import InvalidOption
from pyrt.volume import Driver

__all__ = ["VolumeDriverSuite"]


class VolumeDriverSuite:
    """Inherit, and give a fixture `driver`, and one `options`: such as it takes, made for a test's directory."""

    @pytest.fixture
    def options(self, tmp_path: Path) -> Mapping[str, str]:
        return {}

    def test_it_takes_its_options(self, driver: Driver, options: Mapping[str, str]) -> None:
        driver.check(options)

    def test_it_refuses_what_it_does_not_know(self, driver: Driver) -> None:
        with pytest.raises(InvalidOption) as caught:
            driver.check({"no such option": "x"})
        assert caught.value.argument == "driver_opts"

    @pytest.mark.parametrize("in_user_namespace", [False, True])
    def test_a_mount_is_at_its_destination(
        self, driver: Driver, options: Mapping[str, str], tmp_path: Path, in_user_namespace: bool
    ) -> None:
        mount = driver.mount(str(tmp_path), options, "/in/side", in_user_namespace=in_user_namespace)

        assert mount.destination == "/in/side"
        assert mount.type
        assert mount.source

    def test_the_same_question_has_the_same_answer(
        self, driver: Driver, options: Mapping[str, str], tmp_path: Path
    ) -> None:
        one, two = (driver.mount(str(tmp_path), options, "/a") for _ in range(2))

        assert one == two

    def test_it_makes_and_changes_nothing(self, driver: Driver, options: Mapping[str, str], tmp_path: Path) -> None:
        (tmp_path / "volume").mkdir()
        before = sorted(path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")])

        driver.check(options)
        driver.mount(str(tmp_path / "volume"), options, "/a")

        assert sorted(path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]) == before

    def test_files_of_its_own_directory_are_a_bind_of_it(
        self, driver: Driver, options: Mapping[str, str], tmp_path: Path
    ) -> None:
        mount = driver.mount(str(tmp_path), options, "/a")

        assert driver.is_own(options) == (mount.type == "bind" and mount.source == str(tmp_path))
