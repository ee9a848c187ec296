"""`ralph-otel stream`: what changes in a run, as lines of JSON."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from pathlib import Path

import click

from ralph_otel.cli._options import complete_run, home, journal_of
from ralph_otel.config import seconds
from ralph_otel.own_files import open_to_read
from ralph_otel.views.stream import EventIdError, Stream, place_of


@click.command()
@click.argument("run", required=False, metavar="[RUN]", shell_complete=complete_run)
@click.option("--interval", default="1s", show_default=True, help="At most one object a run in this time.")
@click.option("--events", is_flag=True, help="Every event instead of snapshots, from the run's first on.")
@click.option("--new", is_flag=True, help="With --events: only those that come from now on.")
@click.option("--after", metavar="ID", help="Events after the one with this id: go on where a reader has stopped.")
@click.option("--follow", is_flag=True, help="Go on when the runs have ended; wait for others.")
def command(run: str | None, interval: str, events: bool, new: bool, after: str | None, follow: bool) -> int:
    """What changes in a run, as lines of JSON on standard output, until it ends.

    RUN is a run id, an unambiguous part of one, `latest`, or a file's path; without it, all loops that are running, and
    those that begin meanwhile. An object has `run`, `name`, `state`, and `metrics`; an event is a line of the journal,
    with an `id`.

    Example: ralph-otel stream --follow | jq -c '[.name, .state, .metrics.total_iterations]'

    Example: ralph-otel stream --after 20261101T000000Z-bce148:20480
    """
    stream = _stream(run, events, new, after)
    try:
        _print(stream, _seconds(interval), follow)
    except BrokenPipeError:
        _forget_output()
    finally:
        stream.close()
    if run is None and not stream.runs and not follow:
        click.echo("ralph-otel: no loop is running; --follow waits for one", err=True)
    return 0


def _stream(run: str | None, events: bool, new: bool, after: str | None) -> Stream:
    if after is None:
        return Stream(home(), _readable(journal_of(run)) if run is not None else None, events, new)
    try:
        meant, place = place_of(after)
        journal = _readable(journal_of(run if run is not None else meant))
        if journal.stem != meant:
            raise EventIdError(f"{after!r} is an event of another run than {journal.stem}")
        return Stream(home(), journal, events=True, place=place)
    except EventIdError as error:
        raise click.BadParameter(str(error), param_hint="--after") from None


def _readable(journal: Path) -> Path:
    try:
        open_to_read(journal).close()
    except OSError as error:
        raise click.ClickException(f"cannot read {journal}: {error.strerror}") from None
    return journal


def _seconds(interval: str) -> float:
    try:
        return max(seconds(interval), 0.05)
    except ValueError as error:
        raise click.BadParameter(f"{interval!r} will not do; it must be {error}", param_hint="--interval") from None


def _print(stream: Stream, interval: float, follow: bool) -> None:
    while True:
        for line in stream.poll():
            print(line)  # noqa: T201 - click.echo flushes after every line
        sys.stdout.flush()
        if stream.ended and not follow:
            return
        _wait(interval)


def _wait(interval: float) -> None:
    """Wait, but not for somebody who no longer reads: a loop may say nothing for an hour.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    try:
        output = sys.stdout.fileno()
    except (OSError, ValueError):  # no file: a test's
        time.sleep(interval)
        return
    if not hasattr(select, "poll"):
        time.sleep(interval)
        return
    poll = select.poll()
    poll.register(output, 0)
    if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(interval * 1000)):
        raise BrokenPipeError


def _forget_output() -> None:
    """Python flushes stdout at its end, and would complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
