from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metering import Pipeline, hear_notices
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from ralph_otel.exporters import statsd
from ralph_otel.exporters.statsd import StatsdExporter, datagrams, lines, parse_target
from support.ports import free_port


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiver:
        receiver.bind(("127.0.0.1", free_port()))
        receiver.settimeout(60)
        yield receiver


def target(receiver: socket.socket) -> str:
    return f"127.0.0.1:{receiver.getsockname()[1]}"


def some_data() -> MetricsData:
    pipeline = Pipeline()
    pipeline.meter.create_counter("a.b").add(2)
    return pipeline.read()


def test_every_kind_has_its_line() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_counter("a.runs").add(2, {"k": "v", "b": True})
    pipeline.meter.create_counter("a.cost", "USD").add(0.5)
    pipeline.meter.create_up_down_counter("a.active").add(3)
    pipeline.meter.create_gauge("a.usage", "%").set(61.25)
    pipeline.meter.create_histogram("a.duration", "s").record(1.5)
    pipeline.meter.create_histogram("a.wait", "ms").record(20)
    pipeline.meter.create_histogram("a.context", "%").record(88)
    assert sorted(lines(pipeline.read())) == [
        "a.active:3|g",
        "a.context:88|h",
        "a.cost:0.5|c",
        "a.duration:1500|ms",
        "a.runs:2|c|#b:true,k:v",
        "a.usage:61.25|g",
        "a.wait:20|ms",
    ]


def test_a_histogram_is_sent_as_values_that_make_it_again() -> None:
    pipeline = Pipeline()
    histogram = pipeline.meter.create_histogram("d", "s", explicit_bucket_boundaries_advisory=[1, 10, 60])
    for value in (0.5, 2, 4, 6, 100):
        histogram.record(value)
    assert lines(pipeline.read()) == ["d:500|ms", "d:100000|ms", "d:4000|ms|@0.3333333333333333"]


@given(st.integers(2, 10**9))
def test_a_sample_rate_is_read_as_the_number_it_stands_for(times: int) -> None:
    rate = statsd._rate(times)
    assert "e" not in rate
    assert int(1 / float(rate)) == times


def test_a_gauge_below_zero_is_set_not_decreased() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_gauge("g").set(-0.25, {"k": "v"})
    assert lines(pipeline.read()) == ["g:0|g|#k:v\ng:-0.25|g|#k:v"]


def test_an_exponential_histogram_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = hear_notices(monkeypatch)
    pipeline = Pipeline(views=(View(instrument_name="e", aggregation=ExponentialBucketHistogramAggregation()),))
    pipeline.meter.create_histogram("e").record(4)
    assert lines(pipeline.read()) == []
    assert heard == ["ralph-otel: StatsD has no place for 'e', an exponential histogram; it is left out"]


def test_nothing_in_a_label_can_end_the_tag_or_the_line() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_counter("a-b/c").add(1, {"k:1": "x|y,z#w@v\nq:0|c", "empty": "", "long": "ä" * 300})
    assert lines(pipeline.read()) == [f"a_b_c:1|c|#k_1:x_y_z_w_v\\nq_0_c,long:{'ä' * 200}"]


any_text = st.text(st.characters(exclude_categories=()), max_size=30)


@given(st.dictionaries(any_text, any_text, max_size=5), st.floats(allow_nan=False, allow_infinity=False))
def test_every_line_has_one_name_one_value_and_one_type(labels: dict[str, str], value: float) -> None:
    pipeline = Pipeline()
    pipeline.meter.create_gauge("g").set(value, labels)
    [packed] = datagrams(lines(pipeline.read()))
    received = packed.decode().split("\n")
    assert len(received) == (2 if value < 0 else 1)
    for line in received:
        metric, _, tags = line.partition("|#")
        assert metric in ("g:0|g", f"g:{value:.15g}|g")
        assert all(len(tag.split(":")) == 2 and all(tag.split(":")) for tag in tags.split(",") if tags)


