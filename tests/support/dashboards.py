"""The queries of a dashboard's JSON, as Grafana would send them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

BUILT_IN = {
    "__interval": "1m",
    "__rate_interval": "5m",
    "__range": "1h",
    "__range_s": "3600",
}
"""What Grafana says for its own variables, in a dashboard of an hour."""


@dataclass(frozen=True)
class PanelQuery:
    """A query of a panel.

    Args:
        dashboard: its uid.
        panel: the panel's title.
        expr: PromQL, its variables replaced; of a variable, the selector in its `label_values`.
        instant: whether it is asked at one moment; else over a range.
    """

    dashboard: str
    panel: str
    expr: str
    instant: bool


def queries(text: str, variables: Mapping[str, str] | None = None) -> list[PanelQuery]:
    """Every Prometheus query of a dashboard, those of its variables included.

    Args:
        text: the JSON.
        variables: values for the dashboard's variables; one that is left out is `.+`, as Grafana says for "All".
    """
    dashboard = json.loads(text)
    listed = dashboard["templating"]["list"]
    values = {**{each["name"]: ".+" for each in listed}, **BUILT_IN, **(variables or {})}
    uid = dashboard["uid"]
    found = [
        PanelQuery(uid, panel["title"], substituted(target["expr"], values), bool(target.get("instant")))
        for panel in panels(dashboard)
        for target in panel.get("targets", [])
        if "expr" in target
    ]
    for variable in listed:
        asked = re.fullmatch(r"label_values\((.*), \w+\)", str(variable["query"]))
        if asked:
            found.append(PanelQuery(uid, f"variable {variable['name']}", substituted(asked[1], values), True))
    return found


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel but rows, those in rows included."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def substituted(text: str, values: Mapping[str, str]) -> str:
    """A text with its `$name` and `${name}` replaced.

    Raises:
        KeyError: there is no such variable.
    """
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], text)
