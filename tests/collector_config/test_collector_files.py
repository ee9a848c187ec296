"""The collector's files: what each must hold whatever else is changed in it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from shipped_files import ALONE, COLLECTOR, OVERLAYS, document, names_in, said_of_variables, variables

from ralph_otel.catalog import DURATION_BUCKETS, HEALTH, METRICS, PERCENT_BUCKETS, RESOURCES, Kind
from ralph_otel.exporters.prometheus.names import metric_name

FILES = [*ALONE, *OVERLAYS]
LOCAL = {"health_check", "otlp", "statsd", "prometheus"}


def text_of(name: str) -> str:
    return (COLLECTOR / name).read_text(encoding="utf-8")


def part(name: str, *path: str) -> Any:
    found = document(COLLECTOR / name)
    for key in path:
        found = found[key]
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_variable_that_is_needed_is_named_as_required_and_the_others_with_their_defaults(name: str) -> None:
    required, optional = said_of_variables(text_of(name))
    read = variables(text_of(name))
    needed = {variable for variable, default in read.items() if default is None}
    assert names_in(required) - {"GATEWAY_TOKEN"} == needed - {"GATEWAY_TOKEN"}  # overlays name what they replace
    assert names_in(optional) == read.keys() - needed
    for default in read.values():
        assert (default or "") in optional


@pytest.mark.parametrize("name", ALONE)
def test_everything_listens_on_this_machine_only_unless_told_otherwise(name: str) -> None:
    file = document(COLLECTOR / name)
    found = [*file["extensions"].items(), *file["receivers"].items(), *file["exporters"].items()]
    listening = [part for kind, part in found if kind in LOCAL]
    listening.append(file["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"])
    places = re.findall(r"'(?:endpoint|host)': '([^']*)'", str(listening))
    assert len(places) >= 4
    assert all(place.startswith("${env:BIND_ADDRESS:-127.0.0.1}") for place in places)


@pytest.mark.parametrize("name", [*ALONE, "overlays/gateway-otlp-metrics.yaml"])
def test_what_is_sent_waits_on_disk_for_as_long_as_it_takes(name: str) -> None:
    senders = {kind: part for kind, part in part(name, "exporters").items() if kind.startswith("otlp")}
    assert senders
    for sender in senders.values():
        assert sender["sending_queue"]["storage"] == "file_storage"
        assert sender["retry_on_failure"]["max_elapsed_time"] == 0


@pytest.mark.parametrize("name", ALONE)
def test_the_queue_is_where_the_environment_says(name: str) -> None:
    assert part(name, "extensions", "file_storage")["directory"] == "${env:STORAGE_DIR:-/var/lib/otelcol}"


@pytest.mark.parametrize("name", ALONE)
def test_nothing_waits_in_memory_that_the_sender_believes_delivered(name: str) -> None:
    assert not [kind for kind in part(name, "processors") if kind.startswith("batch")]


@pytest.mark.parametrize("name", ALONE)
def test_every_pipeline_limits_memory_first(name: str) -> None:
    for pipeline in part(name, "service", "pipelines").values():
        assert pipeline["processors"][0] == "memory_limiter"


@pytest.mark.parametrize("name", ALONE)
def test_every_part_that_is_configured_is_used(name: str) -> None:
    file = document(COLLECTOR / name)
    used = str(file["service"])
    for kind in ("extensions", "receivers", "processors", "connectors", "exporters"):
        assert [part for part in file.get(kind, {}) if part not in used] == []


def test_the_laptop_and_the_agent_do_the_same_where_they_do_the_same() -> None:
    agent, laptop = (document(COLLECTOR / name) for name in ("agent.yaml", "laptop.yaml"))
    gateway = document(COLLECTOR / "gateway.yaml")
    assert laptop["connectors"] == gateway["connectors"]
    assert laptop["processors"].pop("resource/spans") == gateway["processors"]["resource/spans"]
    assert laptop["processors"] == agent["processors"]
    assert laptop["receivers"] == {kind: part for kind, part in agent["receivers"].items() if kind != "prometheus"}
    assert laptop["extensions"] == {kind: part for kind, part in agent["extensions"].items() if "auth" not in kind}


def test_the_gateway_takes_nothing_without_encryption_and_a_token() -> None:
    for protocol in part("gateway.yaml", "receivers", "otlp", "protocols").values():
        assert protocol["tls"]["cert_file"] == "${env:GATEWAY_CERT_FILE}"
        assert protocol["auth"] == {"authenticator": "bearertokenauth"}
    assert "insecure" not in str(part("agent.yaml", "exporters"))


@pytest.mark.parametrize(("overlay", "below"), OVERLAYS.items())
def test_an_overlay_replaces_what_is_there(overlay: str, below: str) -> None:
    """A list of an overlay takes the place of the one below, so each must name what is to stay."""
    pipelines = document(COLLECTOR / overlay)["service"].get("pipelines", {})
    for name, pipeline in pipelines.items():
        for kind, parts in pipeline.items():
            assert set(part(below, "service", "pipelines", name, kind)) < set(parts)


# -- StatsD ------------------------------------------------------------------------------------------------------------


def statements() -> list[tuple[str, str, bool]]:
    """Of each statement for StatsD: which names it is for, the unit it sets, and whether it turns ms into s."""
    found = []
    *_, units = part("agent.yaml", "processors", "transform/statsd", "metric_statements")
    for statement in units["statements"]:
        action, condition = statement.split(" where ")
        [unit] = re.findall(r'"([^"]+)"', action)
        [name] = re.findall(r'"([^"]+)"', condition)
        found.append((name if "IsMatch" in condition else f"^{re.escape(name)}$", unit, "scale_metric(0.001" in action))
    return found


@pytest.mark.parametrize("metric", [*METRICS, *HEALTH, *RESOURCES], ids=lambda metric: metric.name)
@pytest.mark.parametrize("prefix", ["ralph_loop", "my.loops"])
def test_a_metric_gets_the_unit_back_that_statsd_does_not_carry(metric: Any, prefix: str) -> None:
    name = metric.name if metric.absolute else f"{prefix}.{metric.name}"
    found = [(unit, scaled) for pattern, unit, scaled in statements() if re.search(pattern, name)]
    assert len(found) <= 1
    unit, scaled = found[0] if found else ("", False)
    assert metric_name(name, unit, metric.kind) == metric_name(name, metric.unit, metric.kind)
    assert scaled == (metric.kind is Kind.HISTOGRAM and metric.unit == "s")


def test_statsd_has_the_buckets_of_the_other_roads() -> None:
    groups = part("agent.yaml", "processors", "transform/statsd", "metric_statements")[:2]
    converted, kept = (
        [float(bound) / 1000 for bound in re.findall(r", \[([^]]*)\]\)", statement)[0].split(",")]
        for group in groups
        for statement in group["statements"]
    )
    assert kept == list(DURATION_BUCKETS)
    assert converted == [0, *kept]
    _, other = part("agent.yaml", "receivers", "statsd", "timer_histogram_mapping")
    percents, values = other["histogram"]["explicit_buckets"]
    assert values["buckets"] == list(DURATION_BUCKETS)
    assert percents["buckets"] == list(PERCENT_BUCKETS)
    in_percent = [metric.name for metric in METRICS if metric.kind is Kind.HISTOGRAM and metric.unit == "%"]
    assert all(re.fullmatch(percents["matcher_pattern"], f"ralph_loop.{name}") for name in in_percent)
