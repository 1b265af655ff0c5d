"""What can be asked of a container: the keyword arguments of run() and popen(), under docker-py's names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from pyrt.container.checks import fail

if TYPE_CHECKING:
    from pyrt.container.mount import Mount
    from pyrt.container.ulimits import Ulimit
    from pyrt.runtime.bundle import Landlock

__all__ = ["Mode", "RunOptions", "Size", "check_names"]

Size = int | str
Mode = Literal["private", "host"]
PullPolicy = Literal["always", "missing", "never"]


class RunOptions(TypedDict, total=False):
    """What can be asked of a container. Everything is optional, and None always means "not given".

    A size is an int of bytes or text in binary units: "64k", "256m", "1.5g". Lists may be tuples.
    A wrong value is an InvalidOption that names its option; what this host cannot give is an Unsupported.
    Both come before anything is created.

    **The program**
      environment     {"NAME": "value"} or ["NAME=value"]. A value of None, or a name alone in the list, takes away
                      what the image sets. PATH, HOSTNAME, HOME and, on a terminal, TERM are set unless you do.
      working_dir     absolute path in the container; default the image's, then "/".
      user            "name", "uid", "name:group", "uid:gid" or an int, looked up in the image; default the image's.
      group_add       names or numbers of further groups.
      entrypoint      list, or text split as a shell would; takes the image's entrypoint and command away.
      stop_signal     "SIGTERM", "TERM", "15" or 15; default the image's, then SIGTERM.
      init            True: PID 1 is an init that passes signals on and reaps orphans. Default False.
      tty             True: the program gets a terminal. Default False.
      console_size    (rows, columns) of the terminal at the start; default 24 and 80.
      labels          {"key": "value"} or ["key"]; they are the annotations of the spec.

    **The image and the container**
      pull            when the image's registry is asked: "missing" (the store has no image of this name, the default),
                      "always" or "never".
      platform        "linux/arm64": which image of several to pull; default this machine's.
      on_progress     called with each step of a pull, a Progress, by several threads.
      remove          False: the container is kept when its program has ended, with all that it has written (see
                      Engine.containers). Default True.
      name            what a container that is kept is called; default the first 12 digits of its id.

    **Names**
      hostname        up to 64 letters, digits, hyphens and dots; default the first 12 digits of the container's id.
      domainname      the NIS domain name; up to 64 characters.
      dns             addresses of name servers; default the host's, without those on its loopback.
      dns_search      domains to search; ["."] means none; default the host's.
      dns_opt         options of resolv.conf(5), such as "ndots:1"; default the host's.
      extra_hosts     {"name": "address"} or ["name:address"], added to /etc/hosts.

    **Memory, processors, tasks** (not given: no limit)
      mem_limit       size, at least "6m". 0 is no limit.
      memswap_limit   size of memory and swap together, at least mem_limit; -1 is unlimited; default 2 × mem_limit.
      mem_reservation size, at most mem_limit: what the kernel tries to leave when memory is short.
      mem_swappiness  0 to 100; cgroup v1 alone.
      oom_kill_disable  True: a container out of memory waits instead of dying; cgroup v1 alone.
      oom_score_adj   -1000 to 1000; lower than the caller's needs CAP_SYS_RESOURCE.
      cpus            number of processors' worth of time, from 0.01: 1.5 is 150 ms in each 100 ms.
      nano_cpus       the same in billionths, as an int.
      cpu_period      microseconds, 1000 to 1000000; default 100000.
      cpu_quota       microseconds of run time in each period, at least 1000; -1 is unlimited.
      cpu_shares      relative weight, 2 to 262144; default 1024.
      cpuset_cpus     "0-3,8": the only processors to run on.
      cpuset_mems     "0-1": the only memory nodes to use.
      cpu_rt_period   microseconds; cpu_rt_runtime: of real-time run time in each; cgroup v1 alone.
      pids_limit      number of tasks; 0 and -1 are no limit.
      ulimits         {"nofile": 1024}, {"nofile": (soft, hard)}, ["nofile=1024:2048"] or objects with name, soft and
                      hard; -1 is unlimited. A hard limit above the caller's needs CAP_SYS_RESOURCE. Default the
                      caller's own.

    **Block devices** (each path is a block device of the host)
      blkio_weight         10 to 1000.
      blkio_weight_device  ["/dev/vda:500"] or [{"Path": "/dev/vda", "Weight": 500}].
      device_read_bps      ["/dev/vda:1mb"] or [{"Path": "/dev/vda", "Rate": size}]: bytes in a second.
      device_write_bps     likewise.
      device_read_iops     ["/dev/vda:1000"] or [{"Path": "/dev/vda", "Rate": 1000}]: operations in a second.
      device_write_iops    likewise.

    **Files**
      volumes         {"/host": {"bind": "/target", "mode": "ro"}} or ["/host:/target:ro,rslave"]. The source exists.
                      A name is that of a volume ("data:/target:nocopy"), made where there is none (see Engine.volumes);
                      a target alone is a new anonymous one, as is each VOLUME of the image. An anonymous volume goes
                      with its container.
      volumes_from    ["box", "other:ro"]: kept containers, all of whose binds and volumes are mounted here too.
      volume_driver   what makes volumes that there are not yet; default "local".
      mounts          list of Mount, or of text as `docker run --mount` takes it.
      tmpfs           {"/run": "size=64m,mode=1777"} or ["/run:size=64m"]; noexec, nosuid and nodev unless you say exec,
                      suid or dev.
      shm_size        size of /dev/shm; default "64m".
      storage_opt     {"size": size}: how much the container can write into its own layer.
      read_only       True: the root file system cannot be written to. Default False.
      devices         ["/dev/fuse", "/dev/kvm:/dev/kvm:rw"]: source, target, and of r(ead), w(rite), m(knod).
      device_cgroup_rules  ["c 10:200 rwm"]: what the program may open besides.

    **Rights**
      cap_add         names with or without CAP_, or "ALL"; added to Docker's fourteen.
      cap_drop        likewise; taken away.
      privileged      True: all capabilities and devices that the caller has, no filter, no masked paths.
      security_opt    "no-new-privileges", "seccomp=unconfined", "seccomp=FILE" (a profile in Docker's JSON),
                      "systempaths=unconfined", "writable-cgroups=true", "label=disable", "apparmor=unconfined".
      masked_paths    paths to hide in place of Docker's; [] hides none.
      readonly_paths  paths to make read-only in place of Docker's; [] makes none so.
      sysctls         {"net.ipv4.ip_forward": "1"}: of net, kernel.shm*, kernel.msg*, kernel.sem and fs.mqueue.
      landlock        Landlock, or {"read_only": [...], "read_write": [...]}: paths to which the program is confined.

    **Namespaces** (not given: private, except `userns_mode`)
      network_mode    "none": an own network with loopback alone, the default; "host": the host's.
      ipc_mode        "private"; "none": private and without /dev/shm; "host".
      pid_mode        "private". The host's is not offered: the end of the container ends its processes for certain only
                      because they have a PID namespace of their own.
      uts_mode        "private"; "host": the host's names.
      cgroupns        "private"; "host".
      userns_mode     "private" and "auto": a user namespace with the engine's ids; "host": none. Default none for root,
                      and private for an ordinary user, who can have nothing else.
      cgroup_parent   the cgroup to make the container's in; default the engine's.
    """

    pull: PullPolicy | None
    platform: str | None
    on_progress: Callable[[Any], object] | None
    remove: bool | None
    name: str | None

    environment: Mapping[str, str | int | float | None] | Sequence[str] | None
    working_dir: str | None
    user: str | int | None
    group_add: Sequence[str | int] | None
    entrypoint: str | Sequence[str] | None
    stop_signal: str | int | None
    init: bool | None
    tty: bool | None
    console_size: tuple[int, int] | None
    labels: Mapping[str, str] | Sequence[str] | None

    hostname: str | None
    domainname: str | None
    dns: Sequence[str] | None
    dns_search: Sequence[str] | None
    dns_opt: Sequence[str] | None
    extra_hosts: Mapping[str, str] | Sequence[str] | None

    mem_limit: Size | None
    memswap_limit: Size | None
    mem_reservation: Size | None
    mem_swappiness: int | None
    oom_kill_disable: bool | None
    oom_score_adj: int | None
    cpus: float | None
    nano_cpus: int | None
    cpu_period: int | None
    cpu_quota: int | None
    cpu_shares: int | None
    cpuset_cpus: str | None
    cpuset_mems: str | None
    cpu_rt_period: int | None
    cpu_rt_runtime: int | None
    pids_limit: int | None
    ulimits: Mapping[str, int | tuple[int, int]] | Sequence[str | Ulimit] | None

    blkio_weight: int | None
    blkio_weight_device: Sequence[str | Mapping[str, str | int]] | None
    device_read_bps: Sequence[str | Mapping[str, Size]] | None
    device_write_bps: Sequence[str | Mapping[str, Size]] | None
    device_read_iops: Sequence[str | Mapping[str, str | int]] | None
    device_write_iops: Sequence[str | Mapping[str, str | int]] | None

    volumes: Mapping[str | os.PathLike[str], Mapping[str, str | bool] | str] | Sequence[str] | None
    volumes_from: Sequence[str] | None
    volume_driver: str | None
    mounts: Sequence[Mount | str] | None
    tmpfs: Mapping[str, str] | Sequence[str] | None
    shm_size: Size | None
    storage_opt: Mapping[str, Size] | None
    read_only: bool | None
    devices: Sequence[str | Mapping[str, str]] | None
    device_cgroup_rules: Sequence[str] | None

    cap_add: Sequence[str] | None
    cap_drop: Sequence[str] | None
    privileged: bool | None
    security_opt: Sequence[str] | None
    masked_paths: Sequence[str] | None
    readonly_paths: Sequence[str] | None
    sysctls: Mapping[str, str | int] | None
    landlock: Landlock | Mapping[str, Sequence[str]] | None

    network_mode: Literal["none", "host"] | None
    ipc_mode: Literal["private", "none", "host"] | None
    pid_mode: Literal["private"] | None
    uts_mode: Mode | None
    cgroupns: Mode | None
    userns_mode: Literal["private", "auto", "host"] | None
    cgroup_parent: str | None


def check_names(options: Mapping[str, object]) -> None:
    """Refuse a keyword that is no option, with the nearest that is one. Raises InvalidOption."""
    unknown = options.keys() - RunOptions.__optional_keys__
    if not unknown:
        return
    from difflib import get_close_matches

    name = min(unknown)
    near = get_close_matches(name, RunOptions.__optional_keys__, 1)
    fail(name, "there is no such option" + (f"; did you mean {near[0]}?" if near else ""))
