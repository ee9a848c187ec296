"""`python -m ralph_otel.mixin ROOT`: write the repository's generated files anew; `make docs` does."""

from __future__ import annotations

import sys
from pathlib import Path

from ralph_otel.mixin.pages import checked_in

for name, text in checked_in().items():
    path = Path(sys.argv[1]) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
