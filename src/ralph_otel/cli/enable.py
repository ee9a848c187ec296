"""`ralph-otel enable`: runners that register themselves."""

from __future__ import annotations

import click


@click.command("enable")
@click.option(
    "--python",
    metavar="PATH",
    help="A Python, its environment's folder, or a command in it.  [default: where ralph-otel is]",
)
def command(python: str | None) -> None:
    """Have the runners in a Python environment register themselves at every start, with nothing before their command.

    It puts a file into the environment, which need not have ralph-otel, and may be one of pipx or uv. Each loop of a
    known runner is then recorded as by `ralph-otel run`, by a process beside it, with the settings of the runner's
    environment variables. `ralph-otel disable` removes the file; `ralph-otel doctor` says where there is one.

    \b
    Examples:
      ralph-otel enable --python ralph
      ralph-otel enable --python ~/.local/share/pipx/venvs/ralphify
    """
    from ralph_otel.config import MetricsConfig
    from ralph_otel.launch import enabling

    try:
        where = enabling.environment(python)
        new = enabling.enable(where, MetricsConfig().home)
    except enabling.EnablingError as error:
        raise click.ClickException(str(error)) from None
    there = ", ".join(f"{name} {version}" for name, version in where.runners.items())
    click.echo(f"{where.prefix}: {'enabled' if new else 'enabled already'}, by {where.file}")
    click.echo(f"runners there: {there or 'none that is known, so far'}")
