"""The home folder: who may read it, how much room there is, and what is in its journals."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from ralph_otel.config import MetricsConfig, MetricsExportFormat
from ralph_otel.doctor.findings import Finding, Subject, ok, problem, warning
from ralph_otel.events import Line
from ralph_otel.exporters import otlp
from ralph_otel.journal import runs_folder
from ralph_otel.processes import gone
from ralph_otel.runs import Folded, fold, journals
from ralph_otel.state import RunState
from ralph_otel.wording import size

_LITTLE, _ENOUGH = 100 << 20, 1 << 30
"""Bytes of free space: below the first journals may soon fail, below the second it is time to look."""
_NEWEST = 50
"""Journals that are read, the newest."""
_SECONDS = 5.0
"""How long they are read."""
_NAMED = 3
"""Runs or files that a finding names."""


def folder(subject: Subject) -> Iterator[Finding]:
    """The folder and the journals: whose they are, and who may read them."""
    home = subject.config.home
    if not subject.config.journal:
        yield warning(f"no journals are kept ({subject.config.sources['journal']})", "set RALPH_OTEL_JOURNAL=true")
        return
    if not home.is_absolute():
        yield warning(f"{home} depends on the folder one is in", "set RALPH_OTEL_HOME to a path that begins with /")
    if not home.exists():
        above = _existing(home)
        if os.access(above, os.W_OK | os.X_OK):
            yield ok(f"{home} is not there yet; the first run makes it")
        else:
            yield problem(f"{home} cannot be made: {above} cannot be written", "set RALPH_OTEL_HOME to another folder")
        return
    faults = [*_folder_faults(home, 0o022), *_folder_faults(runs_folder(home), 0o077), *_file_faults(home)]
    yield from faults
    if not faults:
        found = journals(home)
        total = size(sum(_size(path) for path in found))
        limit = f" of {size(subject.config.journal_size)}" if subject.config.journal_size else ""
        yield ok(f"{home}: {len(found)} journals, {total}{limit}, readable by nobody else")


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((each for each in (path, *path.absolute().parents) if each.exists()), Path("/"))


def _folder_faults(path: Path, closed: int) -> Iterator[Finding]:
    """What hinders us in a folder, or lets others in; `closed` are the permissions that nobody else may have.

    The home folder may be read: Prometheus, a user of its own, looks for `targets` there.
    """
    if not path.exists():
        return
    if not path.is_dir():
        yield problem(f"{path} is not a folder", "move it away, or set RALPH_OTEL_HOME to another folder")
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield problem(f"{path} cannot be read and written", f"chmod 700 {path}, as its owner")
    elif (mode := stat.S_IMODE(path.stat().st_mode)) & closed:
        yield warning(f"{path} is open to others ({mode:04o})", f"chmod {mode & ~closed:o} {path}")


def _file_faults(home: Path) -> Iterator[Finding]:
    wide, foreign = [], []
    for path in journals(home):
        try:
            status = path.lstat()
        except OSError:
            continue
        if stat.S_IMODE(status.st_mode) & 0o077:
            wide.append(path.name)
        if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
            foreign.append(path.name)
    if wide:
        yield warning(f"{_several(wide, 'journal')} open to others", f"chmod 600 {runs_folder(home)}/*.jsonl")
    if foreign:
        yield warning(
            f"{_several(foreign, 'journal')} somebody else's", f"chown them, or remove them: {runs_folder(home)}"
        )


def _several(names: list[str], thing: str) -> str:
    named = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    return f"{len(names)} {thing}{'' if len(names) == 1 else 's'} ({named}) {'is' if len(names) == 1 else 'are'}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def space(subject: Subject) -> Iterator[Finding]:
    """The room on the disk that holds the home folder."""
    free = shutil.disk_usage(_existing(subject.config.home)).free
    said = f"{size(free)} free for {subject.config.home}"
    remedy = "remove old journals, or set RALPH_OTEL_HOME to another disk"
    if free < _LITTLE:
        yield problem(said, remedy)
    else:
        yield warning(said, remedy) if free < _ENOUGH else ok(said)


class _OutOfTimeError(Exception):
    pass


def contents(subject: Subject) -> Iterator[Finding]:
    """The newest journals: lines that cannot be used, runs that were killed, runs that no endpoint has been sent."""
    config = subject.config
    read: dict[Path, Folded] = {}
    deadline = time.monotonic() + _SECONDS
    found = journals(config.home)[-_NEWEST:]
    for path in reversed(found):
        try:
            read[path] = _read(path, deadline)
        except _OutOfTimeError:
            break
        except OSError as error:
            yield problem(f"{path} cannot be read: {error.strerror}", "it must be a file of yours, and no link")
    faults = [*_bad(read), *_gaps(read), *_dead(read), *_not_sent(config, read)]
    yield from faults
    running = sum(folded.run.active and not gone(folded.run) for folded in read.values())
    if read:
        yield ok(f"the newest {len(read)} read, {running} without an end that may still run")
    else:
        yield ok("none could be read in time" if found else "none yet")


def _read(path: Path, deadline: float) -> Folded:
    def watch(line: Line, state: RunState) -> None:
        if time.monotonic() > deadline:
            raise _OutOfTimeError

    return fold(path, watch)


def _bad(read: dict[Path, Folded]) -> Iterator[Finding]:
    for path, folded in read.items():
        if folded.bad_lines:
            reason = folded.bad[0] if folded.bad else "too long"
            yield warning(
                f"{path.name}: {folded.bad_lines} lines cannot be used: {reason}",
                "see docs/journal.md; what wrote them must be mended",
            )


def _gaps(read: dict[Path, Folded]) -> Iterator[Finding]:
    for path, folded in read.items():
        if lost := folded.run.dropped_events:
            yield warning(
                f"{path.name}: {lost} events are missing; the disk was full", "figures of that run are too low"
            )


def _dead(read: dict[Path, Folded]) -> Iterator[Finding]:
    dead = [path.stem for path, folded in read.items() if folded.run.active and gone(folded.run)]
    if dead:
        yield warning(f"{_several(dead, 'run')} dead without an end", "the next loop that starts here writes it")


def _not_sent(config: MetricsConfig, read: dict[Path, Folded]) -> Iterator[Finding]:
    """Runs with spans of which no OTLP endpoint has taken any, see `ralph_otel.exporters.delivery.delivered`."""
    target = config.target(MetricsExportFormat.OTLP)
    if MetricsExportFormat.OTLP not in config.export_format or not otlp.wanted("traces", target):
        return
    sent = {path.name for path in (config.home / "delivered").glob("*/*")}
    waiting = [
        path.stem
        for path, folded in read.items()
        if folded.run.stopped is not None and folded.run.sampled and folded.run.root and path.stem not in sent
    ]
    if waiting:
        yield warning(
            f"{_several(waiting, 'finished run')} not known to any OTLP endpoint", "ralph-otel replay RUN --to ENDPOINT"
        )
