"""The sizing page: kept figures come back whole, its arithmetic is right, and it is the one that they make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.fleet.arrival import Arrival
from benchmarks.fleet.fleet import Plan, Result
from benchmarks.fleet.measured import keep, kept
from benchmarks.fleet.page import PAGE, page
from benchmarks.fleet.units import Fleet, reckon, units_of
from benchmarks.fleet.usage import Usage

MIB = 2**20


def result(loops: int, road: str = "otlp") -> Result:
    """A run whose costs by the piece are round numbers."""
    memory = Usage(loops * 0.1, loops * MIB, loops * MIB, 2)
    arrival = Arrival(
        loops=loops, series=loops * 200, points=loops * 50, buckets=loops * 150, export_bytes=loops * 10_240
    )
    arrival.fold_cpu = loops * 0.04
    return Result(
        Plan(loops, road=road),
        arrival,
        events=loops * 400,
        accepted=loops * 1_000.0,
        samples=loops * 4_000.0,
        head_series=loops * 200.0,
        recorder_base=0,
        tiers=dict.fromkeys(("recorders", "agents", "gateway", "Prometheus"), memory),
    )


def test_figures_that_are_kept_come_back_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    for each in (result(100), result(10), result(100, "scrape")):
        keep(each, file)
    assert [each.result for each in kept(file)] == [result(10), result(100), result(100, "scrape")]


def test_a_size_that_is_measured_again_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    keep(result(10), file)
    keep(replace(result(10), events=77), file)
    assert [each.result.events for each in kept(file)] == [77]


def test_costs_by_the_piece_are_the_quotients() -> None:
    one = units_of(result(10), result(1000))
    assert (one.series, one.points, one.bucket_share, one.export_bytes) == (200, 50, 0.75, 10_240)
    assert one.events == pytest.approx(400 / 0.8)
    assert one.recorder_event == pytest.approx(100e-6)
    assert one.recorder_point == pytest.approx(60e-6)  # what the events did not take
    assert one.agent_point == one.gateway_point == pytest.approx(100e-6)
    assert one.store_sample == pytest.approx(25e-6)
    assert one.store_series == one.gateway_series == pytest.approx(MIB / 200)


def test_what_is_reckoned_is_the_product_that_is_shown() -> None:
    one = units_of(result(10), result(1000))
    rows = {row.what: row for row in reckon(Fleet(120_000, interval=60.0, hours=3.0, machines=1000), one)}
    assert rows["data points"].value == "100,000 /s"
    assert rows["samples"].value == "400,000 /s"
    assert rows["all agents"].value == "10.0 cores, on 1,000 machines 1.00 % of a core each"
    assert rows["all gateways"].value == "10.0 cores; at half load, with 4 cores each: 5"
    assert rows["series of runs that go on"].value == "24.0 million"
    assert rows["new series in a day"].value == "192 million"
    assert rows["the store's processors, one copy, without queries"].value == "10.0 cores"


def test_the_page_needs_two_sizes(tmp_path: Path) -> None:
    keep(result(10), tmp_path / "measured.json")
    with pytest.raises(ValueError, match="two sizes"):
        page(kept(tmp_path / "measured.json"))


def test_what_was_lost_stands_out_on_the_page(tmp_path: Path) -> None:
    file, lossy = tmp_path / "measured.json", result(1000)
    lossy.arrival.totals["reboots"] = (12.0, 11.0)
    for each in (result(10), lossy):
        keep(each, file)
    assert "**11 of 12**" in page(kept(file))


def test_the_page_is_the_one_of_the_kept_figures_and_nothing_was_lost_but_by_scrapes() -> None:
    measured = kept()
    assert {1000} <= {each.result.plan.loops for each in measured}
    lossless = [each.result.arrival for each in measured if each.result.plan.road != "scrape"]
    assert [arrival.shown for arrival in lossless if not arrival.complete] == []
    assert PAGE.read_text(encoding="utf-8") == page(measured), "run python -m benchmarks.fleet --write"
