"""Limits of block devices: weights and rates."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from pyrt.container.checks import fail, host_path, integer, number, sequence, text
from pyrt.container.options import RunOptions
from pyrt.container.sizes import parse_size, size
from pyrt.oci.spec import BlockIO, ThrottleDevice, WeightDevice

__all__ = ["block_io", "parse_throttle", "parse_weight"]

_OPTIONS = frozenset(
    {
        *("blkio_weight", "blkio_weight_device", "device_read_bps", "device_write_bps"),
        *("device_read_iops", "device_write_iops"),
    }
)


def block_io(options: RunOptions) -> BlockIO | None:
    """Give the limits of block devices, None where none is asked for. Raises InvalidOption."""
    if _OPTIONS.isdisjoint(options):
        return None
    found = BlockIO(
        weight=_weight(options.get("blkio_weight")),
        weight_device=tuple(
            WeightDevice(*_numbers(path, "blkio_weight_device"), weight)
            for path, weight in _weights(options.get("blkio_weight_device"))
        ),
        throttle_read_bps_device=_rates(options.get("device_read_bps"), "device_read_bps"),
        throttle_write_bps_device=_rates(options.get("device_write_bps"), "device_write_bps"),
        throttle_read_iops_device=_rates(options.get("device_read_iops"), "device_read_iops"),
        throttle_write_iops_device=_rates(options.get("device_write_iops"), "device_write_iops"),
    )
    return None if found == BlockIO() else found


def parse_throttle(value: str, *, argument: str = "device_read_bps") -> tuple[str, int]:
    """Read `PATH:RATE`, as in `/dev/vda:1mb`; where the argument ends in `iops` a rate has no unit.

    Gives the path and the rate in bytes or operations in a second. Raises InvalidOption.
    """
    path, colon, rate = text(value, argument).rpartition(":")
    if not colon:
        fail(argument, f"{value!r} is not PATH:RATE, as in '/dev/vda:1mb'")
    return host_path(path, argument), (
        number(rate, argument) if argument.endswith("iops") else parse_size(rate, argument=argument)
    )


def parse_weight(value: str, *, argument: str = "blkio_weight_device") -> tuple[str, int]:
    """Read `PATH:WEIGHT`, as in `/dev/vda:500`. Raises InvalidOption."""
    path, colon, weight = text(value, argument).rpartition(":")
    if not colon:
        fail(argument, f"{value!r} is not PATH:WEIGHT, as in '/dev/vda:500'")
    return host_path(path, argument), integer(number(weight, argument), argument, 10, 1000)


def _weight(value: object) -> int | None:
    if value is None or integer(value, "blkio_weight", 0, 1000) == 0:
        return None
    return integer(value, "blkio_weight", 10, 1000)


def _rates(value: object, argument: str) -> tuple[ThrottleDevice, ...]:
    found = []
    for item in sequence(value, argument):
        if isinstance(item, Mapping):
            path, given = _pair(item, "Rate", argument)
            rate = integer(given, argument, 0) if argument.endswith("iops") else size(given, argument)
        else:
            path, rate = parse_throttle(text(item, argument), argument=argument)
        found.append(ThrottleDevice(*_numbers(path, argument), rate))
    return tuple(found)


def _weights(value: object, argument: str = "blkio_weight_device") -> list[tuple[str, int]]:
    found = []
    for item in sequence(value, argument):
        if isinstance(item, Mapping):
            path, given = _pair(item, "Weight", argument)
            found.append((path, integer(given, argument, 10, 1000)))
        else:
            found.append(parse_weight(text(item, argument)))
    return found


def _pair(item: Mapping[str, object], key: str, argument: str) -> tuple[str, object]:
    if item.keys() != {"Path", key}:
        fail(argument, f"{item!r} has not just Path and {key}")
    return host_path(item["Path"], argument), item[key]


def _numbers(path: str, argument: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        fail(argument, f"{path} cannot be used: {error.strerror}")
    if not stat.S_ISBLK(status.st_mode):
        fail(argument, f"{path} is not a block device")
    return os.major(status.st_rdev), os.minor(status.st_rdev)
