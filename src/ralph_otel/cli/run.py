"""`ralph-otel run`: any runner or script, with telemetry."""

from __future__ import annotations

import click


def _commands(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Names of commands, not paths."""
    for name in value:
        if not name or "/" in name or not name.isprintable() or name in (".", ".."):
            raise click.BadParameter(
                f"{name!r} will not do; it must be a command's name, as on PATH, without its folder"
            )
    return value


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option("--name", metavar="NAME", help="What the loop of a shell script is called.  [default: as the script]")
@click.option(
    "--agent", "agents", metavar="NAME", multiple=True, callback=_commands, help="A further command that is an agent."
)
@click.option("--no-progress", is_flag=True, help="Do not measure what iterations change in the git work tree.")
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what is recorded, and where.")
@click.argument("argv", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(name: str | None, agents: tuple[str, ...], no_progress: bool, verbose: bool, argv: tuple[str, ...]) -> None:
    """Run COMMAND, and record every loop of a known runner in it.

    In a shell script, every agent that it starts by name is an iteration of its loop: claude, codex, gemini, opencode,
    aider, amp, cursor-agent, copilot, and those that --agent names.

    Its output, its exit code and how it takes signals stay as they are.

    \b
    Example:
      ralph-otel run -- ralph run my-ralph -n 10
      ralph-otel run -- ./ralph.sh
    """
    from ralph_otel.progress.baseline import Baseline

    baseline = None if no_progress else Baseline()  # git works while we import the rest
    from ralph_otel.launch import launch

    launch.main(argv, wishes=launch.Wishes(verbose, name, agents, not no_progress, baseline))


if __name__ == "__main__":
    command()
