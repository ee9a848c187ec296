"""Runners of versions that nobody has tested, and packages that only have a runner's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted import launched
from workplace import Workplace

LOOP = """
import subprocess

def run_loop(max_iter=20, root=None):
    for _ in range(max_iter):
        subprocess.run(["claude", "-p", "go on"], check=True)
    return "the end"
"""


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A place that has a package `ralph.core.loop`."""
    made = Workplace(tmp_path / "p", [{}])
    package = made.folder / "packages" / "ralph" / "core"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "loop.py").write_text(LOOP)
    return made


def install(place: Workplace, distribution: str, version: str) -> None:
    information = place.folder / "packages" / f"{distribution.replace('-', '_')}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")


PROGRAM = "from ralph.core.loop import run_loop; print(run_loop(2))"


def test_a_newer_version_is_seen_as_far_as_it_fits_and_one_line_says_so(place: Workplace) -> None:
    install(place, "ralph-loop", "9.0")
    done = place.run(launched("python3", "-c", PROGRAM), PYTHONPATH=str(place.folder / "packages"))

    assert done.returncode == 0
    assert done.stdout.endswith("the end\n")
    [line] = [line for line in done.stderr.splitlines() if line != "a warning"]
    assert line.startswith("ralph-otel: ralph-loop 9.0: not seen: iterations, since ralph.core.loop.run_iteration(")
    [loop] = place.lines("loop.started")
    assert (loop["runner"], loop["runner_version"], loop["max_iterations"]) == ("ralph-loop", "9.0", 2)
    assert place.lines()[-1]["reason"] == "error"  # what its result means is not known


@pytest.mark.parametrize("distribution", ["ralph-any", "ralph"])
def test_a_package_of_the_same_name_is_not_taken_for_a_runner(place: Workplace, distribution: str) -> None:
    install(place, distribution, "1.0")
    done = place.run(launched("python3", "-c", PROGRAM), PYTHONPATH=str(place.folder / "packages"))

    assert done.stdout.endswith("the end\n")
    assert [line.get("runner") for line in place.lines("loop.started")] == ["shell"]  # by its agents alone
