"""The tables of `docs/runners.md`: runner by version by signal, from what the tests have seen. Part of `make docs`.

The rest of the page is written by hand; a table stands between two comments that name it. With `--check` nothing is
written; the exit code is 1 where that would change the page.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = Path("docs/runners.md")
SEEN = ROOT / "tests" / "seen.json"
"""What the tests have seen: by table and by column, the signals; and their order. See `tests/support/seen.py`."""


def fresh(page: str) -> str:
    """The page with its tables made anew."""
    known = json.loads(SEEN.read_text(encoding="utf-8"))
    for name, columns in known["tables"].items():
        rows = [signal for signal in known["signals"] if any(signal in seen for seen in columns.values())]
        cells = [["", *columns], ["---"] * (len(columns) + 1)]
        cells += [[signal, *("yes" if signal in seen else "" for seen in columns.values())] for signal in rows]
        table = "\n".join("| " + " | ".join(row) + " |" for row in cells)
        before, begin, rest = page.partition(f"<!-- seen: {name} -->\n")
        page = f"{before}{begin}{table}\n<!-- end -->{rest.partition('<!-- end -->')[2]}" if begin else page
    return page


if __name__ == "__main__":
    path = ROOT / PAGE
    before = path.read_text(encoding="utf-8")
    after = fresh(before)
    if "--check" in sys.argv:
        sys.exit(None if after == before else f"{PAGE} is stale; `make docs` writes its tables anew")
    path.write_text(after, encoding="utf-8")
