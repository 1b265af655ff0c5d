"""The flags of `pyrt run`: docker run's, under docker's names, and pyrt's own at the end.

Each gives an option of RunOptions, or one of Request's fields. Those of docker's that nothing here can serve yet are
refused with the reason, so that no command line means less than it says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyrt.cli import values
from pyrt.cli.arguments import Flag

__all__ = ["BY_NAME", "FLAG_OF_OPTION", "REFUSED", "SECTIONS", "many", "one", "switch"]

Reader = Callable[[str, str], Any]


def one(names: str, option: str, read: Reader, metavar: str, help: str = "") -> Flag:
    """A flag whose last value counts."""
    return Flag(tuple(names.split()), option, read, False, metavar, help)


def many(names: str, option: str, read: Reader, metavar: str, help: str = "") -> Flag:
    """A flag that may be given again."""
    return Flag(tuple(names.split()), option, read, True, metavar, help)


def switch(names: str, option: str, help: str = "") -> Flag:
    """A flag that is given or not."""
    return Flag(tuple(names.split()), option, None, help=help)


SECTIONS: Mapping[str, tuple[Flag, ...]] = {
    "Streams": (
        switch("-i --interactive", "interactive", "pass stdin on; it is empty otherwise"),
        switch("-t --tty", "tty", "give the program a terminal"),
        many("-a --attach", "attach", values.stream, "STREAM", "attach only stdin, stdout or stderr"),
        switch("--sig-proxy", "sig_proxy", "pass signals on to the program (default true)"),
    ),
    "Kept containers": (
        switch("-d --detach", "detach", "leave the container running, and print its id"),
        one(
            "--restart", "restart_policy", values.plain, "no|always|unless-stopped|on-failure[:N]", "what its end means"
        ),
        one("--stop-timeout", "stop_timeout", values.integer, "SECONDS", "how long a stop waits before it kills (10)"),
        one("--log-driver", "log_driver", values.plain, "json-file|local|none", "how its output is kept"),
        many("--log-opt", "log_options", values.pair, "KEY=VALUE", "max-size, max-file, mode"),
        one("--cidfile", "cidfile", values.plain, "FILE", "write the container's id to a new file"),
    ),
    "Program": (
        many("-e --env", "environment", values.environment, "NAME[=VALUE]", "set a variable, or take it from here"),
        many("--env-file", "environment_files", values.environment_file, "FILE", "set the variables of a file"),
        one("-w --workdir", "working_dir", values.plain, "DIR", "working directory in the container"),
        one("-u --user", "user", values.user, "NAME|UID[:GROUP|GID]", "who the program runs as"),
        many("--group-add", "group_add", values.plain, "GROUP", "a further group"),
        one("--entrypoint", "entrypoint", values.plain, "PROGRAM", "in the place of the image's entrypoint"),
        one("--stop-signal", "stop_signal", values.signal, "SIGNAL", "signal that asks the program to end"),
        switch("--init", "init", "run an init as PID 1, which passes signals on and reaps"),
        switch("--rm", "remove", "remove the container at its end (default true); --rm=false keeps it"),
        one("--name", "name", values.plain, "NAME", "what to call a container that is kept"),
        one("--pull", "pull", values.plain, "always|missing|never", "when to ask the image's registry (missing)"),
        one("--platform", "platform", values.plain, "OS/ARCH", "which image of several to pull"),
        switch("-q --quiet", "quiet", "show no progress of a pull"),
        many("-l --label", "labels", values.plain, "KEY[=VALUE]", "set a label"),
        many("--label-file", "label_files", values.label_file, "FILE", "set the labels of a file"),
    ),
    "Names": (
        one("-h --hostname", "hostname", values.plain, "NAME"),
        one("--domainname", "domainname", values.plain, "NAME", "NIS domain name"),
        many("--dns", "dns", values.plain, "ADDRESS", "a name server"),
        many("--dns-search", "dns_search", values.plain, "DOMAIN", "a domain to search"),
        many("--dns-opt --dns-option", "dns_opt", values.plain, "OPTION", "an option of resolv.conf(5)"),
        many("--add-host", "extra_hosts", values.plain, "NAME:ADDRESS", "a line for /etc/hosts"),
    ),
    "Limits": (
        one("-m --memory", "mem_limit", values.size, "SIZE", "memory"),
        one("--memory-swap", "memswap_limit", values.swap, "SIZE", "memory and swap together; -1 is unlimited"),
        one("--memory-reservation", "mem_reservation", values.size, "SIZE", "what is left when memory is short"),
        one("--memory-swappiness", "mem_swappiness", values.integer, "0…100", "cgroup v1 alone"),
        switch("--oom-kill-disable", "oom_kill_disable", "wait instead of dying out of memory; cgroup v1 alone"),
        one("--oom-score-adj", "oom_score_adj", values.integer, "-1000…1000", "preference of the OOM killer"),
        one("--cpus", "cpus", values.number, "NUMBER", "processors' worth of time"),
        one("-c --cpu-shares", "cpu_shares", values.integer, "WEIGHT", "relative weight, 2 to 262144"),
        one("--cpu-period", "cpu_period", values.integer, "MICROSECONDS"),
        one("--cpu-quota", "cpu_quota", values.integer, "MICROSECONDS", "run time in each period"),
        one("--cpu-rt-period", "cpu_rt_period", values.integer, "MICROSECONDS", "cgroup v1 alone"),
        one("--cpu-rt-runtime", "cpu_rt_runtime", values.integer, "MICROSECONDS", "cgroup v1 alone"),
        one("--cpuset-cpus", "cpuset_cpus", values.plain, "LIST", "the processors to run on: 0-2,5"),
        one("--cpuset-mems", "cpuset_mems", values.plain, "LIST", "the memory nodes to use"),
        one("--pids-limit", "pids_limit", values.integer, "NUMBER", "tasks; -1 is unlimited"),
        many("--ulimit", "ulimits", values.plain, "NAME=SOFT[:HARD]", "a limit of getrlimit(2)"),
        one("--blkio-weight", "blkio_weight", values.integer, "10…1000", "weight for block devices"),
        many("--blkio-weight-device", "blkio_weight_device", values.plain, "PATH:WEIGHT"),
        many("--device-read-bps", "device_read_bps", values.plain, "PATH:SIZE", "bytes in a second"),
        many("--device-write-bps", "device_write_bps", values.plain, "PATH:SIZE", "bytes in a second"),
        many("--device-read-iops", "device_read_iops", values.plain, "PATH:NUMBER", "operations in a second"),
        many("--device-write-iops", "device_write_iops", values.plain, "PATH:NUMBER", "operations in a second"),
    ),
    "Files": (
        many(
            "-v --volume",
            "mounts",
            values.bind,
            "SOURCE:TARGET[:OPTIONS]",
            "bind a path of the host, or mount a volume",
        ),
        many("--volumes-from", "volumes_from", values.plain, "CONTAINER[:ro]", "what a kept container has mounted"),
        one("--volume-driver", "volume_driver", values.plain, "NAME", "what makes volumes (default local)"),
        many("--mount", "mounts", values.mount, "KEY=VALUE,…", "a mount in the long form"),
        many("--tmpfs", "tmpfs", values.plain, "TARGET[:OPTIONS]", "a file system in memory"),
        one("--shm-size", "shm_size", values.size, "SIZE", "size of /dev/shm (default 64m)"),
        many("--storage-opt", "storage_opt", values.pair, "size=SIZE", "what the container can write in its own layer"),
        switch("--read-only", "read_only", "no writing to the root file system"),
        many("--device", "devices", values.plain, "SOURCE[:TARGET][:rwm]", "a device of the host"),
        many("--device-cgroup-rule", "device_cgroup_rules", values.plain, "'TYPE MAJOR:MINOR rwm'"),
    ),
    "Rights": (
        many("--cap-add", "cap_add", values.plain, "CAPABILITY", "to docker's fourteen; ALL"),
        many("--cap-drop", "cap_drop", values.plain, "CAPABILITY"),
        switch("--privileged", "privileged", "all capabilities and devices, no filter"),
        many("--security-opt", "security_opt", values.plain, "OPTION", "seccomp=FILE|unconfined, no-new-privileges, …"),
        many("--sysctl", "sysctls", values.pair, "NAME=VALUE", "a kernel parameter of the container's namespaces"),
    ),
    "Namespaces": (
        one("--net --network", "network_mode", values.plain, "none|host", "none is the default: loopback alone"),
        one("--ipc", "ipc_mode", values.plain, "private|none|host"),
        one("--pid", "pid_mode", values.plain, "private"),
        one("--uts", "uts_mode", values.plain, "private|host"),
        one("--userns", "userns_mode", values.plain, "private|host"),
        one("--cgroupns", "cgroupns", values.plain, "private|host"),
        one("--cgroup-parent", "cgroup_parent", values.plain, "CGROUP", "where to make the container's cgroup"),
    ),
    "Not in docker": (
        one("--timeout", "timeout", values.seconds, "SECONDS", "kill the container after this time (exit code 124)"),
        one("--output-limit", "output_limit", values.size, "SIZE", "of each stream, show only head and tail"),
        many("--landlock-ro", "landlock_read_only", values.plain, "PATH", "read and execute below PATH, nowhere else"),
        many("--landlock-rw", "landlock_read_write", values.plain, "PATH", "do anything below PATH, nothing elsewhere"),
    ),
    "": (switch("--help", "help", "show this list"),),
}

BY_NAME: Mapping[str, Flag] = {name: flag for flags in SECTIONS.values() for flag in flags for name in flag.names}

_DETACHED = "run it with -d and use `pyrt attach`, which can leave: a container that this command runs ends with it"
_NETWORK = "there are no networks yet; --network none or host"
_TRUST = "there are no signed tags; name an image by its digest"
_HEALTH = "there are no health checks yet"

REFUSED: Mapping[str, str] = {
    "--detach-keys": _DETACHED,
    **dict.fromkeys(["-p", "--publish", "-P", "--publish-all", "--expose", "--link", "--link-local-ip"], _NETWORK),
    **dict.fromkeys(["--ip", "--ip6", "--mac-address", "--net-alias", "--network-alias"], _NETWORK),
    **dict.fromkeys(["--disable-content-trust"], _TRUST),
    **dict.fromkeys(["--health-cmd", "--health-interval", "--health-retries", "--health-timeout"], _HEALTH),
    **dict.fromkeys(["--health-start-period", "--health-start-interval", "--no-healthcheck"], _HEALTH),
    "--annotation": "use --label; labels are the annotations of the container",
    "--gpus": "name the devices with --device",
    "--isolation": "there is one kind of isolation on Linux",
    "--kernel-memory": "the kernel has no such limit any more",
    "--runtime": "pyrt is the runtime",
    "--use-api-socket": "there is no API socket",
}

FLAG_OF_OPTION: Mapping[str, str] = {
    **{flag.option: flag.name for flag in BY_NAME.values()},
    "mounts": "--volume/--mount",
    "image": "IMAGE",
    "args": "COMMAND",
    "workdir": "--workdir",  # of `pyrt exec`
    "root": "--root",
    "landlock": "--landlock-ro/--landlock-rw",
}
