"""The page about the alerts, and all files of the repository that come out of the mixin."""

from __future__ import annotations

from ralph_otel.mixin import alerts, dashboard_files, rule_files
from ralph_otel.mixin.alerts import Alert
from ralph_otel.mixin.config import MixinConfig

_HEAD = """\
# Alerts

<!-- Made by `make docs` from the declarations in src/ralph_otel/mixin; edit those. -->

They are in [ralph-alerts.yaml](../collector-config/prometheus/rules/ralph-alerts.yaml), and need the recording rules of
[ralph-recording.yaml](../collector-config/prometheus/rules/ralph-recording.yaml). `critical` is worth getting up for,
`warning` can wait for the morning. Each leads to its dashboard, and to a page that says what to do.

Other thresholds, or another prefix of the metrics:

```sh
ralph-otel mixin --output monitoring --set stuck_floor=20m --set day_budget=50
```
"""


def alerts_page(config: MixinConfig) -> str:
    """`docs/alerts.md`."""
    rows = [_row(alert) for group in alerts.groups(config).values() for alert in group]
    settings = [f"| `{name}` | `{default}` | {doc} |" for name, default, doc in MixinConfig.settings()]
    return "\n".join(
        [
            _HEAD,
            "| alert | severity | what has happened | after | settings |\n|---|---|---|---|---|",
            *rows,
            "\n## Settings\n\n| setting | default | |\n|---|---|---|",
            *settings,
            "",
        ]
    )


def _row(alert: Alert) -> str:
    settings = ", ".join(f"`{name}`" for name in alert.settings)
    lasting = "" if alert.lasting == "0s" else alert.lasting
    return f"| [{alert.name}](runbooks/{alert.name}.md) | {alert.severity} | {alert.summary} | {lasting} | {settings} |"


def checked_in() -> dict[str, str]:
    """Every generated file of the repository: its path from the root, and its text for the default settings."""
    config = MixinConfig()
    files = {f"collector-config/grafana/dashboards/{name}": text for name, text in dashboard_files(config).items()}
    files |= {f"collector-config/prometheus/rules/{name}": text for name, text in rule_files(config).items()}
    return {**files, "docs/alerts.md": alerts_page(config)}
