"""Turn an image's configuration and the caller's options into what a container is made of.

Takes an ImageConfig, the arguments, RunOptions and HostFacts; gives a Draft: the Spec and all else of a Bundle that
does not come from a snapshot. Nothing is created and nothing of the host is changed. What the host is asked beside the
facts: whether the sources of binds and devices are there, and its /etc/hosts and /etc/resolv.conf.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pyrt.container.blkio import block_io
from pyrt.container.checks import boolean, container_path, fail, integer, mapping, sequence, text
from pyrt.container.command import combine
from pyrt.container.devices import Access, device_access
from pyrt.container.env import merge, parse_env
from pyrt.container.etc import etc_files, read_names
from pyrt.container.filesystems import default_mounts
from pyrt.container.host import HostFacts
from pyrt.container.limits import cpu, memory, oom_score_adj, pids
from pyrt.container.mount import Mount as AskedMount
from pyrt.container.mounts import asked_mounts, created_sources, rootfs_propagation
from pyrt.container.namespaces import Modes, namespaces, read_modes
from pyrt.container.options import RunOptions, check_names
from pyrt.container.security import SecurityOptions, capabilities, hidden_paths, landlock, read_security_opt
from pyrt.container.sizes import size
from pyrt.container.stop import parse_signal
from pyrt.container.sysctls import sysctls
from pyrt.container.ulimits import check_ulimits, ulimits
from pyrt.container.volumes import PENDING, VolumeWish
from pyrt.container.wishes import read_wishes
from pyrt.oci.config import ImageConfig
from pyrt.oci.spec import Linux, Mount, Process, Resources, Rlimit, Root, Spec, User
from pyrt.runtime.bundle import Bundle, File, Landlock, Rootfs

__all__ = ["Draft", "Identity", "Lookup", "build", "console_size", "find_identity", "labels"]

_SIGTERM = 15
_LAST_ID = 2**31 - 1  # Docker's limit, of users and of groups


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the image's /etc/passwd and /etc/group have it."""

    user: User
    home: str = "/"


Lookup = Callable[[str, tuple[str, ...]], Identity]
"""Take a user (`name`, `uid`, `name:group`, …; "" is root) and further groups, give the Identity."""


@dataclass(frozen=True, slots=True)
class Draft:
    """All of a Bundle but the mounts of its root.

    `seccomp` is a profile as pyrt.runtime.seccomp.Filters takes it: None is the default one. `created_sources` are
    directories of the host that the caller asked to be made before the mounts. `volumes` are those whose mounts are
    still to be found, and `passed_on` the mounts that others get by volumes_from.
    """

    spec: Spec
    files: tuple[File, ...]
    seccomp: bytes | None
    init: bool
    landlock: Landlock | None
    stop_signal: int
    scratch_bytes: int | None
    created_sources: tuple[str, ...]
    volumes: tuple[VolumeWish, ...] = ()
    passed_on: tuple[AskedMount, ...] = ()

    def with_volumes(self, found: Mapping[str, Mount], names: Mapping[str, str]) -> Draft:
        """Give the Draft whose volumes are known: their mounts and names, both by the place in the container."""
        mounts = tuple([found[m.destination] if m.type == PENDING else m for m in self.spec.mounts])
        passed_on = tuple([replace(m, source=names[m.target]) if m.type == "volume" else m for m in self.passed_on])
        return replace(self, spec=replace(self.spec, mounts=mounts), volumes=(), passed_on=passed_on)

    def bundle(self, mounts: tuple[Mount, ...]) -> Bundle:
        """Give the Bundle whose root these mounts make."""
        root = Rootfs(mounts, self.files, self.scratch_bytes)
        return Bundle(self.spec, root, self.init, self.landlock, self.stop_signal)


