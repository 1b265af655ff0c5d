"""Volumes: files that outlive containers, and that several of them share.

Takes the state's database and a directory; gives VolumeRecords (what is known of each), Mounts (values; nothing is
mounted here) and the collection behind `engine.volumes`. A Driver says where the files of a volume are; Local is
docker's `local`. Raises VolumeNotFound, NameInUse and Conflict (a name that is taken), ResourceBusy (a volume in use),
InvalidOption, Unsupported and SyscallError.
"""

from __future__ import annotations

from pyrt.volume.collection import Volume, VolumeCollection
from pyrt.volume.content import first_use
from pyrt.volume.driver import Driver
from pyrt.volume.local import Local
from pyrt.volume.record import VolumeRecord, check_labels, check_name
from pyrt.volume.store import User, VolumeStore

__all__ = [
    "Driver",
    "Local",
    "User",
    "Volume",
    "VolumeCollection",
    "VolumeRecord",
    "VolumeStore",
    "check_labels",
    "check_name",
    "first_use",
]
