"""One name on every road: every metric of the catalog is the same in Prometheus whichever way it came there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from backends import Backends
from roads import ROADS, RUNNER, STATSD, VARIANTS, Arrived, Road, Variant, arrived, instance_of, recorders

from ralph_otel.catalog import COMMON, DURATION_BUCKETS, HEALTH, METRICS, RESOURCES, Kind, Metric
from ralph_otel.exporters.prometheus.names import Kind as PrometheusKind
from ralph_otel.exporters.prometheus.names import metric_name
from support.everything import expected

Look = Callable[[Road, Variant], Arrived]
Key = frozenset[tuple[str, str]]

ALWAYS = tuple(metric for metric in HEALTH if not metric.attributes)
"""Those of our own health that there are by any road; what waits and was given up, there is where OTLP is."""
EVERY = (*METRICS, *RESOURCES, *ALWAYS)
_KINDS: dict[Kind, PrometheusKind] = {
    Kind.COUNTER: "counter",
    Kind.OBSERVABLE_COUNTER: "counter",
    Kind.UPDOWN: "updowncounter",
    Kind.OBSERVABLE_UPDOWN: "updowncounter",
    Kind.GAUGE: "gauge",
    Kind.OBSERVABLE_GAUGE: "gauge",
    Kind.HISTOGRAM: "histogram",
}
_OF_THE_ROAD = {"__name__", "job", "instance", "exported_job", "exported_instance", "__type__", "__unit__"}
"""Labels that Prometheus needs, and those that say where from."""


def name_of(metric: Metric, variant: Variant) -> str:
    """What `docs/metrics.md` calls it: a histogram without `_bucket`."""
    return metric_name(metric.full_name(variant.prefix), metric.unit, _KINDS[metric.kind])


def names_of(metric: Metric, variant: Variant) -> set[str]:
    """The names of all its series."""
    name = name_of(metric, variant)
    return {f"{name}{part}" for part in ("_bucket", "_count", "_sum")} if metric.kind is Kind.HISTOGRAM else {name}


@pytest.fixture(scope="session")
def look(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """What arrives by a road of a variant; it is waited for once."""

    @cache
    def once(road: Road, variant: Variant) -> Arrived:
        return arrived(backends, road, variant, set().union(*(names_of(metric, variant) for metric in EVERY)))

    with recorders(backends, tmp_path_factory.mktemp("recorders")):
        yield once


on_every_road = pytest.mark.parametrize("road", ROADS, ids=lambda road: road.name)
in_every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)


def labels(sample_labels: dict[str, str]) -> dict[str, str]:
    """A sample's labels without those of the road."""
    return {name: value for name, value in sample_labels.items() if name not in _OF_THE_ROAD}


@on_every_road
@in_every_variant
@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_a_metric_has_one_name_one_type_and_our_labels(
    look: Look, road: Road, variant: Variant, metric: Metric
) -> None:
    found = look(road, variant)
    type_ = _KINDS[metric.kind].replace("updowncounter", "gauge")
    if road.typed:
        assert found.types.get(name_of(metric, variant).removesuffix("_total")) == type_
    own = {attribute.name for attribute in metric.attributes}
    common = set() if metric in HEALTH else {attribute.name for attribute in COMMON}
    for name in names_of(metric, variant):
        wanted = {each.replace(".", "_") for each in common | own} | ({"le"} if name.endswith("_bucket") else set())
        samples = found.of(name)
        assert samples, f"no {name}"
        for sample in samples:
            assert set(labels(dict(sample.labels))) == wanted


@on_every_road
@in_every_variant
@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.feeds], ids=lambda metric: metric.name)
def test_a_loops_metric_has_the_value_reckoned_by_hand(
    look: Look, road: Road, variant: Variant, metric: Metric
) -> None:
    found = look(road, variant)
    for name, wanted in reckoned(metric, variant, road).items():
        seen = {_key(labels(dict(sample.labels))): sample.value for sample in found.of(name)}
        known = {key: value for key, value in wanted.items() if value is not None}
        assert set(seen) == set(wanted)
        assert {key: seen[key] for key in known} == pytest.approx(known)


