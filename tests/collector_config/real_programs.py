"""The programs of `stack/` with the files of `collector-config/`, and what their tests ask them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from shipped_files import COLLECTOR
from stack.clients import JaegerClient, PrometheusClient, Span, log_records
from stack.errors import StackError
from stack.settings import prometheus_files
from stack.web import get

from stack import backends


class Collector(backends.Collector):
    """A collector with a shipped file, and with overlays on it.

    Args:
        files: the file and its overlays, below `collector-config/collector/`.
        folder: for its queue and its log.
        environment: what the file asks for.
    """

    def __init__(self, files: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__(folder, [COLLECTOR / file for file in files], environment, name=folder.name)

    def own(self, name: str) -> float:
        """The sum of one of the collector's metrics of itself."""
        lines = re.findall(rf"^{name}(?:_total)?(?:{{.*)? .*$", page(self.telemetry), re.M)
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def events(self) -> list[str]:
        """The event names of the log records that it has written to its file."""
        return [record.event for record in log_records(self.logs)]


class Prometheus(backends.Prometheus):
    """Prometheus with the shipped files; it looks, scrapes and evaluates every second.

    Args:
        folder: for its files and its data.
        collectors: those that it scrapes.
        loops: the folder of the loops' target files.
    """

    def __init__(self, folder: Path, collectors: tuple[Collector, ...] = (), loops: Path | None = None) -> None:
        super().__init__(folder, folder / "files" / "prometheus.yaml")
        prometheus_files(folder / "files", self.port, loops or folder / "no-loops", collectors, "1s")
        self._client = PrometheusClient(self.url)

    def series(self, expression: str) -> list[dict[str, str]]:
        """The labels of each series of an expression."""
        return [dict(sample.labels) for sample in self._client.query(expression)]

    def value(self, expression: str) -> float | None:
        """The value of the only series; None if there is none."""
        samples = self._client.query(expression)
        assert len(samples) <= 1, samples
        return samples[0].value if samples else None

    def exemplars(self, expression: str) -> list[str]:
        """The traces that the exemplars of series lead to."""
        return [each["labels"]["trace_id"] for each in self._client.exemplars(expression, 0, 4e9)]


def spans(jaeger: backends.Jaeger, trace_id: str) -> list[Span]:
    """The spans of a trace; none if Jaeger does not have it."""
    try:
        return JaegerClient(jaeger.url).trace(trace_id)
    except (StackError, ValueError):
        return []


def page(address: str) -> str:
    """The metrics that are served there; "" while nobody serves them."""
    try:
        return get(f"http://{address}/metrics").decode()
    except StackError:
        return ""
