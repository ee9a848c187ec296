"""`ralph-otel hook`: Claude Code's hooks."""

from __future__ import annotations

from pathlib import Path

import click

from ralph_otel import hooks


@click.group("hook", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Record what Claude Code tells its hooks: loops with the ralph-wiggum plugin, or of `claude -p` in a shell.

    Without a subcommand it is the hook itself: it reads a hook's JSON from standard input, says nothing, and exits
    with 0. Under a loop that is recorded already it adds to that run; else every turn of Claude Code is an iteration.

    \b
    Example:
      ralph-otel hook install && ralph-otel watch
    """
    if ctx.invoked_subcommand is None:
        if hooks.is_call(["hook"]):
            hooks.main()
        click.echo(ctx.get_help())


_where = click.option(
    "--user/--project", "user", help="~/.claude/settings.json, or that of the project here (default)."
)


@command.command("install")
@_where
@click.option(
    "--all-events", is_flag=True, help="Failed tools and turns, subagents, too. Claude Code 2.1.80 or newer only."
)
def install(user: bool, all_events: bool) -> None:
    """Put the hooks into Claude Code's settings.

    What is there stays. A Claude Code that does not know an event ignores the whole file: `--all-events` is for files
    that only newer ones read.
    """
    from ralph_otel.hooks import settings

    path = _path(user)
    events = settings.EVENTS + (settings.NEWER_EVENTS if all_events else ())
    try:
        changed = settings.install(path, settings.command(portable=not user), events)
    except settings.SettingsError as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{path}: {'hooks installed' if changed else 'the hooks are there already'}; events: {', '.join(events)}"
    )


@command.command("uninstall")
@_where
def uninstall(user: bool) -> None:
    """Take the hooks out of Claude Code's settings, and nothing else."""
    from ralph_otel.hooks import settings

    path = _path(user)
    try:
        changed = settings.uninstall(path)
    except settings.SettingsError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path}: {'hooks removed' if changed else 'there are no hooks of ralph-otel'}")


def _path(user: bool) -> Path:
    return (Path.home() if user else Path()).absolute() / ".claude" / "settings.json"
