"""What a scrape of 1,000 histogram series costs.

Our endpoint against the SDK's own `PrometheusMetricReader` as it comes, both with the same measurements in 20
histograms of 16 bounds: the text by itself (processor time), and over HTTP (wall time).
"""

from __future__ import annotations

import time
import urllib.request
from contextlib import ExitStack
from functools import partial

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, generate_latest, start_http_server

from benchmarks.rounds import alternate, middle, ratio, timed
from ralph_otel.catalog import DURATION_BUCKETS
from ralph_otel.exporters.prometheus import PrometheusServer, render
from ralph_otel.exporters.snapshot import SnapshotReader

_HISTOGRAMS = 20


def _fill(meter: Meter, series: int) -> None:
    for number in range(_HISTOGRAMS):
        histogram = meter.create_histogram(
            f"step_{number}.duration",
            "s",
            "Seconds a step took.",
            explicit_bucket_boundaries_advisory=list(DURATION_BUCKETS),
        )
        for name in range(series // _HISTOGRAMS):
            for seconds in (0.02, 3.0, 70.0):
                histogram.record(seconds, {"ralph.loop.name": f"loop-{name}", "ralph.runner": "ralphify"})


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        text: bytes = answer.read()
    return text


def measure(quick: bool = False) -> dict[str, float]:
    """Scrape both.

    Returns:
        Milliseconds (`ours_ms`, `official_ms`, `ours_http_ms`, `official_http_ms`), and `render` and `http`: ours ÷
        the official reader's.
    """
    series, rounds = (40, 1) if quick else (1000, 7)
    reader, official = SnapshotReader(), PrometheusMetricReader()
    with ExitStack() as stack:
        for each in (reader, official):
            provider = MeterProvider([each], shutdown_on_exit=False)
            stack.callback(provider.shutdown)
            _fill(provider.get_meter("bench"), series)
        server = PrometheusServer(reader.read, port=0)
        stack.callback(server.close)
        httpd, _ = start_http_server(0, "127.0.0.1")
        stack.callback(httpd.server_close)
        stack.callback(httpd.shutdown)
        ours, theirs = f"http://127.0.0.1:{server.address[1]}/metrics", f"http://127.0.0.1:{httpd.server_port}/metrics"
        for text in (_get(ours), _get(theirs)):
            if text.count(b"_duration_seconds_count{") != series:
                raise RuntimeError("series are missing")
        took = alternate(
            {
                "ours": partial(timed, [lambda: render(reader.read())]),
                "official": partial(timed, [lambda: generate_latest(REGISTRY)]),
                "ours_http": partial(timed, [partial(_get, ours)], time.perf_counter),
                "official_http": partial(timed, [partial(_get, theirs)], time.perf_counter),
            },
            rounds,
        )
    return {
        "render": ratio(took, "ours", "official"),
        "http": ratio(took, "ours_http", "official_http"),
        **{f"{name}_ms": middle(took, name) * 1e3 for name in took},
    }
