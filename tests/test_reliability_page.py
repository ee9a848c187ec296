"""The page of faults shows what the tests have seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_shows_what_was_seen() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "reliability_page.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
