"""Python programs that are started anew for each measurement, without the variables of whoever measures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_FOREIGN = ("OTEL_", "RALPH_OTEL_", "TRACEPARENT", "TRACESTATE", "BAGGAGE")


def clean() -> dict[str, str]:
    """This process's environment without what would change ours or the SDK's behaviour."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def run(program: str, home: Path, **variables: str) -> str:
    """Run a program, and return what it printed.

    Raises:
        RuntimeError: it failed; the text ends with the last line of what it said on stderr.
    """
    environment = {**clean(), "RALPH_OTEL_HOME": str(home), **variables}
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=home, capture_output=True, timeout=3600)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.decode().strip().rpartition(chr(10))[2]}")
    return done.stdout.decode()
