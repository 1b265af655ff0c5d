"""A word that is followed by a verb."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from pyrt.cli.main import guarded

__all__ = ["Verbs"]


class Verbatim(click.Command):
    """A verb that reads its own words, by the rules of docker."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["words"] = args
        return []

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a flag, or the name of an image, or of a container for `exec`."""
        from pyrt.cli import complete, exec_flags, flags

        is_exec = self.name == "exec"
        if not incomplete.startswith("-"):
            return (complete.container_names if is_exec else complete.image_names)(ctx, None, incomplete)
        by_name = (exec_flags if is_exec else flags).BY_NAME
        return [CompletionItem(name, help=flag.help) for name, flag in by_name.items() if name.startswith(incomplete)]


@click.pass_obj
def run(root: str | None, words: list[str]) -> int:
    """Hand the words to `pyrt run`."""
    from pyrt.cli.run import run

    return guarded(lambda: run(words, root))


@click.pass_obj
def create(root: str | None, words: list[str]) -> int:
    """Hand the words to `pyrt create`."""
    from pyrt.cli.create import create

    return create(words, root)


@click.pass_obj
def exec(root: str | None, words: list[str]) -> int:
    """Hand the words to `pyrt exec`."""
    from pyrt.cli.exec import exec

    return guarded(lambda: exec(words, root))


VERBATIM = {"create": create, "exec": exec, "run": run}


class Verbs(click.Group):
    """Verbs of modules, each loaded when it is used: `verbs` are what a list says of them, `modules` their homes
    (`module` or `module:name`) where these have other names, `aliases` further names of theirs.
    """

    def __init__(
        self,
        *arguments: Any,
        verbs: Mapping[str, str],
        modules: Mapping[str, str] | None = None,
        aliases: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.verbs = verbs
        self._modules = modules or {}
        self._aliases = aliases or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = self._aliases.get(cmd_name, cmd_name)
        if name not in self.verbs:
            return None
        if name in VERBATIM and name not in self._modules:
            return Verbatim(name, short_help=self.verbs[name], callback=VERBATIM[name], add_help_option=False)
        module, _, attribute = self._modules.get(name, name).partition(":")
        verb: click.Command = getattr(import_module(f"pyrt.cli.{module}"), attribute or "command")
        return verb

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.verbs[name]) for name in self.list_commands(ctx)])
