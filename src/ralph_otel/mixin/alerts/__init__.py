"""The alerts, a file for each kind of trouble. To add one, add a function there, a runbook, and tests both ways."""

from __future__ import annotations

from ralph_otel.mixin.alerts import dying, moving, spending, telemetry
from ralph_otel.mixin.alerts.alert import NAME, About, Alert, Expressions, Severity
from ralph_otel.mixin.config import MixinConfig

__all__ = ["GROUPS", "NAME", "About", "Alert", "Expressions", "Severity", "groups"]

GROUPS = {"ralph-moving": moving, "ralph-spending": spending, "ralph-dying": dying, "ralph-telemetry": telemetry}
"""The name of a group of rules, and the module with its alerts."""


def groups(config: MixinConfig) -> dict[str, list[Alert]]:
    """The groups of `ralph-alerts.yaml`, by name."""
    return {name: list(module.alerts(Expressions(config))) for name, module in GROUPS.items()}
