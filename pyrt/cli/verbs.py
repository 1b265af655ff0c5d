"""The verbs and the options before them, as click has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

import pyrt
from pyrt.cli.format import complain
from pyrt.cli.group import Verbs
from pyrt.cli.main import FAILED, REFUSED, guarded

__all__ = ["dispatch"]

VERBS = {
    "commit": "Make an image of a kept container.",
    "copy": "Copy an image between registries, layouts and archives.",
    "cp": "Copy files between a container and this machine.",
    "diff": "List what a kept container's program has changed.",
    "doctor": "Say what works on this host, what does not, why, and what would change that.",
    "events": "Show what happens, as it happens.",
    "export": "Write the files of a kept container as a tar.",
    "history": "Show the history of an image.",
    "image": "List, move, keep and remove images.",
    "images": "List images.",
    "import": "Make an image from a tar of a root file system.",
    "inspect": "Show what images are.",
    "load": "Take the images of an archive.",
    "logs": "Show what a container has written.",
    "ps": "List the containers that are kept.",
    "pull": "Bring an image from a registry.",
    "push": "Send an image to its registry.",
    "rm": "Remove kept containers.",
    "rmi": "Remove images.",
    "run": "Run a program in a new container.",
    "save": "Write images as an archive.",
    "tag": "Give an image one more name.",
    "volume": "Make, list, copy and remove volumes.",
}
MODULES = {"import": "import_tar"}  # where the verb is a word of Python's
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def dispatch(words: Sequence[str]) -> int:
    """Run the verb that the words name and give its exit code; 125 for a flag that is none. Raises what it raises."""
    try:
        code = pyrt_command.main(args=list(words), prog_name="pyrt", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "pyrt"
        message = error.format_message().replace(". Did you mean", ", did you mean").rstrip(".")
        complain(f"{message}; see `{path} --help`")
        return FAILED if isinstance(error, (click.NoSuchOption, click.BadOptionUsage)) else REFUSED
    except click.Abort as error:
        raise KeyboardInterrupt from error
    return code if isinstance(code, int) else 0


class PyrtVerbs(Verbs):
    """All verbs; `run` reads its own words."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "run":
            return Verbatim("run", short_help=VERBS["run"], callback=run, add_help_option=False)
        return super().get_command(ctx, cmd_name)


class Verbatim(click.Command):
    """A verb that reads its own words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["words"] = args
        return []


@click.pass_obj
def run(root: str | None, words: list[str]) -> int:
    """Hand the words to `pyrt run`."""
    from pyrt.cli.run import run

    return guarded(lambda: run(words, root))


@click.group("pyrt", cls=PyrtVerbs, verbs=VERBS, modules=MODULES, context_settings=SETTINGS)
@click.version_option(pyrt.__version__, message="%(prog)s %(version)s")
@click.option(
    "--root", metavar="DIR", help="Keep everything in DIR (default: $PYRT_ROOT, or where the user's data is)."
)
@click.pass_context
def pyrt_command(context: click.Context, root: str | None) -> Any:
    """Run containers without a daemon."""
    context.obj = root
