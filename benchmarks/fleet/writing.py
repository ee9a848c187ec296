"""The loops themselves: a process that writes their journals while their stories happen, faster than they are told."""

from __future__ import annotations

import heapq
import time
from pathlib import Path

from benchmarks.fleet.story import Story
from ralph_otel.journal import Journal

_LATE = 0.02
"""Seconds that a line may come late: it is not worth a wait of its own."""


def write(stories: list[Story], folder: Path, speed: float) -> None:
    """Append every line to its loop's journal, `<run id>.jsonl`, when its time has come.

    Args:
        stories: what happens.
        folder: where the journals are.
        speed: seconds of a story that pass in one of ours.
    """
    journals = {story.run_id: Journal(folder / f"{story.run_id}.jsonl") for story in stories}
    begin, first = time.monotonic(), min(story.begin for story in stories)
    for line in heapq.merge(*(story.lines() for story in stories), key=lambda line: int(line["ts"])):
        wait = begin + (line["ts"] - first) / 1e9 / speed - time.monotonic()
        if wait > _LATE:
            time.sleep(wait)
        if not journals[line["loop"]].append(line):
            raise OSError(f"{folder}: a line could not be written")
    for journal in journals.values():
        journal.close()
