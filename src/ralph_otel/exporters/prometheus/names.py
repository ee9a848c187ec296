"""OpenTelemetry names and units as Prometheus writes them.

The rules are those of `prometheus/otlptranslator` 1.0, which the OpenTelemetry Collector and the OTLP receiver of
Prometheus 3 use, so that a metric has the same name by every road. (The exporter that comes with the Python SDK has
other rules for units: `1`, and those with an annotation such as `By/{request}`.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from ralph_otel import catalog

Kind = Literal["counter", "updowncounter", "gauge", "histogram"]
"""What a metric is, as far as its name depends on that."""

_OF_CATALOG: dict[catalog.Kind, Kind] = {
    catalog.Kind.COUNTER: "counter",
    catalog.Kind.OBSERVABLE_COUNTER: "counter",
    catalog.Kind.HISTOGRAM: "histogram",
}
"""What the catalog's kinds are here; all others are gauges."""
_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes", "m": "meters",
    "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz", "1": "",
    "%": "percent",
}  # fmt: skip
_PER_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9]+")


def metric_name(name: str, unit: str, kind: Kind) -> str:
    """The name in Prometheus: `ralph_loop.iteration_duration`, `s` → `ralph_loop_iteration_duration_seconds`.

    A counter's name ends in `_total`; a histogram's is the family's, without `_bucket`. Empty where nothing of the
    name can be kept.
    """
    words = [word for word in _NOT_IN_NAMES.split(name) if word]
    main, per = _suffixes(unit)
    if main in words:
        main = ""
    words += filter(None, (main.removesuffix("_") if per else main, per))
    if kind == "counter":
        words = [*_without(words, "total"), "total"]
    if kind == "gauge" and unit == "1":
        words = [*_without(words, "ratio"), "ratio"]
    full = "_".join(words)
    return f"_{full}" if full[:1].isdigit() else full


def catalog_name(metric: catalog.Metric, prefix: str) -> str:
    """The name in Prometheus of a metric of the catalog."""
    return metric_name(metric.full_name(prefix), metric.unit, _OF_CATALOG.get(metric.kind, "gauge"))


def unit_name(unit: str, kind: Kind) -> str:
    """The unit in Prometheus, for the `# UNIT` line: `seconds`, `bytes_per_second`; empty where there is none."""
    if kind == "gauge" and unit == "1":
        return "ratio"
    return "_".join(filter(None, _suffixes(unit))).strip("_")


def label_name(key: str) -> str:
    """An attribute's key as a label's name: `gen_ai.token.type` → `gen_ai_token_type`.

    Never one that begins with two underscores, which Prometheus keeps for itself.
    """
    name = _NOT_IN_LABELS.sub("_", key) or "_"
    return f"key_{name}" if name[0].isdigit() else name


def _suffixes(unit: str) -> tuple[str, str]:
    """What the two parts of a unit add to a name: `By/s` → `bytes`, `per_second`; one with braces adds nothing."""
    main, _, per = (part.strip() for part in unit.partition("/"))
    main = "" if "{" in main or "}" in main else _UNITS.get(main, main)
    per = "" if not per or "{" in per or "}" in per else f"per_{_PER_UNITS.get(per, per)}"
    per = _clean(per)
    return _clean(main), "" if per == "per_" else per.removesuffix("_")


def _clean(unit: str) -> str:
    return re.sub(r"_{2,}", "_", _NOT_IN_NAMES.sub("_", unit)).removeprefix("_")


def _without(words: Iterable[str], word: str) -> list[str]:
    return [each for each in words if each != word]
