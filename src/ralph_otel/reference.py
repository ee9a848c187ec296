"""The catalog and the events as documents: what `docs/` holds and `ralph-otel catalog` prints.

`python -m ralph_otel.reference FOLDER` writes the files of `docs/`; a test fails when they are stale.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ralph_otel import events
from ralph_otel.catalog import COMMON, DEFAULT_PREFIX, HEALTH, METRICS, RESOURCES, Attribute, Metric
from ralph_otel.exporters.prometheus.names import catalog_name

_SECTIONS = (("The loop", METRICS), ("Processes and machine", RESOURCES), ("ralph-otel itself", HEALTH))
_GENERATED = "<!-- Made by `make docs` from the declarations in the code; edit those. -->\n"


def _attributes(metric: Metric) -> tuple[Attribute, ...]:
    return metric.attributes if metric in HEALTH else (*metric.attributes, *COMMON)


def metrics_table(prefix: str = DEFAULT_PREFIX) -> str:
    """For the terminal: a line a metric, with its Prometheus name and what it says."""
    rows = [(catalog_name(metric, prefix), metric) for _, metrics in _SECTIONS for metric in metrics]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {metric.description}" for name, metric in rows)


def metrics_json(prefix: str = DEFAULT_PREFIX) -> str:
    """An array of objects, one a metric."""
    return json.dumps(
        [
            {
                "name": metric.full_name(prefix),
                "prometheus": catalog_name(metric, prefix),
                "kind": metric.kind.value,
                "unit": metric.unit,
                "description": metric.description,
                "attributes": [attribute.name for attribute in _attributes(metric)],
            }
            for _, metrics in _SECTIONS
            for metric in metrics
        ],
        indent=2,
    )


def metrics_markdown(prefix: str = DEFAULT_PREFIX) -> str:
    """`docs/metrics.md`."""
    parts = ["# Metrics\n", _GENERATED]
    parts.append(
        "On every metric of a loop: "
        + ", ".join(f"`{attribute.name}`" for attribute in COMMON)
        + ". The run id is the resource's `service.instance.id`, never an attribute.\n"
    )
    for title, metrics in _SECTIONS:
        parts.append(f"## {title}\n")
        parts.append("| OpenTelemetry | kind, unit | attributes | Prometheus | what it says |\n|---|---|---|---|---|")
        parts.extend(_metric_row(metric, prefix) for metric in metrics)
        parts.append("")
    parts.append("## Attributes\n\n| attribute | what it says | values |\n|---|---|---|")
    parts.extend(_attribute_row(attribute) for attribute in _all_attributes())
    return "\n".join(parts)


def _metric_row(metric: Metric, prefix: str) -> str:
    own = "<br>".join(f"`{attribute.name}`" for attribute in metric.attributes)
    return (
        f"| `{metric.full_name(prefix)}` | {metric.kind.value}, `{metric.unit}` | {own} "
        f"| `{catalog_name(metric, prefix)}` | {metric.description} |"
    )


def _attribute_row(attribute: Attribute) -> str:
    values = ", ".join(f"`{value}`" for value in attribute.values)
    return f"| `{attribute.name}` | {attribute.meaning} | {values} |"


def _all_attributes() -> Iterable[Attribute]:
    metrics = [metric for _, section in _SECTIONS for metric in section]
    return dict.fromkeys([*COMMON, *(attribute for metric in metrics for attribute in metric.attributes)])


def events_markdown() -> str:
    """`docs/events.md`."""
    parts = ["# Events of the journal, version 1\n", _GENERATED]
    parts.append("Every line is one JSON object with these fields, and those of its type.\n")
    parts.append("| field | what it holds | what it says |\n|---|---|---|")
    parts.extend(_field_row(field) for field in events.ENVELOPE)
    for event in events.EVENTS:
        parts.append(f"\n## {event.type}\n\n{inspect.getdoc(event)}\n")
        if fields := events.fields_of(event):
            parts.append("| field | what it holds | what it says |\n|---|---|---|")
            parts.extend(_field_row(field) for field in fields)
    return "\n".join(parts) + "\n"


def _field_row(field: events.Field) -> str:
    return f"| `{field.name}`{'' if field.required else '?'} | {field.kind.name} | {field.doc} |"


def journal_schema() -> str:
    """`docs/journal.schema.json`: the JSON Schema (2020-12) of one line. Unknown types and fields are valid."""
    cases = [
        {
            "if": {"properties": {"type": {"const": event.type}}, "required": ["type"]},
            "then": _object_schema(events.fields_of(event), inspect.getdoc(event) or ""),
        }
        for event in events.EVENTS
    ]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://ralph-otel.dev/journal-v1.schema.json",
        "title": "A line of a ralph-otel journal, version 1",
        **_object_schema(list(events.ENVELOPE), "What every line carries; further fields depend on its type."),
        "allOf": cases,
    }
    schema["properties"]["v"] = {"const": events.VERSION, "description": "The format's version."}
    for name, digits in (("trace_id", 32), ("span_id", 16), ("parent_span_id", 16)):
        schema["properties"][name]["pattern"] = f"^[0-9a-f]{{{digits}}}$"
    return json.dumps(schema, indent=2, ensure_ascii=False)


def _object_schema(fields: list[events.Field], description: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in fields:
        own = dict(field.kind.schema)
        if not field.required:
            own = {"anyOf": [own, {"type": "null"}]} if "enum" in own else {**own, "type": [own["type"], "null"]}
        properties[field.name] = {"description": field.doc, **own}
    required = [field.name for field in fields if field.required]
    return {"type": "object", "description": description, "properties": properties, "required": required}


def documents() -> dict[str, str]:
    """File name in `docs/` to its text."""
    return {
        "metrics.md": metrics_markdown() + "\n",
        "events.md": events_markdown(),
        "journal.schema.json": journal_schema() + "\n",
    }


if __name__ == "__main__":
    for name, text in documents().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
