"""Dashboards, recording rules and alerts, generated from the catalog: the "monitoring mixin".

    config.py        the settings: prefix, addresses, every threshold
    names.py         metrics of the catalog as they are called in a query
    promql.py        expressions; above all, counting from zero
    recording.py     the recording rules
    alerts/          the alerts, by kind of trouble
    rules.py         both as files for Prometheus
    dashboards/      the dashboards as data, and `grafana.py`, which makes JSON of them
    pages.py         docs/alerts.md

Only the command `ralph-otel mixin` and `make docs` import it. It needs the extra `mixin`.
"""

from __future__ import annotations

from ralph_otel.mixin.config import MixinConfig


def dashboard_files(config: MixinConfig) -> dict[str, str]:
    """File name to text, for Grafana's provisioning.

    Raises:
        ModuleNotFoundError: Grafana's library is not installed.
    """
    from ralph_otel.mixin.dashboards import dashboards
    from ralph_otel.mixin.dashboards.grafana import write

    return {f"{dashboard.uid}.json": write(dashboard) for dashboard in dashboards(config)}


def rule_files(config: MixinConfig) -> dict[str, str]:
    """File name to text, for `rule_files` of Prometheus.

    Raises:
        ModuleNotFoundError: PyYAML is not installed.
    """
    from ralph_otel.mixin.rules import alert_rules, recording_rules

    return {"ralph-recording.yaml": recording_rules(config), "ralph-alerts.yaml": alert_rules(config)}
