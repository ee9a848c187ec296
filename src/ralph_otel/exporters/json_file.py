"""The aggregate as JSON: a file that is rewritten each time, or lines on stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ralph_otel.files import write_atomically
from ralph_otel.model import LoopMetrics


def write_json(target: str | None, metrics: LoopMetrics) -> None:
    """Write the aggregate: a file is replaced as a whole; without one, a line goes to stderr.

    Raises:
        OSError: it cannot be written.
    """
    if target is None:
        print(json.dumps(metrics.to_dict()), file=sys.stderr, flush=True)  # noqa: T201 — what the user asked for
        return
    write_atomically(Path(target).expanduser(), (metrics.to_json() + "\n").encode(), 0o600)