def build(
    config: ImageConfig,
    args: Sequence[str | os.PathLike[str]] | None,
    options: RunOptions,
    host: HostFacts,
    user: Lookup | Identity,
    *,
    container_id: str,
    inherited: Sequence[AskedMount] = (),
) -> Draft:
    """Decide everything about a container with Docker's rules and defaults.

    `args` None means the image's command. `user` finds who the program runs as, or is who it was found to be.
    `inherited` are the mounts of the containers that volumes_from names. Raises InvalidOption naming the option that is
    wrong, Unsupported for what this host or this release cannot give, and what `user` raises.
    """
    check_names(options)
    read_wishes(options)
    request = _request(options, host)
    modes = request.modes
    identity = find_identity(config, options, user)
    asked = asked_mounts(options, host, modes.user, of_image=config.volumes, inherited=inherited)
    mounted = frozenset([mount.destination for mount in asked.mounts])
    names = read_names(options, container_id, own_uts=modes.uts, own_network=modes.network)
    access = device_access(options, privileged=request.privileged, in_userns=modes.user)
    spec = Spec(
        process=_process(config, combine(config, args, options.get("entrypoint")), request, identity, names.hostname),
        root=Root("rootfs", _flag(options, "read_only")),
        hostname=names.hostname if modes.uts else None,
        domainname=names.domainname,
        mounts=_mounts(request, access, asked.mounts, mounted),
        linux=_linux(request, access, asked.mounts, mounted, _cgroups_path(options, container_id)),
        annotations=labels(config, options),
    )
    return Draft(
        spec=spec,
        files=etc_files(options, names, mounted),
        seccomp=request.security.seccomp,
        init=_flag(options, "init"),
        landlock=landlock(options),
        stop_signal=_stop_signal(config, options),
        scratch_bytes=_scratch_bytes(options),
        created_sources=created_sources(options),
        volumes=asked.volumes,
        passed_on=asked.passed_on,
    )


@dataclass(frozen=True, slots=True)
class _Request:
    """The options, and what most decisions ask of them first."""

    options: RunOptions
    host: HostFacts
    modes: Modes
    security: SecurityOptions
    privileged: bool


def _request(options: RunOptions, host: HostFacts) -> _Request:
    privileged = _flag(options, "privileged")
    security = read_security_opt(options, privileged=privileged)
    return _Request(options, host, read_modes(options, host), security, privileged)


def _process(
    config: ImageConfig, args: tuple[str, ...], request: _Request, identity: Identity, hostname: str
) -> Process:
    options, host, privileged = request.options, request.host, request.privileged
    tty, is_root = _flag(options, "tty"), identity.user.uid == 0
    return Process(
        args=args,
        cwd=_working_dir(config, options),
        env=merge(config.env, parse_env(options.get("environment")), hostname=hostname, tty=tty, home=identity.home),
        user=identity.user,
        terminal=tty,
        console_size=console_size(options.get("console_size")),
        capabilities=capabilities(options, host, privileged=privileged, in_userns=request.modes.user, is_root=is_root),
        rlimits=_rlimits(options, host),
        no_new_privileges=request.security.no_new_privileges,
        oom_score_adj=oom_score_adj(options, host),
    )


def console_size(asked: object) -> tuple[int, int] | None:
    """Take the rows and columns of a terminal, None where they are not given. Raises InvalidOption."""
    if asked is None:
        return None
    given = sequence(asked, "console_size")
    if len(given) != 2:
        fail("console_size", f"{given!r} is not (rows, columns)")
    rows, columns = (integer(edge, "console_size", 0, 65535) for edge in given)
    return rows, columns


def _mounts(request: _Request, access: Access, asked: tuple[Mount, ...], mounted: frozenset[str]) -> tuple[Mount, ...]:
    """Give Docker's mounts, the binds of devices and the caller's mounts, which win where they meet the others."""
    privileged, writable = request.privileged, request.security.writable_cgroups
    own = default_mounts(request.options, request.host, request.modes, privileged=privileged, writable_cgroups=writable)
    own += access.binds
    if mounted:
        hidden = "/dev/" if "/dev" in mounted else "\0"
        own = tuple([m for m in own if m.destination not in mounted and not m.destination.startswith(hidden)])
    return own + asked


