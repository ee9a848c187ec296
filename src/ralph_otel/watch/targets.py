"""What can be watched: the home folder's runs, one journal, the files of other runners in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ralph_otel.events import LoopStarted, LoopStopped
from ralph_otel.hooks.handling import sweep
from ralph_otel.journal import runs_folder
from ralph_otel.notices import notice
from ralph_otel.runs import ended
from ralph_otel.tracecontext import TraceContext
from ralph_otel.watch.files import DiskFolder
from ralph_otel.watch.memory import Memory
from ralph_otel.watch.orchestrator import Orchestrator
from ralph_otel.watch.ralph_claude_code import RalphClaudeCode
from ralph_otel.watch.ralph_loop import RalphLoop
from ralph_otel.watch.ralph_runner import RalphRunner
from ralph_otel.watch.ralph_tui import RalphTui
from ralph_otel.watch.scribe import Run, Scribe
from ralph_otel.watch.source import Batch, Format, Late

FORMATS: tuple[Callable[[], Format], ...] = (Orchestrator, RalphClaudeCode, RalphLoop, RalphTui, RalphRunner)
"""The runners whose files are known."""

Follow = Callable[[Path, int], None]
"""Have a journal recorded: its path, and how many of its bytes have been recorded before."""


@dataclass(frozen=True)
class Wanted:
    """How much of the past is wanted.

    Args:
        again: also what an earlier watch has exported. Spans go only where they are not yet, in any case.
        new: only loops that have not ended, and no log records of what they did before.
        since: only loops that do something at that time or later, in Unix nanoseconds; of those, everything.
    """

    again: bool = False
    new: bool = False
    since: int = 0

    def recorded(self, path: Path, memory: Memory) -> int:
        """How many bytes of a journal that is there already need no log records."""
        if self.new:
            return path.stat().st_size if path.exists() else 0
        return 0 if self.again else memory.recorded.get(path.stem, 0)


class CannotWatch(Exception):
    """What was asked for cannot be watched; the text says why."""


class Target(Protocol):
    """Something that is watched."""

    memory: Memory

    def look(self) -> None:
        """See what is new, and have new journals followed."""

    def folders(self) -> Iterable[Path]:
        """The folders whose changes matter."""

    def settle(self, now: int) -> None:
        """Look for loops that are over without having said so. `now`: Unix nanoseconds."""

    def bad(self) -> int:
        """Lines and files that could not be used."""

    def missing(self) -> str | None:
        """Says that there is nothing to follow, if it is so."""

    def close(self) -> None:
        """Give back what is open."""


class Home:
    """All runs of a home folder: those that have no end yet, and new ones as they appear."""

    def __init__(self, home: Path, wanted: Wanted, follow: Follow) -> None:
        self.memory = Memory(home, "home")
        self._home = home
        self._folder = runs_folder(home)
        self._wanted = wanted
        self._follow = follow
        self._known: set[Path] = set()
        self._first = True
        self._followed = False

    def look(self) -> None:
        """See `Target`."""
        for path in sorted(self._folder.glob("*.jsonl")):
            if path in self._known:
                continue
            self._known.add(path)
            left = path.stem in self.memory.recorded  # followed by an earlier watch, perhaps not to its end
            if not self._first or self._wanted.again or left or not ended(path):
                self._followed = True
                self._follow(path, self._wanted.recorded(path, self.memory) if self._first else 0)
        self._first = False

    def folders(self) -> Iterable[Path]:
        """See `Target`."""
        return (self._folder,)

    def settle(self, now: int) -> None:
        """See `Target`. What hooks have begun is ended for them."""
        try:
            sweep(str(self._home), wait=True)
        except OSError as error:
            notice(f"cannot look at {error.filename}: {error.strerror}")

    def bad(self) -> int:
        """See `Target`. The recorder says it of journals."""
        return 0

    def missing(self) -> str | None:
        """See `Target`."""
        if self._followed:
            return None
        return f"{self._folder} has no run without an end" if self._known else f"there are no runs in {self._folder}"

    def close(self) -> None:
        """See `Target`."""


class OneJournal(Home):
    """One journal; it need not be there yet."""

    def __init__(self, home: Path, path: Path, wanted: Wanted, follow: Follow) -> None:
        super().__init__(home, wanted, follow)
        self.memory = Memory(home, str(path.absolute()))
        self._path = path

    def look(self) -> None:
        """See `Target`."""
        if self._first:
            self._first = False
            self._follow(self._path, self._wanted.recorded(self._path, self.memory))

    def folders(self) -> Iterable[Path]:
        """See `Target`."""
        return (self._path.parent,)

    def missing(self) -> str | None:
        """See `Target`."""
        return None if self._path.exists() else f"there is no {self._path}"


class Source:
    """Other runners' files in a folder; neither the folder nor the files need be there yet.

    Args:
        home: the folder in whose `runs` the journals are written.
        path: the folder.
        formats: those to read; by default those that are found, as they are found.
        trace_iterations, place: see `Scribe`.

    Raises:
        CannotWatch: another process does.
    """

    def __init__(
        self,
        home: Path,
        path: Path,
        wanted: Wanted,
        follow: Follow,
        formats: Iterable[Format] = (),
        trace_iterations: int = 0,
        place: TraceContext | None = None,
    ) -> None:
        self.memory = Memory(home, str(path.absolute().resolve()))
        if not self.memory.claim():
            raise CannotWatch(f"another ralph-otel watches {path} already")
        self._home = home
        self._folder = DiskFolder(path)
        self._wanted = wanted
        self._follow = follow
        self._trace_iterations = trace_iterations
        self._place = place
        self._late = Late(wanted.since)
        self._formats: list[tuple[Format, Scribe]] = []
        self._detect = True
        for format_ in formats:
            self._detect = False
            self._add(format_)

    @property
    def found(self) -> list[str]:
        """The runners whose files are there."""
        return [format_.runner for format_, _ in self._formats]

    def _add(self, format_: Format) -> None:
        source = f"{format_.runner} {self._folder.path.absolute().resolve()}"
        scribe = Scribe(runs_folder(self._home), source, self._trace_iterations, self._place)
        self._formats.append((format_, scribe))
        batches = list(self._late.only(format_.read(self._folder)))
        if self._wanted.new:
            over = _over(batches)
            batches = [batch for batch in batches if not over[batch.run]]
        written = self._take(batches, scribe)
        list(scribe.settle(self._folder.now, format_.patience()))
        for run in written if self._wanted.since else scribe.runs.values():
            if not run.stopped or (not self._wanted.new and (self._wanted.again or run.size == 0 or self._left(run))):
                self._follow(run.path, self._wanted.recorded(run.path, self.memory))

    def _left(self, run: Run) -> bool:
        """Whether an earlier watch has not recorded a run to its end."""
        return run.path.stat().st_size > self.memory.recorded.get(run.run_id, 1 << 62)

    def look(self) -> None:
        """See `Target`."""
        self._folder.look()
        if self._detect:
            for make in FORMATS:
                format_ = make()
                if format_.runner not in self.found and format_.here(self._folder):
                    self._add(format_)
        for format_, scribe in self._formats:
            for run in self._take(self._late.only(format_.read(self._folder)), scribe):
                self._follow(run.path, run.size)  # what was there before has been exported

    @staticmethod
    def _take(batches: Iterable[Batch], scribe: Scribe) -> list[Run]:
        written: dict[str, Run] = {}
        for batch in batches:
            try:
                run = scribe.write(batch)
            except OSError as error:
                notice(f"cannot write {error.filename}: {error.strerror}; set RALPH_OTEL_HOME to a folder that can be")
                continue
            if run is not None:
                written[run.run_id] = run
        return list(written.values())

    def folders(self) -> Iterator[Path]:
        """See `Target`."""
        patterns = {pattern for format_, _ in self._formats for pattern in format_.watched}
        for pattern in patterns or {"", ".ralph", ".ralph-tui"}:
            if "*" in pattern:
                yield from (self._folder.path / name for name in self._folder.names(pattern))
            else:
                yield self._folder.path / pattern

    def settle(self, now: int) -> None:
        """See `Target`."""
        for format_, scribe in self._formats:
            list(scribe.settle(now, format_.patience()))

    def end(self, reason: str, now: int) -> None:
        """End the runs that go on: what has run them is over.

        Args:
            reason: why, one of the journal's stop reasons.
            now: Unix nanoseconds.
        """
        for _, scribe in self._formats:
            scribe.end(reason, now)

    def bad(self) -> int:
        """See `Target`."""
        return self._folder.oversized + sum(format_.bad for format_, _ in self._formats)

    def missing(self) -> str | None:
        """See `Target`."""
        known = ", ".join(sorted(make().runner for make in FORMATS))
        return None if self._formats else f"{self._folder.path} has no files of a known runner ({known})"

    def close(self) -> None:
        """See `Target`."""
        self._folder.close()
        for _, scribe in self._formats:
            scribe.close()


def _over(batches: Iterable[Batch]) -> dict[str, bool]:
    """By run, whether it has ended."""
    over: dict[str, bool] = {}
    for batch in batches:
        over.setdefault(batch.run, False)
        for seen in batch.seen:
            if isinstance(seen.event, (LoopStarted, LoopStopped)):
                over[batch.run] = isinstance(seen.event, LoopStopped)
    return over
