"""Metrics for Prometheus: an endpoint to scrape, a file for node_exporter, and the files by which it finds them."""

from ralph_otel.exporters.prometheus.families import families, render, write_textfile
from ralph_otel.exporters.prometheus.names import label_name, metric_name, unit_name
from ralph_otel.exporters.prometheus.server import EndpointError, PrometheusServer
from ralph_otel.exporters.prometheus.targets import remove_target, sweep_targets, target_labels, write_target

__all__ = [
    "EndpointError",
    "PrometheusServer",
    "families",
    "label_name",
    "metric_name",
    "remove_target",
    "render",
    "sweep_targets",
    "target_labels",
    "unit_name",
    "write_target",
    "write_textfile",
]
