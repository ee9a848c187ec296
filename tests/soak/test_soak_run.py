"""The soak itself, a short one: real processes, kills, faults, and everything accounted for."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.soak.soak import Plan, run


@pytest.mark.integration
def test_a_short_soak_loses_nothing(tmp_path: Path) -> None:
    plan = Plan(iterations=3000, minutes=0.1, every=0.5, seed="26")  # faults from the first request on
    result = run(plan, tmp_path)
    audits = [result.audits["lives on"], *result.repaired.values()]
    assert [each.wrong for each in audits] == [[], [], []]
    assert (result.audits["lives on"].iterations, result.scraped, result.own["iterations"]) == (3000, 3000, 3000)
    assert sum(each.iterations for each in audits) > 3000
    assert (result.waiting, result.counted) == (0, True)
    assert len(result.answers) > 1, "no fault has happened"
    assert min(result.ends["SIGKILL"], result.ends["SIGTERM"]) >= 1
