"""The shipped Prometheus files, laid out for the programs that run here."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from stack.backends import SHIPPED, Collector

_OWN_TARGET = "127.0.0.1:9090"
_INTERVALS = re.compile(r"\b(scrape_interval|evaluation_interval|refresh_interval): *\S+")


def prometheus_files(
    folder: Path, port: int, loops: Path, collectors: Iterable[Collector], interval: str | None = None
) -> Path:
    """Copy Prometheus's files, with what a user fills in filled in.

    Args:
        folder: where to; made.
        port: Prometheus's own.
        loops: `RALPH_OTEL_HOME/targets`, where loops that run leave their addresses.
        collectors: those that are scraped.
        interval: in place of every scrape's, evaluation's and look for targets.

    Returns:
        The configuration file.
    """
    shutil.copytree(SHIPPED / "prometheus", folder)
    loops.mkdir(parents=True, exist_ok=True)
    (folder / "loops").symlink_to(loops)
    shutil.rmtree(folder / "collectors", ignore_errors=True)
    (folder / "collectors").mkdir()
    entries = [
        {"targets": [address], "labels": {"__meta_collector_port": which}}
        for each in collectors
        for address, which in ((each.metrics, "metrics"), (each.telemetry, "telemetry"))
    ]
    (folder / "collectors" / "running.yaml").write_text(json.dumps(entries, indent=2), encoding="utf-8")
    config = folder / "prometheus.yaml"
    text = config.read_text(encoding="utf-8").replace(_OWN_TARGET, f"127.0.0.1:{port}")
    config.write_text(_INTERVALS.sub(rf"\1: {interval}", text) if interval else text, encoding="utf-8")
    return config
