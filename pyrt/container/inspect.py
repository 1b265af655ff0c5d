"""What is known of a container, under the names of Docker's `inspect`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyrt.container.condition import Condition
from pyrt.container.create_options import check_create
from pyrt.container.documents import options_from_document
from pyrt.container.mount import Mount
from pyrt.container.record import KeptContainer
from pyrt.container.sizes import size

__all__ = ["inspect", "moment"]

_NEVER = "0001-01-01T00:00:00Z"


def moment(ns: int) -> str:
    """Give a time as Docker writes it, with nine digits of a second."""
    if not ns:
        return _NEVER
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def inspect(kept: KeptContainer, condition: Condition, directory: str) -> dict[str, Any]:
    """Give the document of one container."""
    options: Mapping[str, Any] = options_from_document(kept.options)
    return {
        "Id": kept.id,
        "Created": moment(kept.created_ns),
        "Path": kept.args[0],
        "Args": list(kept.args[1:]),
        "State": _state(condition),
        "Image": str(kept.image_id or kept.image),
        "LogPath": f"{directory}/log",
        "Name": f"/{kept.name}",
        "RestartCount": condition.restarts,
        "Driver": "overlay",
        "Platform": "linux",
        "HostConfig": _host_config(kept, options),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": ":".join(kept.lowers),
                "UpperDir": f"{directory}/upper",
                "WorkDir": f"{directory}/work",
            },
        },
        "Mounts": [_mount(each, directory) for each in kept.mounts],
        "Config": _config(kept, options),
        "NetworkSettings": {"Networks": {}, "Ports": {}},
    }


def _state(condition: Condition) -> dict[str, Any]:
    return {
        "Status": condition.status,
        "Running": condition.is_running,
        "Paused": condition.status == "paused",
        "Restarting": condition.status == "restarting",
        "OOMKilled": condition.is_oom_killed,
        "Dead": False,
        "Pid": condition.pid,
        "ExitCode": condition.exit_code or 0,
        "Error": condition.error,
        "StartedAt": moment(condition.started_ns),
        "FinishedAt": moment(condition.finished_ns),
    }


def _config(kept: KeptContainer, options: Mapping[str, Any]) -> dict[str, Any]:
    config = kept.config
    return {
        "Hostname": options.get("hostname") or kept.id[:12],
        "Domainname": options.get("domainname") or "",
        "User": config.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": bool(options.get("tty")),
        "OpenStdin": bool(options.get("stdin_open")),
        "StdinOnce": bool(options.get("stdin_once")),
        "Env": list(config.env),
        "Cmd": list(config.cmd) or None,
        "Image": kept.image,
        "Volumes": None,
        "WorkingDir": config.working_dir,
        "Entrypoint": list(config.entrypoint) or None,
        "Labels": dict(config.labels),
        "StopSignal": str(options.get("stop_signal") or config.stop_signal or "SIGTERM"),
        "StopTimeout": options.get("stop_timeout"),
    }


def _host_config(kept: KeptContainer, options: Mapping[str, Any]) -> dict[str, Any]:
    policy, log = check_create(options)
    return {
        "Binds": [_bind(each) for each in kept.mounts] or None,
        "LogConfig": {"Type": log.driver, "Config": dict((options.get("log_config") or {}).get("Config") or {})},
        "NetworkMode": options.get("network_mode") or "none",
        "RestartPolicy": {"Name": policy.name, "MaximumRetryCount": policy.retries},
        "AutoRemove": bool(options.get("auto_remove")),
        "CapAdd": list(options.get("cap_add") or ()) or None,
        "CapDrop": list(options.get("cap_drop") or ()) or None,
        "Privileged": bool(options.get("privileged")),
        "ReadonlyRootfs": bool(options.get("read_only")),
        "SecurityOpt": list(options.get("security_opt") or ()) or None,
        "Init": bool(options.get("init")),
        "Memory": _bytes(options.get("mem_limit")),
        "MemorySwap": _bytes(options.get("memswap_limit")),
        "NanoCpus": options.get("nano_cpus") or round((options.get("cpus") or 0) * 10**9),
        "MemoryReservation": _bytes(options.get("mem_reservation")),
        "CpuShares": options.get("cpu_shares") or 0,
        "CpuPeriod": options.get("cpu_period") or 0,
        "CpuQuota": options.get("cpu_quota") or 0,
        "CpusetCpus": options.get("cpuset_cpus") or "",
        "CpusetMems": options.get("cpuset_mems") or "",
        "BlkioWeight": options.get("blkio_weight") or 0,
        "PidsLimit": options.get("pids_limit"),
        "ShmSize": _bytes(options.get("shm_size") or "64m"),
    }


def _bytes(given: int | str | None) -> int:
    return given if isinstance(given, int) and given < 0 else size(given or 0, "size")


def _bind(mount: Mount) -> str:
    return f"{os.fspath(mount.source or '')}:{mount.target}" + ":ro" * mount.read_only


def _mount(mount: Mount, directory: str) -> dict[str, Any]:
    source = os.fspath(mount.source or "")
    name = {"Name": source, "Driver": mount.driver or "local"} if mount.type == "volume" else {}
    if name:
        source = f"{os.path.dirname(os.path.dirname(directory))}/volumes/{source}/_data"
    return {
        "Type": mount.type,
        **name,
        "Source": source,
        "Destination": mount.target,
        "Mode": "ro" if mount.read_only else "",
        "RW": not mount.read_only,
        "Propagation": mount.propagation or ("" if name else "rprivate"),
    }