def _linux(
    request: _Request, access: Access, asked: tuple[Mount, ...], mounted: frozenset[str], cgroups_path: str
) -> Linux:
    options, host, modes = request.options, request.host, request.modes
    masked, read_only = hidden_paths(options, host, request.security, privileged=request.privileged)
    return Linux(
        namespaces=namespaces(modes),
        uid_mappings=host.uid_mappings if modes.user else (),
        gid_mappings=host.gid_mappings if modes.user else (),
        devices=() if "/dev" in mounted else access.devices,
        cgroups_path=cgroups_path,
        resources=Resources(
            memory=memory(options, host),
            cpu=cpu(options, host),
            pids=pids(options),
            block_io=block_io(options),
            devices=access.rules,
        ),
        rootfs_propagation=rootfs_propagation(asked),
        sysctl=sysctls(options, host, modes),
        masked_paths=masked,
        readonly_paths=read_only,
    )


def _rlimits(options: RunOptions, host: HostFacts) -> tuple[Rlimit, ...]:
    limits = ulimits(options.get("ulimits"))
    check_ulimits(limits, host)
    return limits


def _working_dir(config: ImageConfig, options: RunOptions) -> str:
    asked = options.get("working_dir")
    asked = config.working_dir if asked is None or asked == "" else asked
    return "/" if asked == "" else container_path(asked, "working_dir")


def find_identity(config: ImageConfig, options: RunOptions, user: Lookup | Identity) -> Identity:
    """Give who a program runs as. Raises InvalidOption, and what `user` raises."""
    asked = options.get("user")
    if asked is not None and not isinstance(asked, str):
        asked = str(integer(asked, "user", 0, _LAST_ID))
    wanted = text(asked, "user") if asked is not None else config.user
    further = tuple([_group(group) for group in sequence(options.get("group_add"), "group_add")])
    return user if isinstance(user, Identity) else user(wanted, further)


def _group(group: object) -> str:
    found = text(group, "group_add") if isinstance(group, str) else str(integer(group, "group_add", 0, _LAST_ID))
    return found or fail("group_add", "the name of a group is empty")


def _cgroups_path(options: RunOptions, container_id: str) -> str:
    """Give an absolute path below the caller's parent, or a relative one, which the runtime places."""
    parent = options.get("cgroup_parent")
    if parent is None:
        return container_id
    if ".." in text(parent, "cgroup_parent").split("/"):
        fail("cgroup_parent", f"{parent!r} leads upwards")
    return container_path(f"/{parent}/{container_id}", "cgroup_parent")


def labels(config: ImageConfig, options: RunOptions) -> Mapping[str, str]:
    """Give the labels of an image with the caller's over them. Raises InvalidOption."""
    given = options.get("labels")
    if given is None:
        return config.labels
    if isinstance(given, Mapping):
        asked = {name: text(value, "labels") for name, value in mapping(given, "labels").items()}
    else:
        asked = dict(text(entry, "labels").partition("=")[::2] for entry in sequence(given, "labels"))
    if "" in asked:
        fail("labels", "the name of a label is empty")
    return {**config.labels, **asked}


def _stop_signal(config: ImageConfig, options: RunOptions) -> int:
    asked = options.get("stop_signal")
    asked = config.stop_signal if asked is None else asked
    return _SIGTERM if asked == "" else parse_signal(asked)


def _scratch_bytes(options: RunOptions) -> int | None:
    given = mapping(options.get("storage_opt"), "storage_opt")
    if not given:
        return None
    if given.keys() != {"size"}:
        fail("storage_opt", f"takes 'size' alone, not {', '.join(given)}")
    return size(given["size"], "storage_opt") or None


def _flag(options: RunOptions, name: str) -> bool:
    value = options.get(name)
    return False if value is None else boolean(value, name)
