"""`ralph-otel watch`: loops that run elsewhere, exported."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from ralph_otel.cli._options import configured
from ralph_otel.config import MetricsConfig
from ralph_otel.temporary import TemporaryFolder


@click.command("watch")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--once", is_flag=True, help="Export what there is, and end.")
@click.option("--new", is_flag=True, help="Leave out loops that have ended, and old log records.")
@click.option("--from-start", is_flag=True, help="Also what an earlier watch has exported; spans are not sent twice.")
@click.option("--poll", is_flag=True, help="Look every second, where changes are not told of (network drives).")
def command(paths: tuple[str, ...], once: bool, new: bool, from_start: bool, poll: bool) -> None:
    """Follow journals and the files of other runners, and export them until Ctrl-C.

    PATH is a run id, a journal, or the folder of a project in which ralph-orchestrator 2, ralph-claude-code, ralph-tui
    or ralph-loop works, or ~/.ralph-runner; `-` reads the lines of `ralph run --rpc` and passes them on. Without PATH
    all runs are followed that have not ended, and new ones as they begin.

    What was before the start is read, too; after a restart it goes on where it was.

    \b
    Examples:
      ralph-otel watch .
      ralph run --rpc -p "fix the bugs" | ralph-otel watch - > lines.jsonl
    """
    from ralph_otel.watch.targets import CannotWatch

    config = configured()
    if once and "-" in paths:
        raise click.UsageError("--once does not go with -: a pipe is read to its end in any case")
    if new and from_start:
        raise click.UsageError("--new and --from-start exclude each other")
    with _home(config) as home:
        try:
            _watch(paths, config, home, once, new, from_start, poll)
        except CannotWatch as error:
            raise click.UsageError(str(error)) from None


@contextlib.contextmanager
def _home(config: MetricsConfig) -> Iterator[Path]:
    """The folder of the journals; where none are wanted, one that goes away again."""
    if config.journal:
        yield config.home
        return
    try:
        temporary = TemporaryFolder()
    except OSError as error:
        raise click.ClickException(f"no temporary folder: {error.strerror}; set TMPDIR to another folder") from None
    with temporary:
        yield temporary.path


def _watch(
    paths: tuple[str, ...], config: MetricsConfig, home: Path, once: bool, new: bool, from_start: bool, poll: bool
) -> None:
    from ralph_otel.watch.pipe import Pipe
    from ralph_otel.watch.targets import Wanted
    from ralph_otel.watch.watcher import Watcher, targets

    stop = threading.Event()
    piped = "-" in paths
    files = tuple(path for path in paths if path != "-")
    wanted = targets(files, config, home, Wanted(again=from_start, new=new)) if files or not piped else []
    watcher = Watcher(config, home, _say)
    for make in wanted:
        watcher.add(make)
    if piped:
        ended = stop.set if not files else lambda: None
        watcher.add(lambda follow: Pipe(home, follow, ended, config.trace_iterations))
    if once:
        watcher.once()
        return
    with _signals(stop, patient=piped and not files):
        watcher.run(stop, poll)


@contextlib.contextmanager
def _signals(stop: threading.Event, patient: bool) -> Iterator[None]:
    """Have Ctrl-C and the like end the watch.

    Args:
        patient: whether the first one is left to whoever writes into the pipe: what it says at its end is wanted.
    """
    left = 1 if patient else 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal left
        if left and number == signal.SIGINT:
            left -= 1
        else:
            stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    click.echo(f"ralph-otel: {text}", err=True)
