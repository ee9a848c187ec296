"""How long journals are kept: those of ended runs go when they are too old or too many, the oldest first.

Never removed are a run that has no end yet, and one that a recorder has not sent whole (`ralph_otel.recorder.marks`).
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ralph_otel.recorder.marks import journals_of, recorders_folder
from ralph_otel.runs import ended, journals

_NOTES = ("delivered", "logged")
"""Folders with a file for each receiver and run: what of it has been delivered, and handed over."""


class _Kept(NamedTuple):
    written: float
    size: int
    path: Path


def remove_old(home: Path, age: float, size: int) -> list[str]:
    """Remove the journals that need not be kept, with the notes of what of them has been delivered.

    Args:
        home: the home folder.
        age: seconds since the last event, from which on a run goes; 0: never for its age.
        size: bytes that all journals may take together; 0: any number.

    Returns:
        The ids of the runs that are gone.
    """
    kept = sorted(_Kept(status.st_mtime, status.st_size, path) for path, status in _statuses(home))
    total, oldest = sum(each.size for each in kept), time.time() - age if age else 0.0
    needed = _needed(home)
    removed = []
    for each in kept:
        if each.written >= oldest and not 0 < size < total:
            break
        if each.path.absolute() not in needed and ended(each.path):
            with suppress(OSError):
                each.path.unlink()
                total -= each.size
                removed.append(each.path.stem)
    _forget(home, removed)
    return removed


def _statuses(home: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in journals(home):
        with suppress(OSError):
            found.append((path, path.stat()))
    return found


def _needed(home: Path) -> set[Path]:
    """The journals that a recorder records, or has not sent whole."""
    needed: set[Path] = set()
    for mark in recorders_folder(home).glob("*.jsonl"):
        with suppress(OSError, ValueError, TypeError, AttributeError):
            needed.update(path.absolute() for path in journals_of(map(json.loads, mark.read_bytes().splitlines())))
    return needed


def _forget(home: Path, removed: list[str]) -> None:
    gone = set(removed)
    for kind in _NOTES if gone else ():
        for note in (home / kind).glob("*/*"):
            if note.name in gone:
                with suppress(OSError):
                    note.unlink()
