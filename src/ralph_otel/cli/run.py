"""`ralph-otel run`: any runner or script, with telemetry."""

from __future__ import annotations

import click


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what is recorded, and where.")
@click.argument("argv", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(verbose: bool, argv: tuple[str, ...]) -> None:
    """Run COMMAND, and record every loop of a known runner in it.

    Its output, its exit code and how it takes signals stay as they are.

    \b
    Example:
      ralph-otel run -- ralph run my-ralph -n 10
    """
    from ralph_otel import launch

    launch.main(argv, verbose=verbose)


if __name__ == "__main__":
    command()
