"""The command `ralph-otel`: one file per command, imported when that command is called."""

from __future__ import annotations

import io
import logging
import os
import pkgutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ralph_otel.version import __version__


class Commands(click.Group):
    """The files of this folder as commands. Each has its click command as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted(
            module.name.removesuffix("_") for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by name; its file is imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the known commands named where there is none by that name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} Commands: {', '.join(self.list_commands(ctx))}.", ctx) from None


@click.command(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ralph-otel")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """OpenTelemetry for every Ralph loop.

    A loop that runs already:   ralph-otel run -- COMMAND…

    A loop to begin with:       ralph-otel loop -n 10 --test pytest -- claude -p
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process."""
    _mend_streams()
    _say_notices()
    try:
        result: Any = cli.main(arguments, prog_name="ralph-otel", standalone_mode=False)
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"{error.ctx.get_usage()}", err=True)
        click.echo(f"ralph-otel: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except OSError as error:
        click.echo(f"ralph-otel: {error.filename or 'error'}: {error.strerror or error}", err=True)
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)


def _mend_streams() -> None:
    """Where a stream is closed there is none to be asked what it is; and one that knows few characters gets the others
    spelled out."""
    nothing = Path(os.devnull)
    sys.stdin = sys.stdin or nothing.open(encoding="utf-8")
    sys.stdout = sys.stdout or nothing.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or nothing.open("w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _say_notices() -> None:
    """Notices go to stderr, one line each, without the logging module's own decoration."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("ralph_otel")
    logger.addHandler(handler)
    logger.propagate = False
