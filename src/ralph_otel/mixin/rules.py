"""Recording rules and alerts as the files that Prometheus reads."""

from __future__ import annotations

from typing import Any

import yaml

from ralph_otel.mixin import alerts, recording
from ralph_otel.mixin.alerts import NAME, About, Alert
from ralph_otel.mixin.config import MixinConfig

HEADER = "# Made by `ralph-otel mixin`; edit nothing here, but give it other settings (--set).\n"


def recording_rules(config: MixinConfig) -> str:
    """`ralph-recording.yaml`."""
    written = {
        group.name: [{"record": rule.record, "expr": rule.expr} for rule in group.rules]
        for group in recording.groups(config)
    }
    return _written(written, config)


def alert_rules(config: MixinConfig) -> str:
    """`ralph-alerts.yaml`."""
    written = {name: [_alert(alert, config) for alert in group] for name, group in alerts.groups(config).items()}
    return _written(written, config)


def _alert(alert: Alert, config: MixinConfig) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **({} if alert.lasting == "0s" else {"for": str(alert.lasting)}),
        "labels": {"severity": alert.severity.value},
        "annotations": {
            "summary": f"{NAME}: {alert.summary}" if alert.about is About.LOOP else alert.summary,
            "description": alert.description,
            "runbook_url": f"{config.runbook_url}/{alert.name}.md",
            "dashboard_url": config.grafana_url + alert.about.value,
        },
    }


def _written(groups: dict[str, list[dict[str, Any]]], config: MixinConfig) -> str:
    interval = str(config.interval)
    content = {"groups": [{"name": name, "interval": interval, "rules": rules} for name, rules in groups.items()]}
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as they are."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
