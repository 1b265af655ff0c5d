"""Shows Mount and Rootfs values to a shell command, in a mount namespace (and user namespace) that ends with it.

This is a plain second reading of what those values mean, independent of the runtime.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict

from pyrt.oci.spec import Mount
from pyrt.runtime.bundle import Rootfs

__all__ = ["in_rootfs", "in_view"]

_PROGRAM = """
import base64, ctypes, json, os, sys
scratch, chroot, command = sys.argv[1:]
with open(f"{scratch}/values") as values:
    mounts, files = json.load(values)
libc = ctypes.CDLL(None, use_errno=True)
def mount(source, target, kind, flags, data):
    if libc.mount(os.fsencode(source), os.fsencode(target), os.fsencode(kind), flags, os.fsencode(data)):
        raise OSError(ctypes.get_errno(), f"mount {kind} {data} {target}")
def home(path):
    above = os.path.dirname(path).rstrip("/") + "/"
    places = [i for i, m in enumerate(mounts) if above.startswith(m["destination"] + "/")]
    return max(places, key=lambda i: len(mounts[i]["destination"]))
mount("tmpfs", scratch, "tmpfs", 0, "mode=755")
view = f"{scratch}/view"
os.mkdir(view)
prefix = "user" if any("userxattr" in m["options"] for m in mounts) else "trusted"
uppers = [f"{scratch}/{i}/upper" for i in range(len(mounts))]
for upper in uppers:
    os.makedirs(upper)
    os.mkdir(upper[:-5] + "work")
def write(index):
    for file in files:
        top = mounts[index]["destination"]
        if home(file["path"]) != index:
            continue
        path = uppers[index] + file["path"][len(top):]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        content = base64.b64decode(file["content"])
        if file["type"] == "dir":
            os.makedirs(path, exist_ok=True)
            if file["opaque"] and mounts[index]["type"] == "overlay":
                os.setxattr(path, f"{prefix}.overlay.opaque", b"y")
        elif file["type"] == "symlink":
            os.symlink(content, path)
            continue
        else:
            with open(path, "wb") as made:
                made.write(content)
        os.chmod(path, file["mode"])
for index, m in enumerate(mounts):
    target, data = view + m["destination"], ",".join(m["options"])
    os.makedirs(target, exist_ok=True) if m["type"] != "bind" or os.path.isdir(m["source"]) else None
    write(index)
    if m["type"] == "overlay":
        if not any(option.startswith("upperdir=") for option in m["options"]):
            data += f",upperdir={uppers[index]},workdir={uppers[index][:-5]}work"
        mount("overlay", target, "overlay", 0, data)
    elif m["type"] == "bind":
        mount(m["source"], target, "", 4096, "")
    else:
        mount(uppers[index], target, "", 4096, "")
os.chdir(view)
if chroot == "yes":
    os.chroot(".")
os.execv("/bin/sh", ["sh", "-ec", command])
"""


def in_view(mount: Mount, command: str) -> str:
    """Run a shell command in the mounted view; give its output, raise CalledProcessError where it fails."""
    return _run((mount,), [], "no", command)


def in_rootfs(rootfs: Rootfs, command: str) -> str:
    """Run a shell command with the Rootfs as its root; give its output, raise CalledProcessError where it fails."""
    files = [asdict(file) | {"content": base64.b64encode(file.content).decode()} for file in rootfs.files]
    return _run(rootfs.mounts, files, "yes", command)


def _run(mounts: tuple[Mount, ...], files: list[dict[str, object]], chroot: str, command: str) -> str:
    is_inside = os.geteuid() != 0 or any("userxattr" in mount.options for mount in mounts)
    user = ["--user", "--map-root-user"] if is_inside else []
    with tempfile.TemporaryDirectory(prefix="pyrt-view-") as scratch:
        with open(f"{scratch}/values", "w") as values:
            json.dump([[asdict(mount) for mount in mounts], files], values)
        run = ["unshare", *user, "--mount", sys.executable, "-c", _PROGRAM, scratch, chroot, command]
        return subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout
