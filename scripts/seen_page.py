"""Pages with tables of what the tests have seen: the rest is written by hand; each table is between two comments.

A script for such a page calls `main`. With `--check` it writes nothing; the exit code is 1 where that would change the
page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


def table(rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; the first row is its head."""
    head, *others = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *others))


def main(page: str, tables: Mapping[str, str]) -> None:
    """Put tables into a page, or see whether they are there.

    Args:
        page: its path in the repository.
        tables: by the names that the page has for them.

    Raises:
        LookupError: the page has a place for a table that is not known.
    """
    path = ROOT / page
    before = path.read_text(encoding="utf-8")

    def filled(place: re.Match[str]) -> str:
        return f"<!-- seen: {place[1]} -->\n{tables[place[1]]}\n<!-- end -->"

    after = re.sub(r"<!-- seen: (.+?) -->\n.*?<!-- end -->", filled, before, flags=re.DOTALL)
    if "--check" in sys.argv:
        sys.exit(None if after == before else f"{page} is stale; `make docs` writes its tables anew")
    path.write_text(after, encoding="utf-8")
