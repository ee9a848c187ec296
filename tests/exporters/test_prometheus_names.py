"""The expected names are what `prometheus/otlptranslator` 1.0.0 gives, as the Collector and Prometheus 3 use it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.exporters.prometheus import label_name, metric_name, unit_name
from ralph_otel.exporters.prometheus.names import Kind

KINDS: tuple[Kind, ...] = ("counter", "updowncounter", "gauge", "histogram")


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("ralph_loop.iterations", "{iteration}", "counter", "ralph_loop_iterations_total"),
        ("ralph_loop.cost", "USD", "counter", "ralph_loop_cost_USD_total"),
        ("ralph_loop.iteration_duration", "s", "histogram", "ralph_loop_iteration_duration_seconds"),
        ("ralph_loop.context_at_reboot", "%", "histogram", "ralph_loop_context_at_reboot_percent"),
        ("ralph_loop.context_usage", "%", "gauge", "ralph_loop_context_usage_percent"),
        ("ralph_loop.active_sessions", "{session}", "updowncounter", "ralph_loop_active_sessions"),
        ("ralph_loop.test_pass_ratio", "1", "gauge", "ralph_loop_test_pass_ratio"),
        ("a.pass", "1", "gauge", "a_pass_ratio"),
        ("a.pass", "1", "updowncounter", "a_pass"),
        ("a.pass", "1", "histogram", "a_pass"),
        ("a.pass", "1", "counter", "a_pass_total"),
        ("process.cpu.utilization", "1", "gauge", "process_cpu_utilization_ratio"),
        ("process.memory.usage", "By", "updowncounter", "process_memory_usage_bytes"),
        ("a.rate", "{iteration}/h", "gauge", "a_rate_per_hour"),
        ("a.rate", "{score}/{iteration}", "gauge", "a_rate"),
        ("a.io", "By/s", "gauge", "a_io_bytes_per_second"),
        ("a.time", "s/{request}", "gauge", "a_time_seconds"),
        ("a.time", "1/s", "gauge", "a_time_per_second"),
        ("a.total.iterations", "", "counter", "a_iterations_total"),
        ("a.iterations_total", "", "counter", "a_iterations_total"),
        ("a.seconds.of_work", "s", "histogram", "a_seconds_of_work"),
        ("a.ratio.of_work", "1", "gauge", "a_of_work_ratio"),
        ("9lives..left", "", "gauge", "_9lives_left"),
        ("a.b", " s / h ", "gauge", "a_b_seconds_per_hour"),
        ("a.b", "m$", "gauge", "a_b_m_"),
        ("a.b", "a$/b$", "gauge", "a_b_a_per_b"),
        ("a.b", "s/", "gauge", "a_b_seconds"),
        ("ns:a.b", "", "gauge", "ns:a_b"),
        ("é", "", "gauge", ""),
    ],
)
def test_a_metric_has_the_same_name_as_by_the_collector(name: str, unit: str, kind: Kind, expected: str) -> None:
    assert metric_name(name, unit, kind) == expected


@pytest.mark.parametrize(
    ("unit", "kind", "expected"),
    [
        ("s", "histogram", "seconds"),
        ("By/s", "gauge", "bytes_per_second"),
        ("{iteration}/h", "gauge", "per_hour"),
        ("1", "gauge", "ratio"),
        ("1", "counter", ""),
        ("{test}", "gauge", ""),
        ("", "gauge", ""),
    ],
)
def test_a_unit_is_written_out(unit: str, kind: Kind, expected: str) -> None:
    assert unit_name(unit, kind) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ralph.loop.name", "ralph_loop_name"),
        ("gen_ai.token.type", "gen_ai_token_type"),
        ("a--b", "a_b"),
        ("1st", "key_1st"),
        ("__name__", "_name_"),
        ("", "_"),
    ],
)
def test_a_label_has_the_attributes_name_with_underscores(key: str, expected: str) -> None:
    assert label_name(key) == expected


@given(st.text(), st.text(), st.sampled_from(KINDS))
def test_every_name_is_one_that_prometheus_takes(name: str, unit: str, kind: Kind) -> None:
    assert re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)?", metric_name(name, unit, kind))
    assert re.fullmatch(r"[a-zA-Z0-9_:]*", unit_name(unit, kind))
    assert re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", label_name(name))
