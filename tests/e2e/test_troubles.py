"""Real loops in trouble, and one that is healthy, before the rules and dashboards.

Each alert fires about the loop in its trouble, and none about the healthy one. Every query of every dashboard shows
something of them.
"""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import troubles
from backends import Backends
from stack.backends import SHIPPED
from troubles import EVERYTHING, HEALTHY, HEIR, TROUBLES, Staged, Trouble

from ralph_otel.mixin import alerts
from ralph_otel.mixin.alerts import About
from ralph_otel.mixin.config import MixinConfig
from support.dashboards import PanelQuery, panels, queries, substituted
from support.waiting import until

_SECONDS = 100.0
"""For an alert, or for what a panel shows."""
ABOUT = {alert.name: alert.about for group in alerts.groups(MixinConfig()).values() for alert in group}
CASES = [pytest.param(trouble, name, id=f"{name}-{trouble.name}") for trouble in TROUBLES for name in trouble.alerts]
TEXTS = [path.read_text(encoding="utf-8") for path in sorted((SHIPPED / "grafana" / "dashboards").glob("*.json"))]
VARIABLES = {"ralph-loop": {"job": "ralph-loop", "loop": EVERYTHING}}
"""For dashboards where one thing is chosen; elsewhere it is "All"."""
OR_ZERO = " or vector(0)"
"""What makes a panel say 0; here it must have something to say."""
QUERIES = [query for text in TEXTS for query in queries(text, VARIABLES.get(json.loads(text)["uid"]))]
_SHOWN = 120.0
"""Seconds."""


@pytest.fixture(scope="module")
def staged(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """Loops in every trouble that there is an alert for; they end with this file, for they keep a machine busy."""
    with troubles.staged(tmp_path_factory.mktemp("troubles"), backends) as stage:
        yield stage


def labels_of(alert: str, trouble: Trouble, staged: Staged) -> dict[str, str]:
    """What tells whom an alert is about."""
    return {
        About.LOOP: {"ralph_loop_name": trouble.name, "job": "ralph-loop"},
        About.RECORDER: {"instance": staged.run_of(trouble.name), "job": "ralph-loop"},
        About.COLLECTOR: {"instance": staged.dead_end.telemetry, "job": "otelcol"},
    }[ABOUT[alert]]


def fires(staged: Staged, alert: str, labels: Mapping[str, str]) -> bool:
    wanted = {"alertname": alert, **labels}.items()
    return any(each["state"] == "firing" and wanted <= each["labels"].items() for each in staged.prometheus.alerts())


def test_there_is_a_trouble_for_every_alert() -> None:
    assert {alert for trouble in TROUBLES for alert in trouble.alerts} == set(ABOUT)


def test_prometheus_evaluates_every_rule(staged: Staged) -> None:
    until(lambda: all(rule["health"] == "ok" for rule in staged.prometheus.rules()), what="for all rules", pause=0.3)


@pytest.mark.parametrize(("trouble", "alert"), CASES)
def test_an_alert_fires_in_its_trouble(staged: Staged, trouble: Trouble, alert: str) -> None:
    until(lambda: all(labels_of(alert, trouble, staged).values()), what=f"for the journal of {trouble.name}")
    labels = labels_of(alert, trouble, staged)
    until(lambda: fires(staged, alert, labels), _SECONDS, f"for {alert} about {labels}", pause=0.5)


def test_the_crash_of_a_scraped_loop_is_told(staged: Staged) -> None:
    """Its recorder shows it until it ends; a scrape comes before that or finds nobody, and either is an alert."""
    labels = {"ralph_loop_name": "crashes-scraped", "job": "ralph-loop"}
    either = ("RalphLoopCrashed", "RalphLoopVanished")
    until(lambda: any(fires(staged, alert, labels) for alert in either), _SECONDS, f"for one of {either}", pause=0.5)


def test_the_heir_to_a_port_is_not_taken_for_the_loop_that_was_killed(staged: Staged) -> None:
    until(lambda: staged.run_of(HEIR.name), what="for the heir's run")
    heir, killed = (f'instance="{staged.run_of(name)}"' for name in (HEIR.name, "vanishes-scraped"))
    until(lambda: staged.prometheus.query(f"up{{{heir}}} == 1"), _SECONDS, "for the heir in Prometheus", pause=0.5)
    assert staged.address_of(HEIR.name) == staged.address_of("vanishes-scraped")
    assert staged.prometheus.query(f"up{{{killed}}}")[0].value == 0
    assert staged.prometheus.query(f'last_over_time({{{killed}, ralph_loop_name="{HEIR.name}"}}[10m])') == []


def test_nothing_ever_fired_about_the_healthy_loop(staged: Staged) -> None:
    enough = f'sum(ralph_loop_iterations_total{{ralph_loop_name="{HEALTHY.name}"}}) > 10'
    until(lambda: staged.prometheus.query(enough), what="for iterations of the healthy loop", pause=0.5)
    of = f'ralph_loop_name="{HEALTHY.name}"'
    assert staged.prometheus.query(f'max_over_time(ALERTS{{alertstate="firing", {of}}}[10m])') == []
    of = f'instance="{staged.run_of(HEALTHY.name)}"'
    assert staged.prometheus.query(f'max_over_time(ALERTS{{alertstate="firing", {of}}}[10m])') == []


def shown(staged: Staged, query: PanelQuery) -> list[float]:
    """The finite values that a panel would show."""
    asked, now = query.expr.removesuffix(OR_ZERO), time.time()
    if query.instant:
        values = [sample.value for sample in staged.prometheus.query(asked)]
    else:
        series = staged.prometheus.query_range(asked, now - _SHOWN, now, 5)
        values = [value for each in series for _, value in each.values]
    return [value for value in values if math.isfinite(value)]


@pytest.mark.parametrize("uid", [json.loads(text)["uid"] for text in TEXTS])
def test_every_query_of_a_dashboard_shows_something(staged: Staged, uid: str) -> None:
    empty = [query for query in QUERIES if query.dashboard == uid]
    assert empty

    def is_complete() -> bool:
        empty[:] = [query for query in empty if not shown(staged, query)]
        return not empty

    try:
        until(is_complete, _SECONDS, pause=1.0)
    except AssertionError:
        pytest.fail("nothing is shown by " + "\n".join(f"{query.panel}: {query.expr}" for query in empty))


def test_a_dashboard_finds_the_traces_of_a_loop(staged: Staged) -> None:
    values = {"job": "ralph-loop", "loop": HEALTHY.name}
    searches = [target for text in TEXTS for target in _targets(text) if target.get("queryType") == "search"]
    assert searches
    for target in searches:
        tags = dict(pair.split("=", 1) for pair in shlex.split(substituted(target["tags"], values)))
        service = substituted(target["service"], values)
        until(lambda: staged.backends.jaeger.traces(service, tags), 60, f"for traces with {tags}", pause=1.0)  # noqa: B023 — now


def _targets(text: str) -> list[dict[str, Any]]:
    return [target for panel in panels(json.loads(text)) for target in panel["targets"]]
