from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from io import StringIO
from itertools import product
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metering import Pipeline, hear_notices
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricsData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.types import AttributeValue
from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_fd_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_fd_to_metric_families as parse_plain

from ralph_otel.escapes import spelled_out
from ralph_otel.exporters.prometheus import families, render, write_textfile

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Parse = Callable[[TextIO], Iterable[Family]]
PARSERS: dict[str, Parse] = {"": parse_plain, OPENMETRICS: parse_openmetrics}
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(found: list[Family]) -> Series:
    return {(each.name, frozenset(each.labels.items())): each.value for family in found for each in family.samples}


def parsed(data: MetricsData | None, accept: str) -> list[Family]:
    return list(PARSERS[accept](StringIO(render(data, accept)[0].decode(), newline="\n")))


def lines(data: MetricsData, accept: str = "") -> list[str]:
    return render(data, accept)[0].decode().splitlines()


def test_instruments_become_families_of_their_kind() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_counter("a.runs", "{run}", "Runs.").add(2)
    pipeline.meter.create_up_down_counter("a.active", "{run}", "Active.").add(3)
    pipeline.meter.create_gauge("a.usage", "%", "Usage.").set(61.5)
    pipeline.meter.create_histogram("a.duration", "s", "Time.", explicit_bucket_boundaries_advisory=[1, 10]).record(4)
    found = {family.name: family for family in families(pipeline.read())}
    assert {name: (family.type, family.documentation, family.unit) for name, family in found.items()} == {
        "a_runs": ("counter", "Runs.", ""),
        "a_active": ("gauge", "Active.", ""),
        "a_usage_percent": ("gauge", "Usage.", "percent"),
        "a_duration_seconds": ("histogram", "Time.", "seconds"),
    }
    assert series(list(found.values())) == {
        ("a_runs_total", frozenset()): 2.0,
        ("a_active", frozenset()): 3.0,
        ("a_usage_percent", frozenset()): 61.5,
        ("a_duration_seconds_bucket", frozenset({("le", "1.0")})): 0.0,
        ("a_duration_seconds_bucket", frozenset({("le", "10.0")})): 1.0,
        ("a_duration_seconds_bucket", frozenset({("le", "+Inf")})): 1.0,
        ("a_duration_seconds_count", frozenset()): 1.0,
        ("a_duration_seconds_sum", frozenset()): 4.0,
    }


def test_the_plain_format_is_exactly_this() -> None:
    pipeline = Pipeline(resource={"service.name": "fix-bugs", "host.cores": 4})
    pipeline.meter.create_counter("a.cost", "USD", "Money\nspent.").add(0.5, {"gen_ai.request.model": 'x"1'})
    assert lines(pipeline.read()) == [
        "# HELP target_info Target metadata.",
        "# TYPE target_info gauge",
        'target_info{host_cores="4",service_name="fix-bugs"} 1.0',
        r"# HELP a_cost_USD_total Money\nspent.",
        "# TYPE a_cost_USD_total counter",
        r'a_cost_USD_total{gen_ai_request_model="x\"1"} 0.5',
    ]


def test_openmetrics_says_the_unit_too() -> None:
    pipeline = Pipeline(resource={"service.name": "fix-bugs"})
    pipeline.meter.create_counter("a.cost", "USD", "Money.").add(0.5)
    assert lines(pipeline.read(), OPENMETRICS) == [
        "# HELP target Target metadata.",
        "# TYPE target info",
        'target_info{service_name="fix-bugs"} 1.0',
        "# HELP a_cost_USD Money.",
        "# TYPE a_cost_USD counter",
        "# UNIT a_cost_USD USD",
        "a_cost_USD_total 0.5",
        "# EOF",
    ]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        (OPENMETRICS, "application/openmetrics-text"),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.2", "application/openmetrics"),
        ("text/plain; version=none", "text/plain"),
        ("application/openmetrics-text; version=?", "text/plain; version=0.0.4"),
    ],
)
def test_the_accept_header_decides_on_the_format(accept: str, expected: str) -> None:
    if "?" in accept and render(None, OPENMETRICS)[1] == render(None, accept)[1]:
        pytest.skip("this prometheus_client does not look at the version")
    body, content_type = render(None, accept)
    assert content_type.startswith(expected)
    assert body == (b"# EOF\n" if "openmetrics" in expected else b"")


def test_labels_have_underscores_and_texts_as_values() -> None:
    pipeline = Pipeline()
    attributes: Mapping[str, AttributeValue] = {
        "a.text": "x",
        "a.yes": True,
        "a.no": False,
        "a.int": 3,
        "a.float": 0.5,
        "a.list": ("p", "q"),
    }
    pipeline.meter.create_gauge("g").set(1, attributes)
    [family] = families(pipeline.read())
    assert family.samples[0].labels == {
        "a_text": "x",
        "a_yes": "true",
        "a_no": "false",
        "a_int": "3",
        "a_float": "0.5",
        "a_list": '["p", "q"]',
    }


def test_labels_that_become_one_are_joined_in_the_order_of_their_keys() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_gauge("g").set(1, {"a_b": "last", "a.b": "second", "a-b": "first"})
    [family] = families(pipeline.read())
    assert family.samples[0].labels == {"a_b": "first;second;last"}


