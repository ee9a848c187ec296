"""`ralph-otel loop`: the embedded runner."""

from __future__ import annotations

import os
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import click

from ralph_otel.config import seconds
from ralph_otel.loop.options import LoopOptions, OptionError
from ralph_otel.notices import shown


class BadOption(click.ClickException):
    """An option's value will not do; the message is one line."""

    exit_code = 2


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A duration, such as 90s or 1h30m, as seconds."""
    try:
        return None if value is None else seconds(value)
    except ValueError as error:
        raise BadOption(f"{param.opts[-1]}: {shown(value)} will not do; it must be {error}") from None


def _words(ctx: click.Context, param: click.Parameter, value: str) -> list[str]:
    """Words as for a shell."""
    try:
        return shlex.split(value)
    except ValueError as error:
        raise BadOption(f"{param.opts[-1]}: {shown(value)} will not do: {error}; quote it as for a shell") from None


_path = partial(click.option, type=click.Path(path_type=Path), metavar="FILE")
_time = partial(click.option, callback=_duration, metavar="D")
_count = partial(click.option, type=int, metavar="N")
_shell = partial(click.option, metavar="CMD")
_regex = partial(click.option, metavar="REGEX")
_RESUME = "Let iterations share a session: add ARGS to the agent's command while it goes on."
_AGENT = "claude, codex, gemini, opencode: how to read its output, where the command does not tell."


@click.command("loop", context_settings={"allow_interspersed_args": False})
@click.argument("agent_command", metavar="AGENT...", nargs=-1, required=True, type=click.UNPROCESSED)
@_count("-n", "--max-iterations", help="Stop after N iterations.")
@_time("--max-duration", help="Stop after D (10m, 1h30m), in mid-iteration too.")
@click.option("--max-cost", type=float, metavar="USD", help="Stop when so much is spent, as the agent reports it.")
@_path("--prompt", default="PROMPT.md", show_default=True, help="What the agent gets; read anew each time.")
@_time("--timeout", help="End an agent that takes longer than D.")
@_time("--grace", default="5s", show_default=True, help="Kill what has not ended D after it was asked to.")
@_time("--delay", default="0s", show_default=True, help="Rest so long between two iterations.")
@_shell("--test", help="Run this shell command after each iteration; stop when all tests pass.")
@_path("--junit", help="The JUnit report that the tests write, where the command's options do not tell.")
@_time("--test-timeout", help="End --test, or --until-command, after D.")
@click.option("--keep-going", is_flag=True, help="Do not stop when all tests pass.")
@_path("--until-file", help="Stop when this file is there.")
@_regex("--until-output", help="Stop when a line of the agent's stdout matches.")
@_shell("--until-command", help="Stop when this shell command exits with 0.")
@_count("--max-failures", default=5, show_default=True, help="Stop after N failing iterations in a row; 0: never.")
@_count("--max-failure-streak", help="Stop after N test runs in a row with failures.")
@_count("--max-no-progress", help="Stop after N iterations in a row without progress.")
@click.option("--resume-args", callback=_words, metavar="ARGS", default="", help=_RESUME)
@click.option(
    "--redline",
    type=float,
    metavar="PERCENT",
    default=85.0,
    show_default=True,
    help="Reboot when the context is so full.",
)
@_regex("--reboot-output", help="Reboot when a line of the agent's stdout matches.")
@_count("--reboot-after", help="Reboot after N iterations of a session.")
@_time("--reboot-after-duration", help="Reboot when a session is older than D.")
@click.option("--name", metavar="NAME", help="The loop's name in all signals.  [default: the folder's name]")
@click.option("--agent", metavar="NAME", help=_AGENT)
@click.option("-q", "--quiet", is_flag=True, help="Say only what goes wrong.")
@click.option("-v", "--verbose", is_flag=True, help="Show the tests' output.")
def command(agent_command: tuple[str, ...], quiet: bool, resume_args: list[str], **values: Any) -> int:
    """Run AGENT again and again, each time with the prompt file's content on its standard input, until there is a
    reason to stop. The agent's output is passed on as it is; everything else goes to standard error.

    \b
    Example:
      ralph-otel loop -n 30 --test "pytest -q" --max-cost 10 -- \\
        claude -p --output-format stream-json --verbose

    Each iteration has a fresh context. With --resume-args (--continue, for Claude Code) the agent goes on with its
    session until a reboot: at the redline, after a failure, or when a --reboot option says so. Without, a context that
    has reached the redline at an iteration's end is counted as a reboot too, if the loop goes on.

    The agent runs without a terminal, so nothing in it can wait for somebody at the keyboard. Ctrl-C (or SIGTERM,
    SIGHUP) ends it and the loop; a second one at once.

    \b
    Exit code:
      0    the goal is reached (tests, file, output, command), or a limit (iterations, duration, cost)
      1    the agent fails again and again, the tests fail, or there is no progress
      2    an option is wrong
      126  the agent is not executable
      127  the agent does not exist
      128+ the number of the signal that stopped it: 130 after ctrl-C, 143 after SIGTERM
    """
    from ralph_otel.loop.display import Display
    from ralph_otel.loop.interrupts import Interrupts
    from ralph_otel.loop.plugins import load_collector
    from ralph_otel.loop.prompt import Prompt
    from ralph_otel.loop.runner import run_loop

    if os.name != "posix":
        raise click.ClickException("loop runs on Linux and macOS only; on Windows, use WSL")
    try:
        options = LoopOptions(command=agent_command, resume_args=resume_args, **values)
        display = Display(options.max_iterations, quiet)
        Prompt(options.prompt, display.say)  # raises before anything is set up
        collector = load_collector(display.say)
        with Interrupts() as interrupts:  # an impatient ctrl-C does not tear the telemetry's end either
            result = run_loop(options, collector, display=display, interrupts=interrupts)
            collector.shutdown()
    except OptionError as error:
        raise BadOption(f"--{error.option.replace('_', '-')}: {error.problem}") from None
    return result.exit_code
