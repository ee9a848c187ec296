"""The watch itself: looks at its targets when something changes, and has one recorder export what it finds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ralph_otel.config import MetricsConfig
from ralph_otel.journal import BadLine, create_folder, decode, new_run_id, runs_folder
from ralph_otel.recorder.recorder import Recorder
from ralph_otel.recorder.recovery import recover
from ralph_otel.runs import RunError, ended, find
from ralph_otel.watch.changes import Changes
from ralph_otel.watch.orchestrator import Orchestrator
from ralph_otel.watch.source import Format, record
from ralph_otel.watch.targets import CannotWatch, Follow, Home, OneJournal, Source, Target, Wanted

SETTLE = 15.0
"""Seconds between two looks for loops that have died, and between two notes of how far everything is recorded."""
END_TIMEOUT = 5.0
"""Seconds that sending what waits may take at the end."""
ONCE_TIMEOUT = 600.0
"""Seconds that recording what there is may take."""


Make = Callable[[Follow], Target]
"""Makes a target; it gets what has a journal followed."""


class Watcher:
    """Watches targets and exports them.

    Args:
        config: what is exported where.
        home: the folder of journals and of what is remembered.
        say: takes what is of interest to whoever watches, a line each.
    """

    def __init__(self, config: MetricsConfig, home: Path, say: Callable[[str], None]) -> None:
        self.recorder = Recorder(config, new_run_id())
        self._config = config
        self._home = home
        self._say = say
        self._targets: list[Target] = []
        self._followed: dict[Path, Target] = {}
        self._unnamed: dict[Path, bool] = {}
        self._bad_said = False

    def add(self, make: Make) -> None:
        """Add a target.

        Raises:
            CannotWatch: it cannot be watched.
        """
        target: Target | None = None
        early: list[tuple[Path, int]] = []

        def follow(path: Path, recorded: int) -> None:
            if target is None:
                early.append((path, recorded))
            else:
                self._follow(path, recorded, target)

        target = make(follow)
        self._targets.append(target)
        for path, recorded in early:
            self._follow(path, recorded, target)

    def _follow(self, path: Path, recorded: int, target: Target) -> None:
        if path not in self._followed:
            self._followed[path] = target
            self._unnamed[path] = ended(path)
            self.recorder.follow(path, recorded)
        self.recorder.wake()

    # -- its life ---------------------------------------------------------------------------------------------------

    def once(self) -> None:
        """Export what there is, and end."""
        self.recorder.start()
        self._look()
        self._say_missing("")
        self._settle()
        self.recorder.barrier(ONCE_TIMEOUT)
        self._end()

    def run(self, stop: threading.Event, poll: bool = False) -> None:
        """Export what there is and what comes, until told to stop.

        Args:
            stop: set to end.
            poll: whether to do without the operating system telling of changes.
        """
        self.recorder.start()
        changes = Changes(lambda: [folder for target in self._targets for folder in target.folders()], poll)
        settle_at = 0.0
        self._look()
        self._say_missing("; waiting")
        while not stop.is_set():
            self._look()
            if time.monotonic() >= settle_at:
                self._settle()
                settle_at = time.monotonic() + SETTLE
            changes.wait(stop)
        self._look()
        self._end()

    def _look(self) -> None:
        for target in self._targets:
            target.look()
        self._introduce()
        bad = sum(target.bad() for target in self._targets)
        if bad and not self._bad_said:
            self._bad_said = True
            self._say(f"{bad} lines or files could not be read; they are left out, and further ones are not mentioned")

    def _settle(self) -> None:
        """End the runs that have died, and note how far everything is recorded."""
        for target in self._targets:
            target.settle(time.time_ns())
        recover(self._home)
        self.recorder.wake()
        self._remember()

    def _remember(self) -> None:
        """What has ended and is recorded to its end need not be remembered: it is not followed again."""
        sizes = {path: path.stat().st_size for path in self._followed if path.exists() and not ended(path)}
        if self.recorder.barrier(END_TIMEOUT):
            for target in self._targets:
                target.memory.save({path.stem: sizes[path] for path in sizes if self._followed[path] is target})

    def _end(self) -> None:
        self._remember()
        for target in self._targets:
            target.close()
        self.recorder.stop(END_TIMEOUT)
        for target in self._targets:
            target.memory.close()

    # -- what is said -----------------------------------------------------------------------------------------------

    def _say_missing(self, further: str) -> None:
        for target in self._targets:
            if (missing := target.missing()) is not None:
                self._say(missing + further)

    def _introduce(self) -> None:
        """Say of every new loop what it is; of those that have ended already, how many there are."""
        old = 0
        for path, over in list(self._unnamed.items()):
            line = _first_line(path)
            if line is None:
                continue
            del self._unnamed[path]
            if over:
                old += 1
                continue
            runner = f" ({line['runner']})" if line.get("runner") else ""
            self._say(f"loop {line.get('name', '?')}{runner}, run {path.stem}")
        if old:
            self._say(f"{old} {'loop that has' if old == 1 else 'loops that have'} ended")


def _first_line(path: Path) -> dict[str, object] | None:
    try:
        with path.open("rb") as file:
            return decode(file.readline(1 << 20))
    except (OSError, BadLine):
        return None


# -- what is meant by a path -------------------------------------------------------------------------------------------


def targets(paths: Iterable[str], config: MetricsConfig, home: Path, wanted: Wanted) -> list[Make]:
    """What is meant by the paths of a command line; without any, all runs of the home folder.

    Raises:
        CannotWatch: a path is neither there nor a run's id nor anything that one could wait for.
    """
    create_folder(runs_folder(home))
    made = [_target(path, config, home, wanted) for path in dict.fromkeys(paths)]
    return made or [lambda follow: Home(home, wanted, follow)]


def _target(text: str, config: MetricsConfig, home: Path, wanted: Wanted) -> Make:
    path = Path(text).expanduser()

    def journal(path: Path) -> Make:
        return lambda follow: OneJournal(home, path, wanted, follow)

    def folder(path: Path, formats: Callable[[], Iterable[Format]] = tuple) -> Make:
        return lambda follow: Source(home, path, wanted, follow, formats(), config.trace_iterations)

    if path.is_dir():
        return folder(_project(path))
    if path.is_file() and _is_events_file(path):
        base = _project(path.parent)
        name = path.absolute().relative_to(base.absolute()).as_posix()
        return folder(base, lambda: [Orchestrator(name)])
    if path.is_file():
        return journal(path)
    if path.exists():
        raise CannotWatch(f"{text} is neither a file nor a folder; pipe lines into `ralph-otel watch -`")
    try:
        return journal(find(text, home))
    except RunError as error:
        if path.suffix == ".jsonl":
            return journal(path)
        if "/" in text or text.startswith("."):
            return folder(_project(path))
        raise CannotWatch(f"{error}; and there is no folder {text}") from None


def _project(path: Path) -> Path:
    """The folder that formats look at: the one around `.ralph` or `.ralph-tui`."""
    return path.absolute().parent if path.name in (".ralph", ".ralph-tui") else path


def _is_events_file(path: Path) -> bool:
    """Whether a file is one of ralph-orchestrator's, rather than a journal."""
    with path.open("rb") as file:
        line = record(file.readline(1 << 20)) or {}
    return "topic" in line and "v" not in line