def test_a_label_without_a_value_is_no_label() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_gauge("g").set(1, {"a": "", "b": "x"})
    assert families(pipeline.read())[0].samples[0].labels == {"b": "x"}


def test_an_attribute_cannot_take_the_place_of_a_buckets_bound() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1.0]).record(0.5, {"le": "x"})
    [family] = families(pipeline.read())
    assert [each.labels for each in family.samples][:2] == [
        {"exported_le": "x", "le": "1.0"},
        {"exported_le": "x", "le": "+Inf"},
    ]
    assert parsed(pipeline.read(), OPENMETRICS)


def test_a_histogram_with_negative_bounds_has_no_sum() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_histogram("h", explicit_bucket_boundaries_advisory=[-1.0, 1.0]).record(5)
    assert {name for name, _ in series(parsed(pipeline.read(), OPENMETRICS))} == {"h_bucket"}


def test_of_two_types_under_one_name_the_first_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = hear_notices(monkeypatch)
    pipeline = Pipeline()
    pipeline.meter.create_counter("a.b").add(1)
    pipeline.meter.create_gauge("a_b").set(7)
    pipeline.meter.create_gauge("a.b_total").set(8)
    pipeline.meter.create_histogram("h").record(1)
    pipeline.meter.create_gauge("h.count").set(9)
    for _ in range(3):
        found = {family.name: family.type for family in families(pipeline.read())}
        assert found == {"a_b": "counter", "h": "histogram"}
    assert heard == [
        "ralph-otel: Prometheus: 'a_b' is left out, another metric is already called a_b",
        "ralph-otel: Prometheus: 'a.b_total' is left out, another metric is already called a_b_total",
        "ralph-otel: Prometheus: 'h.count' is left out, another metric is already called h_count",
    ]


def test_metrics_of_one_name_and_type_share_a_family() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_counter("a.b", description="First.").add(1, {"k": "1"})
    pipeline.provider.get_meter("other").create_counter("a_b", description="Second.").add(2, {"k": "2"})
    [family] = families(pipeline.read())
    assert family.documentation == "First."
    assert [(each.labels["k"], each.value) for each in family.samples] == [("1", 1.0), ("2", 2.0)]


def test_of_two_series_with_the_same_labels_the_first_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = hear_notices(monkeypatch)
    pipeline = Pipeline()
    pipeline.meter.create_counter("a").add(1, {"k": "1"})
    pipeline.provider.get_meter("other").create_counter("a").add(2, {"k": "1"})
    assert series(parsed(pipeline.read(), OPENMETRICS)) == {("a_total", frozenset({("k", "1")})): 1.0}
    assert heard == ["ralph-otel: Prometheus: a has two series with the same labels; the first one is kept"]


def test_an_exponential_histogram_is_left_out_and_the_rest_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = hear_notices(monkeypatch)
    pipeline = Pipeline(views=(View(instrument_name="e", aggregation=ExponentialBucketHistogramAggregation()),))
    pipeline.meter.create_histogram("e").record(4)
    pipeline.meter.create_gauge("g").set(1)
    assert series(parsed(pipeline.read(), "")) == {("g", frozenset()): 1.0}
    assert heard == [
        "ralph-otel: Prometheus has no place for 'e', a cumulative ExponentialHistogram; it is left out",
    ]


def test_delta_metrics_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = hear_notices(monkeypatch)
    reader = InMemoryMetricReader({Counter: AggregationTemporality.DELTA})
    MeterProvider([reader]).get_meter("test").create_counter("d").add(4)
    data = reader.get_metrics_data()
    assert data is not None
    assert [family.name for family in families(data)] == ["target"]
    assert heard == ["ralph-otel: Prometheus has no place for 'd', a delta Sum; it is left out"]


def record_in_span(act: Callable[[], None]) -> dict[str, str]:
    """Do it inside a span, and return the ids that its exemplar must have."""
    with TracerProvider(shutdown_on_exit=False).get_tracer("test").start_as_current_span("iteration") as span:
        act()
    context = span.get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def test_exemplars_are_on_buckets_and_counters_in_openmetrics_only() -> None:
    pipeline = Pipeline()
    histogram = pipeline.meter.create_histogram("h", "s", explicit_bucket_boundaries_advisory=[1.0, 10.0, 60.0])
    counter = pipeline.meter.create_counter("c")
    up_down = pipeline.meter.create_up_down_counter("u")
    in_middle = record_in_span(lambda: histogram.record(5.0))
    in_last = record_in_span(lambda: histogram.record(100.0))
    counted = record_in_span(lambda: counter.add(2, {"k": "v"}))
    record_in_span(lambda: up_down.add(1))
    histogram.record(0.5)
    for _ in range(2):
        found = {
            (each.name, each.labels.get("le", "")): each.exemplar
            for family in parsed(pipeline.read(), OPENMETRICS)
            for each in family.samples
            if each.exemplar
        }
        assert {key: (each.labels, each.value) for key, each in found.items()} == {
            ("h_seconds_bucket", "10.0"): (in_middle, 5.0),
            ("h_seconds_bucket", "+Inf"): (in_last, 100.0),
            ("c_total", ""): (counted, 2.0),
        }
        assert all(each.timestamp and float(each.timestamp) > 1.7e9 for each in found.values())
        assert "trace_id" not in render(pipeline.read())[0].decode()


