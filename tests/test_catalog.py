"""The one table against what it is made for: OpenTelemetry's rules, Prometheus' names, the events it speaks of."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from ralph_otel.catalog import (
    BY_NAME,
    COMMON,
    DURATION_BUCKETS,
    HEALTH,
    LOGS,
    METRICS,
    PERCENT_BUCKETS,
    RESOURCES,
    SPANS,
    Attribute,
    Kind,
    Metric,
)
from ralph_otel.catalog import attributes as attribute_module
from ralph_otel.catalog.spans import LEARNT, SUMMED
from ralph_otel.events import BY_TYPE, fields_of
from ralph_otel.exporters.prometheus import names
from ralph_otel.exporters.prometheus.names import catalog_name

ALL = (*METRICS, *RESOURCES, *HEALTH)
UNBOUNDED = {"ralph.run.id", "ralph.session.id", "ralph.iteration.number", "gen_ai.conversation.id", "process.pid"}


def fields_named(type_: str) -> set[str]:
    return {field.name for field in fields_of(BY_TYPE[type_])}


def test_names_are_all_different_also_in_prometheus() -> None:
    assert len(BY_NAME) == len(ALL)
    prometheus = Counter(catalog_name(metric, "ralph_loop") for metric in ALL)
    assert max(prometheus.values()) == 1


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_every_metric_keeps_opentelemetrys_rules(metric: Metric) -> None:
    name = metric.full_name()
    assert re.fullmatch(r"[a-z][a-z0-9_.]{0,254}", name)
    assert "total" not in name
    assert name.startswith(("ralph_loop.", "ralph_otel.", "ralph.", "process.", "system."))
    assert metric.full_name("mine.own").startswith("mine.own.") is not metric.absolute
    assert metric.description.endswith(".")
    assert metric.unit
    keys = [attribute.name for attribute in metric.attributes]
    assert len(set(keys)) == len(keys)
    assert not UNBOUNDED & set(keys)


@pytest.mark.parametrize(
    ("name", "prometheus"),
    [
        ("iterations", "ralph_loop_iterations_total"),
        ("iteration_duration", "ralph_loop_iteration_duration_seconds"),
        ("iterations_with_progress", "ralph_loop_iterations_with_progress_total"),
        ("active_sessions", "ralph_loop_active_sessions"),
        ("runs", "ralph_loop_runs_total"),
        ("sessions_created", "ralph_loop_sessions_created_total"),
        ("reboots", "ralph_loop_reboots_total"),
        ("context_at_reboot", "ralph_loop_context_at_reboot_percent"),
        ("context_usage", "ralph_loop_context_usage_percent"),
        ("tests", "ralph_loop_tests"),
        ("test_pass_ratio", "ralph_loop_test_pass_ratio"),
        ("test_runs", "ralph_loop_test_runs_total"),
        ("agent_duration", "ralph_loop_agent_duration_seconds"),
        ("tokens", "ralph_loop_tokens_total"),
        ("cost", "ralph_loop_cost_USD_total"),
        ("iteration_age", "ralph_loop_iteration_age_seconds"),
        ("last_iteration_timestamp", "ralph_loop_last_iteration_timestamp_seconds"),
        ("ralph_otel.events", "ralph_otel_events_total"),
    ],
)
def test_the_names_in_prometheus_are_those_that_dashboards_use(name: str, prometheus: str) -> None:
    assert catalog_name(BY_NAME[name], "ralph_loop") == prometheus


def test_the_prometheus_names_are_made_for_the_kinds_there_are() -> None:
    for metric in ALL:
        kind: names.Kind = (
            "counter" if "counter" in metric.kind and "up" not in metric.kind
            else "histogram" if metric.kind is Kind.HISTOGRAM else "gauge"
        )  # fmt: skip
        assert catalog_name(metric, "p") == names.metric_name(metric.full_name("p"), metric.unit, kind)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_feed_is_an_event_that_gives_exactly_the_metrics_attributes(metric: Metric) -> None:
    assert metric.feeds or metric.kind is Kind.OBSERVABLE_GAUGE
    for feed in metric.feeds:
        assert feed.event in BY_TYPE
        assert list(feed.attributes) == [attribute.name for attribute in metric.attributes]
    if metric.follows:
        assert metric.kind in (Kind.COUNTER, Kind.UPDOWN)
    if metric.buckets is not None:
        assert metric.kind is Kind.HISTOGRAM


def test_bounds_grow_and_are_the_seeds_and_more() -> None:
    assert DURATION_BUCKETS[:12] == (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
    assert DURATION_BUCKETS[12:] == (300.0, 600.0, 1800.0, 3600.0)
    assert tuple(range(10, 101, 10)) == PERCENT_BUCKETS
    assert all(type(bound) is float for bound in (*DURATION_BUCKETS, *PERCENT_BUCKETS))
    assert [metric.name for metric in METRICS if metric.unit == "%" and metric.buckets] == ["context_at_reboot"]


def test_every_attribute_has_a_meaning_and_a_name_of_its_own() -> None:
    attributes = [value for value in vars(attribute_module).values() if isinstance(value, Attribute)]
    assert len({attribute.name for attribute in attributes}) == len(attributes)
    assert all(re.fullmatch(r"[a-z][a-z0-9_.]*", attribute.name) for attribute in attributes)
    assert all(attribute.meaning.endswith(".") or "…" in attribute.meaning for attribute in attributes)
    assert [attribute.name for attribute in COMMON] == ["ralph.loop.name", "ralph.runner"]


def test_spans_speak_of_fields_that_their_events_have() -> None:
    for span in SPANS:
        known = fields_named(span.ends) | (fields_named(span.starts) if span.starts else set())
        if span.starts == "loop.started":
            known |= fields_named("trace.continued")
        assert set(span.attributes.values()) <= known, span.name
        assert set(re.findall(r"\{(\w+)\}", span.name)) <= (fields_named(span.starts or span.ends))
    for type_, learnt in LEARNT.items():
        assert set(learnt) <= fields_named(type_)
    assert set(SUMMED) <= fields_named("usage.measured")


def test_every_event_is_a_log_record_whose_text_speaks_of_its_fields() -> None:
    assert set(LOGS) == set(BY_TYPE)
    for type_, log in LOGS.items():
        assert set(re.findall(r"\{(\w+)", log.body)) <= fields_named(type_), type_
