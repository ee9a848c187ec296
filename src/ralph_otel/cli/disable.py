"""`ralph-otel disable`: undoes `ralph-otel enable`."""

from __future__ import annotations

import click


@click.command("disable")
@click.option(
    "--python",
    metavar="PATH",
    help="A Python, its environment's folder, or a command in it.  [default: where ralph-otel is]",
)
def command(python: str | None) -> None:
    """Remove what `ralph-otel enable` has put into a Python environment, and nothing else.

    \b
    Example:
      ralph-otel disable --python ralph
    """
    from ralph_otel.config import MetricsConfig
    from ralph_otel.launch import enabling

    try:
        where = enabling.environment(python)
        there = enabling.disable(where, MetricsConfig().home)
    except enabling.EnablingError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{where.prefix}: {'disabled' if there else 'not enabled'}")
