"""Alerts about signals that get lost, in ralph-otel itself or on their way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from incidents import LOOP, Incident

from support.promtool import Values, flat, ramp

Judge = Callable[..., None]
PROCESS = {"job": LOOP["job"], "instance": "r1"}
COLLECTOR = {"job": "otel-collector", "instance": "gateway:8888"}


class TestTelemetryDropping:
    ALERT = "RalphTelemetryDropping"

    def lost(self, name: str, values: Values) -> Incident:
        scene = Incident()
        scene.add(scene.names(f"ralph_otel.{name}"), PROCESS, values)
        return scene

    @pytest.mark.parametrize("name", ["dropped_events", "journal_errors", "refused_series", "undelivered", "bad_lines"])
    def test_each_kind_of_loss(self, judge: Judge, name: str) -> None:
        scene = self.lost(name, [*flat(0, 10), *flat(12, 30)])
        scene.fires(self.ALERT, 9)
        scene.fires(self.ALERT, 10, {"instance": "r1", "lost": name})
        scene.fires(self.ALERT, 24, {"instance": "r1", "lost": name})
        scene.fires(self.ALERT, 26)
        judge(scene)

    def test_a_loss_that_was_there_at_the_first_sample(self, judge: Judge) -> None:
        scene = self.lost("journal_errors", [None, 3])
        scene.fires(self.ALERT, 1, {"instance": "r1", "lost": "journal_errors"})
        judge(scene)

    def test_a_torn_line_after_a_crash_and_many_events(self, judge: Judge) -> None:
        scene = self.lost("bad_lines", [*flat(0, 10), *flat(1, 20)])
        scene.add(scene.names("ralph_otel.events"), PROCESS, ramp(0, 100, 30))
        scene.fires(self.ALERT, 11)
        scene.fires(self.ALERT, 20)
        judge(scene)


class TestCollectorDropping:
    ALERT = "RalphCollectorDropping"

    @pytest.mark.parametrize("suffix", ["", "_total"])
    def test_a_backend_that_refuses(self, judge: Judge, suffix: str) -> None:
        scene = Incident()
        labels = {**COLLECTOR, "exporter": "otlp/prometheus"}
        scene.add(f"otelcol_exporter_send_failed_metric_points{suffix}", labels, [*flat(0, 5), *ramp(10, 10, 20)])
        scene.add(f"otelcol_exporter_send_failed_spans{suffix}", labels, flat(0, 25))
        scene.fires(self.ALERT, 5)
        scene.fires(self.ALERT, 15, {"instance": "gateway:8888", "lost": "exporter_send_failed_metric_points"})
        judge(scene)

    def test_all_is_sent_and_a_collector_that_was_started_anew(self, judge: Judge) -> None:
        scene = Incident()
        labels = {**COLLECTOR, "exporter": "otlp/prometheus"}
        scene.add("otelcol_exporter_sent_metric_points_total", labels, ramp(0, 100, 30))
        scene.add("otelcol_exporter_send_failed_metric_points_total", labels, [*flat(50, 15), *flat(0, 15)])
        for minute in (5, 16, 22, 29):
            scene.fires(self.ALERT, minute)
        judge(scene)


class TestCollectorQueueFull:
    ALERT = "RalphCollectorQueueFull"

    def queue(self, size: Values, capacity: float = 1000) -> Incident:
        scene = Incident()
        labels = {**COLLECTOR, "exporter": "otlp/jaeger", "data_type": "traces"}
        scene.add("otelcol_exporter_queue_size", labels, size)
        scene.add("otelcol_exporter_queue_capacity", labels, flat(capacity, len(size)))
        return scene

    def test_it_fills_up(self, judge: Judge) -> None:
        scene = self.queue(ramp(0, 100, 20))
        where = {"instance": "gateway:8888", "exporter": "otlp/jaeger", "data_type": "traces"}
        scene.fires(self.ALERT, 12)
        scene.fires(self.ALERT, 14, where)
        judge(scene)

    def test_it_is_full_for_a_moment_or_has_no_room_at_all(self, judge: Judge) -> None:
        scene = self.queue([*flat(10, 5), *flat(990, 3), *flat(10, 12)])
        for minute in (7, 9, 15):
            scene.fires(self.ALERT, minute)
        judge(scene)
        scene = self.queue(flat(0, 20), capacity=0)
        scene.fires(self.ALERT, 15)
        judge(scene)
