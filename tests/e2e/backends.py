"""One Collector, two Prometheus and one Jaeger, wired as a user would, but for quicker intervals.

    loops ──OTLP, StatsD──▶ Collector ──its Prometheus exporter──▶ Prometheus "scraping" ◀──file_sd── loops, textfiles
                                │ └────remote write──▶ Prometheus "written" ◀──OTLP── loops
                                └──▶ Jaeger, file of log records

Two, because the same series would reach one of them twice. The one that is written to shows types and units as the
labels `__type__` and `__unit__`, for what is written brings no other metadata.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from stack.backends import SHIPPED, Collector, Jaeger, NodeExporter, Prometheus
from stack.clients import JaegerClient, PrometheusClient
from stack.settings import prometheus_files

from support.hosts import FOREIGN

INTERVAL = "1s"
"""Between scrapes, evaluations of rules, looks for targets, and exports of loops."""
_QUICK_STATSD = f"yaml:receivers::statsd::aggregation_interval: {INTERVAL}"
_MORE_JOBS = """
scrape_config_files: [more.yaml]
"""
_TEXTFILES = """
scrape_configs:
  - job_name: node
    static_configs:
      - targets: [ADDRESS]
"""


@dataclass(frozen=True)
class Backends:
    """What runs, and how it is asked."""

    folder: Path
    collector: Collector
    scraping: Prometheus
    written: Prometheus
    jaeger_process: Jaeger

    @property
    def home(self) -> Path:
        """A `RALPH_OTEL_HOME` whose loops are scraped."""
        return self.folder / "home"

    @property
    def textfiles(self) -> Path:
        """The folder whose files `*.prom` node_exporter shows, under the job `node`."""
        return self.folder / "textfiles"

    @property
    def prometheus(self) -> PrometheusClient:
        """The Prometheus that scrapes loops, textfiles and the Collector, and evaluates the shipped rules."""
        return PrometheusClient(self.scraping.url)

    @property
    def written_prometheus(self) -> PrometheusClient:
        """The Prometheus that is written to, by OTLP and by remote write."""
        return PrometheusClient(self.written.url)

    @property
    def jaeger(self) -> JaegerClient:
        """The traces."""
        return JaegerClient(self.jaeger_process.url)

    def another_collector(self, name: str) -> Collector:
        """A Collector of one's own, not started yet, that Prometheus scrapes and that sends traces to Jaeger."""
        config = SHIPPED / "collector" / "laptop.yaml"
        jaeger = {"JAEGER_ENDPOINT": self.jaeger_process.otlp_grpc}
        collector = Collector(self.folder / name, [config, _QUICK_STATSD], jaeger, name=name)
        target = [{"targets": [collector.metrics], "labels": {"__meta_collector_port": "metrics"}}]
        (self.folder / "files" / "collectors" / f"{name}.yaml").write_text(json.dumps(target))
        return collector

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment for a loop that exports nothing yet: ours, the home folder, quick exports."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        own = {"RALPH_OTEL_HOME": str(self.home), "RALPH_OTEL_COLLECTION_INTERVAL": INTERVAL}
        return {**inherited, **own, **variables}

    def by_otlp(self, **variables: str) -> dict[str, str]:
        """The environment for a loop that sends everything to the Collector."""
        sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.otlp, "RALPH_OTEL_EXPORT_FORMAT": "otlp"}
        return self.environment(**{**sent, **variables})


def started(folder: Path, stack: ExitStack) -> Backends:
    """Start everything; it stops with the stack."""
    jaeger = Jaeger(folder / "jaeger")
    written = Prometheus(
        folder / "written",
        folder / "written-files" / "prometheus.yaml",
        features=["type-and-unit-labels"],
        name="written-prometheus",
    )
    collector = Collector(
        folder / "collector",
        [
            SHIPPED / "collector" / "laptop.yaml",
            SHIPPED / "collector" / "overlays" / "gateway-remote-write.yaml",
            _QUICK_STATSD,
        ],
        {"JAEGER_ENDPOINT": jaeger.otlp_grpc, "REMOTE_WRITE_URL": written.remote_write},
    )
    (folder / "textfiles").mkdir()
    node = NodeExporter(folder / "node", folder / "textfiles")
    scraping = Prometheus(folder / "scraping", folder / "files" / "prometheus.yaml")
    prometheus_files(folder / "written-files", written.port, folder / "no-loops", [], INTERVAL)
    config = prometheus_files(folder / "files", scraping.port, folder / "home" / "targets", [collector], INTERVAL)
    with config.open("a", encoding="utf-8") as file:
        file.write(_MORE_JOBS)
    (folder / "files" / "more.yaml").write_text(_TEXTFILES.replace("ADDRESS", node.metrics))
    for process in (jaeger, written, collector, node, scraping):
        stack.enter_context(process)
    return Backends(folder, collector, scraping, written, jaeger)
