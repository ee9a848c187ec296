"""The fleet, with ten loops: Collectors are killed and restarted, and all of it arrives."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SECONDS = 100


@pytest.mark.parametrize("road", ["otlp", "remote-write"])
def test_ten_loops_arrive_whole_though_collectors_are_killed(programs: dict[str, Path], road: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fleet", "--quick", "--road", road],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    compared = re.search(r"([\d,]+) series compared, (\d+) differ; (\d+) counters went back", done.stdout)
    assert compared is not None, done.stdout
    assert int(compared[1].replace(",", "")) > 1000
    assert compared.groups()[1:] == ("0", "0")
    assert done.stdout.count("SIGKILL") == done.stdout.count("SIGTERM") == 2
    assert "✗" not in done.stdout
