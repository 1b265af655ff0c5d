"""Debian's docker-registry on a free port of loopback: plain, with TLS by a CA of its own, with a password."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyrt.oci.reference import Reference
from tests.hosts import eventually

__all__ = ["USER", "DockerRegistry", "docker_registry", "make_ca", "serve"]

USER = ("me", "sesame")
_BCRYPT = "$2y$05$abcdefghijklmnopqrstuuKcS.CYWVYVaLiiCKrrc0A5s3mGesJ9O"  # of sesame: the registry knows no other hash


@dataclass(frozen=True, slots=True)
class DockerRegistry:
    """A running registry; `host` is how references name it."""

    host: str
    directory: Path
    log: Path

    def reference(self, name: str = "some/image", tag: str = "latest") -> Reference:
        return Reference.parse(f"{self.host}/{name}:{tag}")


@pytest.fixture
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """A plain registry that lets everybody in and allows deletes; mark the test needs("docker-registry")."""
    with serve(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@contextmanager
def serve(
    directory: Path,
    *,
    ca: Path | None = None,
    wants_client: bool = False,
    has_user: bool = False,
    mirror_of: str = "",
) -> Iterator[DockerRegistry]:
    """Run a registry: with TLS below `ca` (see make_ca), client certificates, a USER, or as a mirror."""
    port = _free_port()
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}"}
    if ca is not None:
        asked = {"clientcas": [f"{ca}/ca.crt"]} if wants_client else {}
        http["tls"] = {"certificate": f"{ca}/server.cert", "key": f"{ca}/server.key", **asked}
    storage = {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}}
    config: dict[str, object] = {"version": 0.1, "log": {"level": "warn"}, "storage": storage, "http": http}
    if has_user:
        (directory / "htpasswd").write_text(f"{USER[0]}:{_BCRYPT}\n")
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
    if mirror_of:
        config["proxy"] = {"remoteurl": mirror_of}
    (directory / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    log = directory / "log"
    environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}
    with log.open("wb") as output:
        command = ["docker-registry", "serve", str(directory / "config.yml")]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        eventually(_is_up(port, process, log), "docker-registry does not listen")
        yield DockerRegistry(f"127.0.0.1:{port}", directory, log)
    finally:
        process.kill()
        process.wait()


def make_ca(directory: Path) -> Path:
    """Make ca.crt, and below it the pairs server (of 127.0.0.1) and client (.cert and .key), by the openssl program."""
    directory.mkdir(exist_ok=True)
    _openssl(directory, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=tests-ca "
             "-keyout ca.key -out ca.crt")  # fmt: skip
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
        (directory / "ext").write_text(extension)
        _openssl(directory, f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} "
                 f"-keyout {name}.key -out {name}.csr")  # fmt: skip
        _openssl(directory, f"x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext "
                 f"-out {name}.cert")  # fmt: skip
    return directory


def _openssl(directory: Path, arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments.split()], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _is_up(port: int, process: subprocess.Popen[bytes], log: Path) -> Callable[[], bool]:
    def probe() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) == 0

    return probe
