"""The tables of `docs/reliability.md`: fault by fault, from what the tests have seen. Part of `make docs`.

See `seen_page`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from seen_page import ROOT, main, table

SEEN = ROOT / "tests" / "faults" / "seen.json"
"""What the tests have seen: by section and by fault, see `tests/faults/fault_table.py`."""
OURS, BY_HAND = "ralph-otel", "by hand"
_STAGES = {"at once": "at once", "next start": "with the next start", "replay": "by `ralph-otel replay`"}


def _table(faults: Mapping[str, Any]) -> str:
    compared = any(BY_HAND in row for row in faults.values())
    who = (OURS, BY_HAND) if compared else (OURS,)
    head = ["what happens", "what was done", "emitted"]
    head += [f"{what}{f', {each}' if compared else ''}" for what in ("arrived", "the host felt") for each in who]
    rows = [head]
    for name, row in faults.items():
        cells = [row.get(each) for each in who]
        emitted = row.get(OURS, row.get(BY_HAND))["emitted"]
        rows.append([name, row["done"], emitted, *map(_arrived, cells), *map(_felt, cells)])
    return table(rows)


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
    known = json.loads(SEEN.read_text(encoding="utf-8"))
    main("docs/reliability.md", {section: _table(faults) for section, faults in known.items()})
