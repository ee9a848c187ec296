"""What has been measured, kept in `measured.json` beside this file: the latest run of each size and road."""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.fleet.arrival import Arrival
from benchmarks.fleet.fleet import Plan, Result
from benchmarks.fleet.usage import Usage
from benchmarks.report import processor

FILE = Path(__file__).parent / "measured.json"


@dataclass(frozen=True)
class Measured:
    """A result, and when and on what it was measured."""

    result: Result
    day: str
    machine: str


def keep(result: Result, file: Path = FILE) -> None:
    """Put a result in place of the one before of the same size and road."""
    now = Measured(result, f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}", f"{processor()}, {os.cpu_count()} cores")
    others = [each for each in kept(file) if _which(each) != _which(now)]
    text = json.dumps([asdict(each) for each in sorted([*others, now], key=_which)], indent=1)
    file.write_text(text + "\n", encoding="utf-8")


def kept(file: Path = FILE) -> list[Measured]:
    """All of them, by road and size; [] where nothing has been measured."""
    if not file.exists():
        return []
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return [Measured(_result(each["result"]), each["day"], each["machine"]) for each in found]


def _which(measured: Measured) -> tuple[str, int]:
    return measured.result.plan.road, measured.result.plan.loops


def _result(plain: dict[str, Any]) -> Result:
    arrival = {**plain["arrival"], "totals": {name: tuple(pair) for name, pair in plain["arrival"]["totals"].items()}}
    tiers = {name: Usage(**usage) for name, usage in plain["tiers"].items()}
    return Result(**{**plain, "plan": Plan(**plain["plan"]), "arrival": Arrival(**arrival), "tiers": tiers})
