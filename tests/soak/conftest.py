"""The parts of `benchmarks/soak`. An unpacked source distribution has no benchmarks, and leaves these tests out."""

from __future__ import annotations

from pathlib import Path

collect_ignore_glob = [] if (Path(__file__).parents[2] / "benchmarks" / "soak").is_dir() else ["test_*.py"]
