"""The journal: one file a run, one JSON object a line, each written with one append.

The journal is the only truth: what is in it survives a kill, and everything shown or exported is a fold over it.

    places.py    where journals are, and run ids
    lines.py     `encode`, `decode`: a line as bytes and as an event's dict
    writing.py   `Journal` appends, safely from several threads and processes
    held.py      `Held`: lines that a journal cannot take now wait in memory
    reading.py   `Follower` reads on from where it was; `has_end`

The format is a public protocol, see `docs/journal.md`. Standard library only, Python 3.9 and later.
"""

from ralph_otel.journal.held import Held
from ralph_otel.journal.lines import BadLine, decode, encode
from ralph_otel.journal.places import create_folder, home, new_run_id, runs_folder, usable_run_id
from ralph_otel.journal.reading import MAX_LINE, Follower, has_end
from ralph_otel.journal.writing import Journal

__all__ = [
    "MAX_LINE",
    "BadLine",
    "Follower",
    "Held",
    "Journal",
    "create_folder",
    "decode",
    "encode",
    "has_end",
    "home",
    "new_run_id",
    "runs_folder",
    "usable_run_id",
]
