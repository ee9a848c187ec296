"""`ralph-otel catalog`: the table of metrics, and the schema."""

from __future__ import annotations

import json

import jsonschema
import pytest
from command_line import call

from ralph_otel import reference
from ralph_otel.catalog import HEALTH, METRICS, RESOURCES

ALL = (*METRICS, *RESOURCES, *HEALTH)


def test_the_table_has_a_line_a_metric() -> None:
    result = call("catalog")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert [line.split(None, 1)[1] for line in lines] == [metric.description for metric in ALL]
    assert lines[0].split()[0] == "ralph_loop_iterations_total"


def test_json_has_an_object_a_metric() -> None:
    rows = json.loads(call("catalog", "--format", "json").out)
    assert [row["name"] for row in rows] == [metric.full_name() for metric in ALL]
    cost = next(row for row in rows if row["name"] == "ralph_loop.cost")
    assert cost == {
        "name": "ralph_loop.cost",
        "prometheus": "ralph_loop_cost_USD_total",
        "kind": "counter",
        "unit": "USD",
        "description": "Money spent, in US dollars.",
        "attributes": ["gen_ai.request.model", "ralph.cost.source", "ralph.loop.name", "ralph.runner"],
    }


def test_names_have_the_configured_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_PREFIX", "mine")
    names = {row["name"] for row in json.loads(call("catalog", "--format", "json").out)}
    assert "mine.iterations" in names
    assert "ralph_otel.events" in names
    assert not any(name.startswith("ralph_loop.") for name in names)


def test_markdown_is_the_page_of_the_documentation() -> None:
    assert call("catalog", "--format", "markdown").out.strip() == reference.documents()["metrics.md"].strip()


def test_schema_is_a_json_schema_of_a_line() -> None:
    schema = json.loads(call("catalog", "--format", "schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"v": 1, "type": "loop.paused", "ts": 1, "loop": "r"}, schema)
