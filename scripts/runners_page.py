"""The tables of `docs/runners.md`: runner by version by signal, from what the tests have seen. Part of `make docs`.

See `seen_page`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from seen_page import ROOT, main, table

SEEN = ROOT / "tests" / "seen.json"
"""What the tests have seen: by table and by column, the signals; and their order. See `tests/support/seen.py`."""


def _table(columns: Mapping[str, Sequence[str]], signals: Sequence[str]) -> str:
    rows = [signal for signal in signals if any(signal in seen for seen in columns.values())]
    cells = [[signal, *("yes" if signal in seen else "" for seen in columns.values())] for signal in rows]
    return table([["", *columns], *cells])


if __name__ == "__main__":
    known = json.loads(SEEN.read_text(encoding="utf-8"))
    main("docs/runners.md", {name: _table(columns, known["signals"]) for name, columns in known["tables"].items()})