names = st.from_regex(r"[a-zA-Z][-_./a-zA-Z0-9]{0,20}", fullmatch=True)
units = st.sampled_from(["", "1", "s", "By", "%", "{x}", "By/s", "{x}/h", "s/{x}", "USD"]) | st.text(
    st.characters(max_codepoint=127, exclude_characters=":"), max_size=6
)  # a colon, which is allowed in a name, prometheus_client 0.26 does not keep in OpenMetrics
any_text = st.text(st.characters(exclude_categories=()), max_size=20)
attributes = st.dictionaries(any_text.filter(bool), any_text | st.booleans() | st.integers() | st.floats(), max_size=4)


@given(
    st.lists(st.tuples(names, units, any_text, st.sampled_from("cugh"), attributes, st.floats(0, 1e9)), max_size=6),
    st.dictionaries(any_text.filter(bool), any_text, max_size=3),
)
def test_whatever_is_measured_can_be_parsed_again(
    measured: list[tuple[str, str, str, str, dict[str, str | bool | int | float], float]], resource: dict[str, str]
) -> None:
    pipeline = Pipeline(resource=dict(resource))
    for name, unit, description, kind, labels, value in measured:
        if kind == "c":
            pipeline.meter.create_counter(name, unit, description).add(value, labels)
        elif kind == "u":
            pipeline.meter.create_up_down_counter(name, unit, description).add(value, labels)
        elif kind == "g":
            pipeline.meter.create_gauge(name, unit, description).set(value, labels)
        else:
            pipeline.meter.create_histogram(name, unit, description).record(value, labels)
    data = pipeline.reader.read()
    expected = series(families(data)) if data else {}
    assert series(parsed(data, "")) == expected
    assert series(parsed(data, OPENMETRICS)) == expected


@given(any_text)
def test_a_label_value_comes_back_as_it_was_with_controls_spelled_out(value: str) -> None:
    pipeline = Pipeline()
    pipeline.meter.create_gauge("g").set(1, {"k": value})
    data = pipeline.read()
    for accept in PARSERS:
        [sample] = parsed(data, accept)[0].samples
        assert sample.labels.get("k", "") == spelled_out(value.encode("utf-8", "replace").decode())


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not on PATH")
def test_promtool_has_nothing_to_say() -> None:
    pipeline = Pipeline(resource={"service.name": "fix-bugs"})
    pipeline.meter.create_counter("ralph_loop.iterations", "{iteration}").add(1, {"ralph.outcome": "success"})
    pipeline.meter.create_counter("ralph_loop.cost", "USD").add(1.5)
    pipeline.meter.create_up_down_counter("ralph_loop.active_sessions", "{session}").add(1)
    pipeline.meter.create_histogram("ralph_loop.iteration_duration", "s").record(75)
    for name, unit in product(("ralph_loop.context_usage", "process.memory.usage", "a"), ("%", "By", "1", "{x}/h")):
        pipeline.meter.create_gauge(name, unit).set(1)
    checked = subprocess.run(["promtool", "check", "metrics"], input=render(pipeline.read())[0], capture_output=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_a_textfile_replaces_the_old_one_and_may_be_read_by_all(tmp_path: Path) -> None:
    pipeline = Pipeline()
    pipeline.meter.create_up_down_counter("g", description="G.").add(1)
    path = tmp_path / "loop.prom"
    path.write_text("old")
    path.chmod(0o600)
    write_textfile(path, pipeline.read(), {})
    assert path.read_bytes() == render(pipeline.read())[0]
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_textfile_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "loop.prom").mkdir()
    with pytest.raises(OSError):
        write_textfile(tmp_path / "loop.prom", None, {})
    with pytest.raises(OSError):
        write_textfile(tmp_path / "missing" / "loop.prom", None, {})
    assert [each.name for each in tmp_path.iterdir()] == ["loop.prom"]


def test_the_series_of_a_textfile_say_whose_they_are(tmp_path: Path) -> None:
    pipeline = Pipeline(resource={"service.name": "fix"})
    pipeline.meter.create_counter("c", description="C.").add(1, {"job": "own", "a": "b"})
    pipeline.meter.create_histogram("h", description="H.").record(1)
    path = tmp_path / "loop.prom"
    write_textfile(path, pipeline.read(), {"job": "loops", "instance": "run-1"})
    samples = [sample for family in parse_plain(StringIO(path.read_text())) for sample in family.samples]
    assert {(sample.labels["job"], sample.labels["instance"]) for sample in samples} == {("loops", "run-1")}
    [counter] = [sample for sample in samples if sample.name == "c_total"]
    assert counter.labels == {"job": "loops", "instance": "run-1", "exported_job": "own", "a": "b"}
    [info] = [sample for sample in samples if sample.name == "target_info"]
    assert info.labels["service_name"] == "fix"
