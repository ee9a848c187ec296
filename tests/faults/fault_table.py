"""What the suite sees, kept in `tests/faults/seen.json`; `docs/reliability.md` shows it.

A test that has seen something else than what is kept fails; with SEEN=write in the environment it keeps it instead.
Times are kept for the reader, and not compared.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("seen.json")
"""By section, by fault and by telemetry: a `Cell`."""
OURS, BY_HAND = "ralph-otel", "by hand"


class Arrived(NamedTuple):
    """Iterations at the receiver: spans, and what the counters say, of all senders together."""

    spans: int
    counted: int


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    Args:
        section: which table.
        name: what happens.
        done: what was done, in a few words.
    """

    section: str
    name: str
    done: str


def stages(**arrived: Arrived) -> dict[str, list[int]]:
    """What had arrived by and by, without stages that brought nothing; arguments: `at_once`, `next_start` …"""
    kept: dict[str, list[int]] = {}
    for name, each in arrived.items():
        if list(each) not in kept.values():
            kept[name.replace("_", " ")] = list(each)
    return kept


def assert_known(
    fault: Fault,
    telemetry: str,
    emitted: str,
    arrived: dict[str, list[int]] | str,
    felt: str,
    seconds: float | None = None,
) -> None:
    """What has been seen is what is kept.

    Args:
        fault: the row.
        telemetry: `OURS` or `BY_HAND`.
        emitted: how many iterations there were, by the program's own account.
        arrived: see `stages`; or what there is to be said of it.
        felt: what the host felt.
        seconds: by how much its end was delayed.
    """
    cell: dict[str, Any] = {"emitted": emitted, "arrived": arrived, "felt": felt}
    if os.environ.get("SEEN") == "write":
        _keep(fault, telemetry, {**cell, **({"seconds": round(seconds)} if seconds is not None else {})})
    else:
        kept = json.loads(FILE.read_text())[fault.section][fault.name][telemetry]
        kept.pop("seconds", None)
        assert cell == kept, "`make faults SEEN=write` keeps what is seen now"


def _keep(fault: Fault, telemetry: str, cell: dict[str, Any]) -> None:
    with FILE.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known = json.load(file)
        row = known.setdefault(fault.section, {}).setdefault(fault.name, {})
        row.update({"done": fault.done, telemetry: cell})
        file.seek(0)
        file.truncate()
        file.write(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
