"""`ralph-otel completion`: what makes a shell complete our commands, options and run ids."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Example, in ~/.bashrc: eval "$(ralph-otel completion bash)"

    zsh, in ~/.zshrc: eval "$(ralph-otel completion zsh)"

    fish: ralph-otel completion fish > ~/.config/fish/completions/ralph-otel.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click knows no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "ralph-otel", "_RALPH_OTEL_COMPLETE").source())