def reckoned(metric: Metric, variant: Variant, road: Road) -> dict[str, dict[Key, float | None]]:
    """The series that a metric comes to, by name and labels; None: either value will do."""
    name = name_of(metric, variant)
    series: dict[str, dict[Key, float | None]] = {each: {} for each in names_of(metric, variant)}
    loop = variant.loop_in_tags if road.by_tags else variant.loop
    for attributes, value in expected(loop, RUNNER)[metric.name].items():
        own = {label.replace(".", "_"): text for label, text in attributes}
        if metric.kind is not Kind.HISTOGRAM:
            series[name][_key(own)] = value
            continue
        count, total = value
        assert count == 1, "else it is not known in which bucket each value is"
        series[f"{name}_count"][_key(own)] = count
        series[f"{name}_sum"][_key(own)] = total
        for bound in (*(metric.buckets or DURATION_BUCKETS), math.inf):
            # The Collector makes these buckets of timers from others, of which one reaches over the bound.
            blurred = road.by_tags and metric.unit == "s" and total == bound
            series[f"{name}_bucket"][_key({**own, "le": str(bound)})] = None if blurred else float(total <= bound)
    return series


def _key(labels: dict[str, str]) -> Key:
    """Labels as they can be compared: a bound is `1` on some roads, `1.0` on others, and `+Inf`."""
    bound = {"le": str(float(labels["le"]))} if "le" in labels else {}
    return frozenset({**labels, **bound}.items())


@on_every_road
@in_every_variant
def test_our_own_health_has_the_value_reckoned_by_hand(look: Look, road: Road, variant: Variant) -> None:
    counts = {"events": len(variant.lines), "bad_lines": 1, "refused_series": 1}
    times = len(VARIANTS) if road is STATSD else 1
    found = look(road, variant)
    for metric in ALWAYS:
        [sample] = found.of(name_of(metric, variant))
        assert sample.value == times * counts.get(metric.name.removeprefix("ralph_otel."), 0), metric.name


@on_every_road
@in_every_variant
def test_what_is_observed_is_within_reason(look: Look, road: Road, variant: Variant) -> None:
    found = look(road, variant)
    for metric in RESOURCES:
        for sample in found.of(name_of(metric, variant)):
            assert 0 <= sample.value <= (1 if metric.unit == "1" else 2**40), metric.name
    [memory] = [
        sample.value
        for sample in found.of("process_memory_usage_bytes")
        if sample.labels["ralph_process_role"] == "runner"
        and sample.labels["ralph_loop_name"] == (variant.loop_in_tags if road.by_tags else variant.loop)
    ]
    assert memory > 10e6
    [age] = found.of(name_of(next(metric for metric in METRICS if metric.name == "iteration_age"), variant))
    started = next(line["ts"] for line in variant.lines if line.get("iteration") == 3) / 1e9
    assert age.value == pytest.approx(time.time() - started, abs=120)


@on_every_road
@in_every_variant
def test_a_counter_of_the_loops_own_has_one_name_too(look: Look, road: Road, variant: Variant) -> None:
    prefix = variant.prefix.replace(".", "_")
    [sample] = look(road, variant).of(f"{prefix}_widgets_total")
    loop = variant.loop_in_tags if road.by_tags else variant.loop
    assert labels(dict(sample.labels)) == {"ralph_loop_name": loop, "ralph_runner": RUNNER, "colour": "red"}
    assert sample.value == 7


@on_every_road
@in_every_variant
def test_a_loop_is_found_by_its_job_and_its_instance(look: Look, road: Road, variant: Variant) -> None:
    found = look(road, variant)
    own = [sample for sample in found.samples if sample.name.startswith(variant.prefix.replace(".", "_"))]
    assert {sample.labels[road.job] for sample in own} == {"ralph-loop"}
    if road.instance:
        assert {sample.labels[road.instance] for sample in own} == {instance_of(road, variant)}


@on_every_road
@in_every_variant
def test_there_are_no_other_names(look: Look, road: Road, variant: Variant) -> None:
    prefix = variant.prefix.replace(".", "_")
    known = set().union(*(names_of(metric, variant) for metric in METRICS)) | {f"{prefix}_widgets_total"}
    found = {sample.name for sample in look(road, variant).samples if sample.name.startswith(f"{prefix}_")}
    assert found == known
