"""How fast a journal becomes figures.

A journal on the disk (15 events an iteration) is read, decoded, checked and folded, against `json.loads` of the same
lines and nothing else. Processor time of one thread.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from benchmarks.rounds import alternate, middle, ratio, timed
from benchmarks.workload import folder, write_journal
from ralph_otel.journal import Follower, decode
from ralph_otel.state import States


def fold(path: Path) -> States:
    """The state after the last line."""
    follower, states = Follower(path), States()
    while lines := follower.read():
        for line in lines:
            states.apply(decode(line))
    follower.close()
    return states


def measure(quick: bool = False) -> dict[str, float]:
    """Fold a journal.

    Returns:
        `events_per_s`, `loads_per_s` (lines), and `ratio`, the speed of the fold ÷ that of `json.loads`.
    """
    iterations, rounds = (20, 2) if quick else (4000, 9)
    with folder() as home:
        path = home / "run.jsonl"
        events = write_journal(path, iterations)
        if fold(path).metrics().total_iterations != iterations:
            raise RuntimeError("the fold has lost iterations")
        lines = path.read_bytes().splitlines()
        took = alternate(
            {
                "fold": partial(timed, [partial(fold, path)]),
                "loads": partial(timed, [lambda: [json.loads(line) for line in lines]]),
            },
            rounds,
        )
    return {
        "events_per_s": events / middle(took, "fold"),
        "loads_per_s": len(lines) / middle(took, "loads"),
        "ratio": ratio(took, "loads", "fold"),
    }
