"""Grafana dashboards, a file each. Their queries take every name from the catalog."""

from __future__ import annotations

from ralph_otel.mixin.config import MixinConfig
from ralph_otel.mixin.dashboards import fleet, health, loop, overview
from ralph_otel.mixin.dashboards.model import Dashboard


def dashboards(config: MixinConfig) -> list[Dashboard]:
    """All of them."""
    return [each.dashboard(config) for each in (overview, loop, fleet, health)]
