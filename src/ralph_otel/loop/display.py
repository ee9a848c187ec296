"""What the loop tells its user, on standard error: standard output belongs to the agent.

On a terminal, with a known number of iterations, a progress bar; a line for every iteration, and a summary at the end.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from ralph_otel.events import TestsFinished
from ralph_otel.loop.conditions import IterationReport
from ralph_otel.loop.result import STOPPED_BECAUSE, LoopResult
from ralph_otel.progress.worktree import Changes

STYLES = {"success": "green", "failure": "red", "timeout": "yellow", "cancelled": "yellow"}


class _Console(Console):
    """A console whose reader may go away: then it says nothing more, and the loop goes on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Display:
    """Shows a loop.

    Args:
        max_iterations: the most iterations, where known.
        quiet: whether only what goes wrong is said.
        console: where to; standard error by default.
    """

    def __init__(self, max_iterations: int | None = None, quiet: bool = False, console: Console | None = None) -> None:
        self._console = console or _Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._max = max_iterations
        self._quiet = quiet
        self._lock = threading.RLock()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._same_terminal = self._console.is_terminal and sys.__stdout__ is not None and sys.__stdout__.isatty()
        self._said: set[str] = set()
        self._open_line = False
        """Whether the agent's last line has no end yet, on the terminal that we write on too."""

    # -- the bar ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Display:
        if not self._quiet and self._max is not None and self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            # Drawn from `tick`, and taken away while the agent writes: both may go to the same terminal.
            self._bar = Progress(
                *columns,
                TextColumn("{task.fields[state]}"),
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task("ralph-otel", total=self._max, state="")
            self._show_bar()
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._hide_bar()
            self._bar = None

    def tick(self) -> None:
        """Time has passed. Does nothing while the agent's output is being written."""
        if self._bar is not None and self._lock.acquire(blocking=False):
            try:
                self._show_bar()
            finally:
                self._lock.release()

    def pause(self) -> None:
        """The process pauses: leave the terminal as it was. The next `tick` goes on."""
        with self._lock:
            self._hide_bar()

    def _show_bar(self) -> None:
        if self._bar is not None and not self._open_line:
            with _tolerant():
                self._bar.start()
                self._bar.refresh()

    def _hide_bar(self) -> None:
        if self._bar is not None:
            with _tolerant():
                self._bar.stop()

    @contextlib.contextmanager
    def passing(self, data: bytes) -> Iterator[None]:
        """Around the writing of the agent's output, so that it does not run into the bar."""
        if not self._same_terminal:
            yield
            return
        with self._lock:
            self._hide_bar()
            yield
            self._open_line = not data.endswith(b"\n")

    # -- lines -----------------------------------------------------------------------------------------------------

    def say(self, line: str) -> None:
        """Say something that must be said: one line."""
        self._print(Text(f"ralph-otel: {plain(line)}"))

    def note(self, line: str) -> None:
        """Say something that is good to know: one line."""
        if not self._quiet:
            self.say(line)

    def say_once(self, line: str) -> None:
        """Say something, unless it has been said."""
        if line not in self._said:
            self._said.add(line)
            self.say(line)

    def note_once(self, line: str) -> None:
        """Note something, unless it has been said."""
        if not self._quiet:
            self.say_once(line)

    def _print(self, text: Text) -> None:
        with self._lock, _tolerant():
            self._hide_bar()
            if self._open_line:
                self._console.line()
                self._open_line = False
            self._console.print(text, soft_wrap=True)
            self._show_bar()

    def iteration_started(self, number: int) -> None:
        """An iteration begins."""
        if self._bar is not None:
            with self._lock:
                self._bar.update(self._task, description=f"ralph-otel: iteration {number}")
                self._show_bar()

    def iteration_finished(self, report: IterationReport, cost: float | None) -> None:
        """An iteration has ended.

        Args:
            cost: US dollars of the whole loop so far, where known.
        """
        if self._quiet:
            return
        if self._bar is not None:
            state = " · ".join(filter(None, (_tests(report.tests), _dollars(cost))))
            self._bar.update(self._task, completed=report.number, state=state)
        of = f"/{self._max}" if self._max is not None else ""
        line = Text(f"ralph-otel: iteration {report.number}{of} ")
        line.append(report.outcome, STYLES[report.outcome])
        line.append(plain(_details(report)))
        self._print(line)

    def finished(self, result: LoopResult, journal: Path | None, url: str | None) -> None:
        """The loop has ended: sum it up.

        Args:
            journal: the run's file, if there is one.
            url: where its metrics could be scraped, if they could.
        """
        if self._quiet:
            return
        iterations = f"{result.iterations} iteration{'' if result.iterations == 1 else 's'}"
        why = f"{result.reason}: {STOPPED_BECAUSE[result.reason]}"
        self.say(f"stopped after {iterations} in {duration(result.duration)}; {why}")
        for name, value in _summary(result, journal, url).items():
            if value:
                self._print(Text(f"  {name:<11}{plain(value)}"))


@contextlib.contextmanager
def _tolerant() -> Iterator[None]:
    """A terminal that has gone, a full disk: no reason to stop."""
    with contextlib.suppress(OSError, ValueError):
        yield


def plain(text: str) -> str:
    """A text with nothing in it that a terminal would obey."""
    return "".join(character if character.isprintable() else "�" for character in text)


def duration(seconds: float) -> str:
    """Seconds as a person reads them: `0.3s`, `12s`, `1m12s`, `2h03m`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest}s"
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def _details(report: IterationReport) -> str:
    agent = report.agent
    shown = (
        f" ({agent.error_type})" if agent.error_type and report.outcome == "failure" else "",
        f" in {duration(report.duration)}",
        *(
            f" · {part}"
            for part in (
                _tests(report.tests),
                _changes(report.changes),
                _dollars(agent.cost),
                f"context {agent.context_percent:.0f}%" if agent.context_percent is not None else "",
            )
            if part
        ),
    )
    return "".join(shown)


def _tests(tests: TestsFinished | None) -> str:
    if tests is None:
        return ""
    skipped = f", {tests.skipped} skipped" if tests.skipped else ""
    return f"tests {tests.passed} passed, {tests.failed} failed{skipped}"


def _changes(changes: Changes | None) -> str:
    if changes is None:
        return ""
    files = f"{changes.files_changed} file{'' if changes.files_changed == 1 else 's'}"
    lines = f" +{changes.lines_added} −{changes.lines_removed}" if changes.lines_added or changes.lines_removed else ""
    commits = f", {changes.commits} commit{'' if changes.commits == 1 else 's'}" if changes.commits else ""
    return f"{files}{lines}{commits}"


def _dollars(cost: float | None) -> str:
    return f"${cost:.4f}" if cost is not None else ""


def _summary(result: LoopResult, journal: Path | None, url: str | None) -> dict[str, str]:
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in result.outcomes.items())
    return {
        "outcomes": outcomes,
        "sessions": str(result.sessions) if result.sessions != result.iterations else "",
        "reboots": str(result.reboots) if result.reboots else "",
        "tests": _tests(result.tests).removeprefix("tests "),
        "files": f"{result.files_changed} changed" if result.files_changed else "",
        "cost": _dollars(result.cost),
        "tokens": f"{result.tokens:,}" if result.tokens else "",
        "journal": str(journal) if journal is not None else "",
        "metrics": url or "",
    }