@given(st.lists(st.text("abc", min_size=1, max_size=2000), max_size=20))
def test_datagrams_hold_all_lines_in_order_and_are_no_longer_than_need_be(given_lines: list[str]) -> None:
    packed = list(datagrams(given_lines))
    assert b"\n".join(packed).decode().split("\n") == given_lines or not given_lines
    assert all(len(each) <= 1432 or b"\n" not in each for each in packed)
    assert all(len(one) + 1 + len(two.split(b"\n")[0]) > 1432 for one, two in pairwise(packed))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9125", ("127.0.0.1", 9125)),
        ("localhost", ("localhost", 8125)),
        ("[::1]:9125", ("::1", 9125)),
        ("[::1]", ("::1", 8125)),
    ],
)
def test_a_target_is_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":8125", "a:b", "a:70000", "a:0", "[::1", "::1", "udp://a:1", "a:1/x", "a:1?x", "u@a:1", "a b"]
)
def test_a_target_that_is_none_is_a_clear_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be host:port, such as 127\.0\.0\.1:8125 or \[::1\]:8125, got"):
        StatsdExporter(text)


def test_counters_and_histograms_arrive_as_what_was_added(receiver: socket.socket) -> None:
    reader = PeriodicExportingMetricReader(StatsdExporter(target(receiver)), export_interval_millis=3_600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("test")
    counter, up_down = meter.create_counter("c"), meter.create_up_down_counter("u")
    gauge, histogram = meter.create_gauge("g"), meter.create_histogram("h", "s")

    def exported() -> dict[str, list[str]]:
        provider.force_flush()
        received = defaultdict(list)
        for line in receiver.recv(65536).decode().split("\n"):
            name, _, rest = line.partition(":")
            received[name].append(rest)
        return received

    counter.add(2)
    up_down.add(5)
    gauge.set(7)
    histogram.record(1.5)
    assert exported() == {"c": ["2|c"], "u": ["5|g"], "g": ["7|g"], "h": ["1500|ms"]}
    counter.add(3)
    up_down.add(-1)
    gauge.set(7)
    assert exported() == {"c": ["3|c"], "u": ["4|g"], "g": ["7|g"]}
    provider.shutdown()


def test_many_lines_take_few_datagrams(receiver: socket.socket) -> None:
    pipeline = Pipeline()
    counter = pipeline.meter.create_counter("ralph_loop.iterations")
    for number in range(100):
        counter.add(1, {"n": str(number)})
    data = pipeline.read()
    assert StatsdExporter(target(receiver)).export(data) is MetricExportResult.SUCCESS
    packets = [receiver.recv(65536) for _ in range(3)]
    assert all(len(packet) <= 1432 for packet in packets)
    assert b"\n".join(packets).decode().split("\n") == lines(data)


def test_a_server_that_is_not_there_is_tried_again(monkeypatch: pytest.MonkeyPatch, receiver: socket.socket) -> None:
    heard = hear_notices(monkeypatch)
    port = receiver.getsockname()[1]
    exporter = StatsdExporter(target(receiver))
    receiver.close()
    assert exporter.export(some_data()) is MetricExportResult.FAILURE
    assert exporter.export(some_data()) is MetricExportResult.FAILURE
    assert heard == [
        f"ralph-otel: StatsD: nothing reaches 127.0.0.1 port {port}, Connection refused; it is tried again"
    ]
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as again:
        again.bind(("127.0.0.1", port))
        again.settimeout(60)
        assert exporter.export(some_data()) is MetricExportResult.SUCCESS
        assert again.recv(100) == b"a.b:2|c"


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 70 + ".invalid"])
def test_a_name_that_cannot_be_resolved_is_said_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    heard = hear_notices(monkeypatch)
    exporter = StatsdExporter(name)
    assert exporter.export(some_data()) is MetricExportResult.FAILURE
    assert exporter.export(some_data()) is MetricExportResult.FAILURE
    assert len(heard) == 1
    assert heard[0].startswith(f"ralph-otel: StatsD: nothing reaches {name} port 8125, ")


def test_a_name_is_looked_up_once_an_export(monkeypatch: pytest.MonkeyPatch, receiver: socket.socket) -> None:
    looked_up = []

    def find(host: str, port: int, **kwargs: object) -> list[tuple[object, ...]]:
        looked_up.append(host)
        addresses = (
            ("127.0.0.1", free_port()),
            ("127.0.0.1", port),
        )  # as localhost has ::1 first, where nobody listens
        return [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", address) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", find)
    exporter = StatsdExporter(f"agent.example:{receiver.getsockname()[1]}")
    assert looked_up == []
    assert exporter.export(some_data()) is MetricExportResult.SUCCESS
    assert receiver.recv(100) == b"a.b:2|c"
    assert looked_up == ["agent.example"]


def test_flush_and_shutdown_are_harmless() -> None:
    exporter = StatsdExporter("127.0.0.1:8125")
    exporter.shutdown()
    exporter.shutdown()
    assert exporter.force_flush()
