"""The benchmarks run and give figures. What the figures are depends on the machine, and no test asks for it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks"
PAGE = ROOT / "docs" / "performance.md"
MEASUREMENTS = sorted(path.stem for path in FOLDER.glob("*.py") if "\ndef measure(" in path.read_text(encoding="utf-8"))

pytestmark = [
    pytest.mark.skipif(not MEASUREMENTS, reason="an unpacked source distribution has no benchmarks"),
    pytest.mark.timeout(600),  # a machine that is busy takes far longer than half a minute
]


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=500
    )


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, float]]:
    """Measurement to its figures, each measured in the least number of rounds."""
    done = benchmarks("--quick", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def test_every_measurement_is_in_the_table_and_runs(figures: dict[str, dict[str, float]]) -> None:
    assert sorted(figures) == MEASUREMENTS


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_its_figures_are_finite_and_positive(name: str, figures: dict[str, dict[str, float]]) -> None:
    values = {key: value for key, value in figures[name].items() if key != "growth_percent"}
    assert values
    assert all(math.isfinite(value) and value > 0 for value in values.values()), values


def test_memory_that_grows_is_a_percentage(figures: dict[str, dict[str, float]]) -> None:
    memory = figures["memory"]
    assert memory["growth_percent"] == pytest.approx((memory["last_mb"] / memory["first_mb"] - 1) * 100)


def test_a_missed_target_is_the_exit_code_when_it_is_asked_for() -> None:
    done = benchmarks("--quick", "--check", "child_tree")
    assert "÷ psutil" in done.stdout
    assert done.returncode == ("✗" in done.stdout), done.stderr


def test_the_page_is_written_of_whole_runs_only() -> None:
    for arguments in (("--quick",), ("fold",)):
        done = benchmarks("--write", *arguments)
        assert (done.returncode, "Error: --write needs a whole run" in done.stderr) == (2, True)


def test_the_page_has_every_row_of_the_table() -> None:
    program = "from benchmarks.table import TABLE; print(*(f'{row.name}|{row.target}' for row in TABLE), sep='\\n')"
    rows = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    page = [[cell.strip() for cell in line.split("|")] for line in PAGE.read_text(encoding="utf-8").splitlines()]
    shown = [(cells[1], cells[3]) for cells in page if len(cells) == 6]
    assert shown[2:] == [tuple(row.split("|")) for row in rows.splitlines()]
