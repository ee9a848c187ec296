"""The tables of `docs/reliability.md`: fault by fault, from what the tests have seen. Part of `make docs`.

The rest of the page is written by hand; a table stands between two comments that name it. With `--check` nothing is
written; the exit code is 1 where that would change the page.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = Path("docs/reliability.md")
SEEN = ROOT / "tests" / "faults" / "seen.json"
"""What the tests have seen: by section and by fault, see `tests/faults/fault_table.py`."""
OURS, BY_HAND = "ralph-otel", "by hand"
_STAGES = {"at once": "at once", "next start": "with the next start", "replay": "by `ralph-otel replay`"}


def fresh(page: str) -> str:
    """The page with its tables made anew.

    Raises:
        LookupError: it has a place for a section that is not known.
    """
    known = json.loads(SEEN.read_text(encoding="utf-8"))

    def table(place: re.Match[str]) -> str:
        return f"<!-- seen: {place[1]} -->\n{_table(known[place[1]])}\n<!-- end -->"

    return re.sub(r"<!-- seen: (.+?) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def _table(faults: Mapping[str, Any]) -> str:
    compared = any(BY_HAND in row for row in faults.values())
    who = (OURS, BY_HAND) if compared else (OURS,)
    head = ["what happens", "what was done", "emitted"]
    head += [f"{what}{f', {each}' if compared else ''}" for what in ("arrived", "the host felt") for each in who]
    rows = [head, ["---"] * len(head)]
    for name, row in faults.items():
        cells = [row.get(each) for each in who]
        emitted = row.get(OURS, row.get(BY_HAND))["emitted"]
        rows.append([name, row["done"], emitted, *map(_arrived, cells), *map(_felt, cells)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _arrived(cell: Mapping[str, Any] | None) -> str:
    """What had arrived, stage by stage."""
    if cell is None or not cell["arrived"]:
        return ""
    arrived: Mapping[str, list[int]] | str = cell["arrived"]
    if isinstance(arrived, str):
        return arrived
    texts = []
    for stage, (spans, counted) in arrived.items():
        if stage not in _STAGES:
            texts += [f"{spans} spans with {stage}"] if spans else []
            continue
        number = str(spans or "none") if spans == counted else f"{spans} spans and {counted} counted"
        texts.append(number if len(arrived) == 1 else f"{number} {_STAGES[stage]}")
    return "; ".join(texts)


def _felt(cell: Mapping[str, Any] | None) -> str:
    """What the host felt; a delay with its seconds, where these are not the same each time."""
    if cell is None:
        return ""
    felt: str = cell["felt"]
    return f"its end {cell['seconds']} s {felt}" if felt.startswith("later") else felt


if __name__ == "__main__":
    path = ROOT / PAGE
    before = path.read_text(encoding="utf-8")
    after = fresh(before)
    if "--check" in sys.argv:
        sys.exit(None if after == before else f"{PAGE} is stale; `make docs` writes its tables anew")
    path.write_text(after, encoding="utf-8")
