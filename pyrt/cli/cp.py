"""`pyrt cp`: copy files between a container and this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pyrt.cli.format import complain
from pyrt.cli.shared import opened, verb
from pyrt.cli.units import size
from pyrt.errors import InvalidOption

if TYPE_CHECKING:
    from pyrt.container import Container
    from pyrt.files import Copied

__all__ = ["command"]

_STREAM = "-"
_PIECE_BYTES = 1 << 20


@verb("cp")
@click.argument("source", metavar="SRC_PATH")
@click.argument("target", metavar="DEST_PATH")
@click.option("-a", "--archive", is_flag=True, help="Keep owners, and set-id bits.")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what SRC_PATH, a symbolic link, leads to.")
@click.option(
    "-q", "--quiet/--no-quiet", default=None, help="Do not say what was copied; default unless on a terminal."
)
@click.pass_obj
def command(root: str | None, source: str, target: str, archive: bool, follow_link: bool, quiet: bool | None) -> None:
    """Copy between a container and this machine: CONTAINER:PATH on one side, a local path or - (a tar) on the other.

    A directory becomes DEST_PATH, or goes into it where that is a directory; of SRC_PATH/. what is in it.
    """
    (from_container, from_path), (to_container, to_path) = split(source), split(target)
    if from_container and to_container:
        raise InvalidOption("copying between containers is not supported")
    name = from_container or to_container
    if not name:
        raise InvalidOption("must specify at least one container source: CONTAINER:PATH")
    if not from_path or not to_path:
        raise InvalidOption(f"{source if not from_path else target}: write CONTAINER:PATH")
    with opened(root) as engine:
        container = engine.containers.get(name)
        if to_container and from_path == _STREAM:
            _from_stream(container, target, to_path)
            return
        if from_container and to_path == _STREAM:
            _to_stream(container, from_path, follow_link)
            return
        if from_container:
            copied = container.copy_out(from_path, to_path, archive=archive, follow_link=follow_link)
        else:
            copied = container.copy_in(from_path, to_path, archive=archive, follow_link=follow_link)
    _tell(copied, target, not sys.stdout.isatty() if quiet is None else quiet)


def split(argument: str) -> tuple[str, str]:
    """Give the container, "" where there is none, and the path; one that begins with `/` or `.` is local, as docker's.

    >>> split("box:/etc"), split("./box:/etc"), split("file")
    (('box', '/etc'), ('', './box:/etc'), ('', 'file'))
    """
    container, colon, path = argument.partition(":")
    return (container, path) if colon and not argument.startswith(("/", ".")) else ("", argument)


def _to_stream(container: Container[Any], path: str, follow_link: bool) -> None:
    if sys.stdout.isatty():
        raise InvalidOption("cowardly refusing to write a tar to a terminal: redirect it", argument="DEST_PATH")
    chunks, status = container.get_archive(path)
    if follow_link and status["linkTarget"]:
        _close(chunks)
        chunks, _ = container.get_archive(status["linkTarget"])
    try:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    finally:
        _close(chunks)


def _from_stream(container: Container[Any], target: str, path: str) -> None:
    if not container.fs.is_dir(path):
        raise InvalidOption(f'destination "{target}" must be a directory')
    container.put_archive(path, iter(lambda: sys.stdin.buffer.read(_PIECE_BYTES), b""), no_overwrite_dir_non_dir=True)


def _close(chunks: Iterator[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def _tell(copied: Copied, target: str, quiet: bool) -> None:
    for path in copied.skipped:
        complain(f"{path} is left out: it is a socket or a device")
    if not quiet:
        click.echo(f"Successfully copied {size(copied.size_bytes)} to {target}", err=True)
