"""The runs there are: journals in the home folder, found by what a person types."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ralph_otel.events import Line
from ralph_otel.journal import BadLine, Follower, decode, has_end, runs_folder
from ralph_otel.notices import notice
from ralph_otel.own_files import open_to_read
from ralph_otel.state import RunState, States

LATEST = "latest"
_SHOWN = 5
"""Reasons for skipped lines that are kept."""


class RunError(LookupError):
    """No run, or more than one, is meant by what was typed; the text says so in one line."""


def journals(home: Path) -> list[Path]:
    """The journals in a home folder, the newest run last."""
    try:
        return sorted((path for path in runs_folder(home).glob("*.jsonl") if path.is_file()), key=_age)
    except OSError:
        return []


def _age(path: Path) -> tuple[str, int, str]:
    """Run ids begin with their time; of the same second, the one written last is the newest, else the higher number."""
    try:
        return path.stem[:16], path.stat().st_mtime_ns, path.stem
    except OSError:
        return path.stem[:16], 0, path.stem


def ended(path: Path) -> bool:
    """Whether a journal says its end, see `has_end`; not where it cannot be read."""
    try:
        return has_end(path)
    except OSError:
        return False


def find(run: str, home: Path) -> Path:
    """The journal that is meant: a run id, an unambiguous part of one, `latest`, or a file's path.

    A part is the beginning of an id, or of what follows a dash in it: of `20261101T000000Z-bce148` also `bce148`.

    Raises:
        RunError: there is none, or several; the text names them.
    """
    if os.sep in run or run.endswith(".jsonl"):
        path = Path(run).expanduser()
        if not path.is_file():
            raise RunError(f"no journal {run}; `ralph-otel runs` lists the runs there are")
        return path
    return find_by_id(run, home)


def find_by_id(run: str, home: Path) -> Path:
    """The same, but never a path: what somebody asks for who is to see the home folder only.

    Raises:
        RunError: as for `find`.
    """
    known = journals(home)
    if run == LATEST:
        if not known:
            raise RunError(f"no run in {runs_folder(home)}; RALPH_OTEL_HOME says where else to look")
        return _newest(known)
    found = matching(run, known)
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(path.stem for path in found[:5]) + (" …" if len(found) > 5 else "")
        raise RunError(f"{run!r} may be any of {len(found)} runs ({several}); type more of the id")
    raise RunError(f"no run {run!r} in {runs_folder(home)}; `ralph-otel runs` lists the runs there are")


def _newest(known: Sequence[Path]) -> Path:
    """The last of the journals that can be read; of none, the last one: who reads it will say why not."""
    for path in reversed(known):
        try:
            open_to_read(path).close()
        except OSError as error:
            notice(f"cannot read {path}: {error.strerror}")
        else:
            return path
    return known[-1]


def matching(part: str, known: Sequence[Path]) -> list[Path]:
    """The journals that a part of a run id may mean: those it fits best."""
    fits: tuple[Callable[[str], bool], ...] = (
        lambda run_id: run_id == part,
        lambda run_id: run_id.startswith(part),
        lambda run_id: run_id.endswith(f"-{part}"),
        lambda run_id: f"-{part}" in run_id,
    )
    found = ([path for path in known if fit(path.stem)] for fit in fits if part)
    return next(filter(None, found), [])


_TIMED = re.compile(r"\d{8}T\d{6}Z-(.+)")


def short_ids(run_ids: Sequence[str]) -> dict[str, str]:
    """For each run id what a person may type instead, see `find`: what follows the time in it, if no other has that."""
    ends = Counter(end for run_id in run_ids for end in _ends(run_id))
    ordered = sorted(run_ids)

    def short(run_id: str) -> str:
        timed = _TIMED.fullmatch(run_id)
        if timed is None or ends[timed[1]] != 1:
            return run_id
        place = bisect_left(ordered, timed[1])
        return run_id if place < len(ordered) and ordered[place].startswith(timed[1]) else timed[1]

    return {run_id: short(run_id) for run_id in run_ids}


def _ends(run_id: str) -> Iterator[str]:
    """What `find` would take for the end of a run id: what follows a dash in it."""
    place = run_id.find("-")
    while place >= 0:
        yield run_id[place + 1 :]
        place = run_id.find("-", place + 1)


@dataclass
class Folded:
    """A journal, read to its end.

    Attributes:
        states: its runs; a file holds one, unless somebody joined several.
        lines: lines that were folded.
        bad: the first few reasons why a line was skipped.
        bad_lines: how many were.
        torn: whether the last line has no end.
    """

    states: States = field(default_factory=States)
    lines: int = 0
    bad: list[str] = field(default_factory=list)
    bad_lines: int = 0
    torn: bool = False

    @property
    def run(self) -> RunState:
        """The state of the file's run; of several, the last one's; of none, an empty one."""
        return next(reversed(self.states.by_run.values()), RunState())


def fold(path: Path, record: Callable[[Line, RunState], None] | None = None) -> Folded:
    """Read a journal to its end.

    Args:
        path: the journal.
        record: called with every completed line that says anything new, and its run's state after it.

    Raises:
        OSError: the file cannot be read.
    """
    folded = Folded()
    follower = Follower(path)
    try:
        while (raws := follower.read()) or not follower.at_end:
            for raw in filter(bytes.strip, raws):  # not the empty ones
                _fold_line(raw, folded, record)
        folded.bad_lines += follower.oversized
        folded.torn = bool(follower.torn.strip())
    finally:
        follower.close()
    return folded


def _fold_line(raw: bytes, folded: Folded, record: Callable[[Line, RunState], None] | None) -> None:
    try:
        line = decode(raw)
    except BadLine as error:
        folded.bad_lines += 1
        if len(folded.bad) < _SHOWN:
            folded.bad.append(str(error))
        return
    folded.lines += 1
    state = folded.states.apply(line)
    if record is not None and state is not None:
        record(line, state)
