"""No query asks for a metric or a label that is not there."""

from __future__ import annotations

import re

import pytest
import yaml

from ralph_otel.catalog import BY_NAME, COMMON, HEALTH, Kind
from ralph_otel.exporters.prometheus.names import catalog_name, label_name
from ralph_otel.mixin import dashboard_files, recording, rule_files
from ralph_otel.mixin.config import MixinConfig
from ralph_otel.mixin.names import Names
from support.dashboards import queries
from support.promql import Selector, grouping_labels, selectors

DEFAULT = MixinConfig()
OTHER = MixinConfig(prefix="agents.loop")
CONFIGS = [DEFAULT, OTHER]
FOREIGN = {
    "up": {"job", "instance"},
    "scrape_duration_seconds": {"job", "instance"},
    "scrape_samples_scraped": {"job", "instance"},
    "otelcol_exporter_queue_size": {"job", "instance", "exporter", "data_type"},
    "otelcol_exporter_queue_capacity": {"job", "instance", "exporter", "data_type"},
    "prometheus_rule_group_last_duration_seconds": {"rule_group"},
    "prometheus_rule_evaluation_failures_total": {"rule_group"},
    "prometheus_rule_group_iterations_missed_total": {"rule_group"},
}
"""Series of others: of Prometheus, node_exporter and the Collector."""
OUR_LABELS = {label_name(each.name) for each in COMMON}


def series_of(config: MixinConfig) -> dict[str, set[str]]:
    """Every series that may be asked for, and its labels."""
    known = {**FOREIGN, "ALERTS": {"alertname", "alertstate", "severity", "job", "instance", *OUR_LABELS}}
    for metric in BY_NAME.values():
        name = catalog_name(metric, config.prefix)
        labels = {"job", "instance", *(label_name(each.name) for each in metric.attributes)}
        if metric not in HEALTH:
            labels |= OUR_LABELS
        if metric.kind is Kind.HISTOGRAM:
            known |= {f"{name}_bucket": {*labels, "le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            known[name] = labels
    for group in recording.groups(config):
        for rule in group.rules:
            known[rule.record] = grouping_labels(rule.expr) or {"job", *OUR_LABELS}
    for name in recording.COUNTED:
        for window in recording.WINDOWS:
            known[Names(config.prefix).recorded(name, f"increase{window}")] = set(recording.kept(name))
    for name in ("bucket", "sum", "count"):
        full = f"iteration_duration_{name}"
        known[Names(config.prefix).recorded(full, "increase24h")] = set(recording.kept(full))
    return known


def expressions(config: MixinConfig) -> dict[str, str]:
    """Every expression, by where it stands."""
    found = {}
    for file in rule_files(config).values():
        for group in yaml.safe_load(file)["groups"]:
            for rule in group["rules"]:
                found[rule.get("alert") or rule["record"]] = rule["expr"]
    for file in dashboard_files(config).values():
        for number, query in enumerate(queries(file)):
            found[f"{query.dashboard}: {query.panel} ({number})"] = query.expr
    return found


def problems_of(selector: Selector, known: dict[str, set[str]]) -> list[str]:
    """What is wrong with a selector."""
    if not selector.name:
        names = [value for label, _, value in selector.matchers if label == "__name__"]
        fine = names and all(re.fullmatch(r"otelcol_\w+\(_total\)\?", name) for name in names)
        return [] if fine else [f"{selector} names no metric"]
    if selector.name not in known:
        return [f"there is no {selector.name}"]
    return [
        f"{selector.name} has no label {label}"
        for label, _, _ in selector.matchers
        if label not in known[selector.name]
    ]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.prefix)
def test_every_metric_and_label_in_every_query_is_in_the_catalog(config: MixinConfig) -> None:
    known = series_of(config)
    every = expressions(config)
    assert len(every) > 150
    problems = [
        f"{where}: {problem}"
        for where, expression in every.items()
        for selector in selectors(expression)
        for problem in problems_of(selector, known)
    ]
    assert problems == []
    labels = set.union(*known.values()) | {"lost", "exported_instance"}
    assert {label for each in every.values() for label in grouping_labels(each)} <= labels


def test_the_check_finds_what_is_not_there() -> None:
    known = series_of(DEFAULT)
    wrong = 'sum by (job) (ralph_loop_iteration_total{job="a"}) / ralph_loop_cost_USD_total{outcome="x"} offset 1h'
    assert [problem for each in selectors(wrong) for problem in problems_of(each, known)] == [
        "there is no ralph_loop_iteration_total",
        "ralph_loop_cost_USD_total has no label outcome",
    ]


def test_another_prefix_leaves_no_metric_with_the_old_one() -> None:
    ours = {catalog_name(metric, DEFAULT.prefix) for metric in BY_NAME.values() if not metric.absolute}
    text = "\n".join([*rule_files(OTHER).values(), *dashboard_files(OTHER).values()])
    assert "agents_loop_iterations_total" in text
    assert [name for name in ours if re.search(rf"\b{name}", text)] == []


def test_every_metric_of_the_catalog_is_on_a_dashboard() -> None:
    """So that nothing is recorded that nobody can see."""
    shown = {
        selector.name
        for text in dashboard_files(DEFAULT).values()
        for q in queries(text)
        for selector in selectors(q.expr)
    }
    not_shown = {
        metric.name
        for metric in BY_NAME.values()
        if not any(name.startswith(catalog_name(metric, DEFAULT.prefix)) for name in shown)
    }
    assert not_shown <= {
        "last_iteration_timestamp",  # the age of the running iteration says more
        "run_duration", "session_duration", "reboot_duration", "sessions_created",  # these are on traces
        "system.cpu.load_average.1m",
    }  # fmt: skip
